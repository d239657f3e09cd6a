/**
 * A guest writes its console a byte at a time; a write to the host for each would cost more than
 * the guest's own work. Bytes are gathered until the event loop turns or the buffer is full.
 */
export class OutputBuffer {
  private readonly buffer = new Uint8Array(4096);
  private length = 0;
  private scheduled = false;

  constructor(private readonly send: (bytes: Uint8Array) => void) {}

  write(bytes: Uint8Array): void {
    if (this.length + bytes.length > this.buffer.length) this.flush();
    if (bytes.length > this.buffer.length) {
      this.send(bytes.slice());
      return;
    }
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
    if (this.scheduled || this.length === 0) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  flush(): void {
    if (this.length === 0) return;
    const bytes = this.buffer.slice(0, this.length);
    this.length = 0;
    this.send(bytes);
  }
}
