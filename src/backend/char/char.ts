/**
 * What stands behind a serial port: a terminal, a file, nothing. Bytes both ways, never blocking.
 * Input has flow control, because a port's FIFO holds 16 bytes and a user pastes pages.
 */
export interface CharBackend {
  /** Bytes from the guest. The array is the caller's again when this returns. */
  write(bytes: Uint8Array): void;
  /** Says where input goes. `take` answers how many of the bytes it took; the rest is kept. */
  connect(take: (bytes: Uint8Array) => number): void;
  /** The guest has room again: offers what was kept. */
  resume(): void;
  /** Writes out what is pending; nothing is written or offered after. */
  close(): void;
}

/** Nothing behind the port: output is dropped, no input comes. */
export const noChar: CharBackend = { write() {}, connect() {}, resume() {}, close() {} };

/** Input that waits for the guest to take it. */
export class InputQueue {
  private pending: Uint8Array[] = [];
  private take: (bytes: Uint8Array) => number = () => 0;

  connect(take: (bytes: Uint8Array) => number): void {
    this.take = take;
    this.resume();
  }

  get isEmpty(): boolean {
    return this.pending.length === 0;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pending.push(bytes);
    this.resume();
  }

  /** Offers what waits, until the guest takes less than it was offered. */
  resume(): void {
    for (;;) {
      const first = this.pending[0];
      if (first === undefined) return;
      const taken = this.take(first);
      if (taken < first.length) {
        if (taken > 0) this.pending[0] = first.subarray(taken);
        return;
      }
      this.pending.shift();
    }
  }
}

/** A backend that a test reads and types on. */
export class MemoryChar implements CharBackend {
  private readonly chunks: number[] = [];
  private readonly input = new InputQueue();

  write(bytes: Uint8Array): void {
    for (const byte of bytes) this.chunks.push(byte);
  }

  connect(take: (bytes: Uint8Array) => number): void {
    this.input.connect(take);
  }

  resume(): void {
    this.input.resume();
  }

  close(): void {}

  /** All that the guest wrote, a byte a character. */
  get text(): string {
    let text = '';
    for (const byte of this.chunks) text += String.fromCharCode(byte);
    return text;
  }

  /** Types characters of one byte each. */
  type(text: string): void {
    this.input.push(Uint8Array.from(text, (character) => character.charCodeAt(0)));
  }
}
