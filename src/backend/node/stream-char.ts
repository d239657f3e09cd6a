import type { Readable, Writable } from 'node:stream';
import { type CharBackend, InputQueue } from '../char/char.js';
import { OutputBuffer } from './output-buffer.js';

/**
 * Two streams as a character backend. The end of input does not end the guest; an output whose
 * reader went away swallows what comes.
 */
export class StreamChar implements CharBackend {
  private readonly queue = new InputQueue();
  private readonly output: OutputBuffer;
  private broken = false;
  private readonly onData: (chunk: Uint8Array) => void;

  /** `filter` sees input first and passes on what is for the guest, such as all but escape keys. */
  constructor(
    private readonly input: Readable,
    sink: Writable,
    filter: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
  ) {
    this.output = new OutputBuffer((bytes) => {
      if (!this.broken) sink.write(bytes);
    });
    sink.on('error', () => {
      this.broken = true;
    });
    this.onData = (chunk) => {
      this.queue.push(filter(chunk));
      // A terminal is always read: its escape keys must work while a hung guest takes nothing.
      if (!this.queue.isEmpty && !isTerminal(input)) input.pause();
    };
  }

  write(bytes: Uint8Array): void {
    this.output.write(bytes);
  }

  connect(take: (bytes: Uint8Array) => number): void {
    this.queue.connect(take);
    this.input.on('data', this.onData);
  }

  resume(): void {
    this.queue.resume();
    if (this.queue.isEmpty && this.input.isPaused()) this.input.resume();
  }

  close(): void {
    this.output.flush();
    this.broken = true;
    this.input.off('data', this.onData);
    this.input.pause();
  }
}

function isTerminal(stream: Readable): boolean {
  return 'isTTY' in stream && stream.isTTY === true;
}
