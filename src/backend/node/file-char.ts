import { closeSync, openSync, writeSync } from 'node:fs';
import type { CharBackend } from '../char/char.js';
import { OutputBuffer } from './output-buffer.js';

/** Output to a file, created or emptied; no input. Opening throws the host's error. */
export class FileChar implements CharBackend {
  private readonly descriptor: number;
  private readonly output: OutputBuffer;
  private broken = false;

  constructor(path: string) {
    this.descriptor = openSync(path, 'w');
    this.output = new OutputBuffer((bytes) => {
      if (this.broken) return;
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(this.descriptor, bytes, at);
      } catch {
        // A full disk must not end the guest whose log it was.
        this.broken = true;
      }
    });
  }

  write(bytes: Uint8Array): void {
    this.output.write(bytes);
  }

  connect(): void {}

  resume(): void {}

  close(): void {
    if (this.broken) return;
    this.output.flush();
    this.broken = true;
    closeSync(this.descriptor);
  }
}
