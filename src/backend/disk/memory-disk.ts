import { checkRange, type Disk, DiskError } from './disk.js';

/** A disk that is an array, for tests and for what need not last. */
export class MemoryDisk implements Disk {
  onResize: ((sizeBytes: number) => void) | undefined;
  private bytes: Uint8Array;

  constructor(
    contents: number | Uint8Array,
    readonly readOnly = false,
    private readonly name = 'memory disk',
  ) {
    this.bytes = typeof contents === 'number' ? new Uint8Array(contents) : contents;
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    checkRange(this.name, this.sizeBytes, offset, into.length);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    this.checkWritable(offset, from.length);
    this.bytes.set(from, offset);
  }

  async flush(): Promise<void> {}

  async discard(offset: number, length: number): Promise<void> {
    await this.writeZeroes(offset, length);
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    this.checkWritable(offset, length);
    this.bytes.fill(0, offset, offset + length);
  }

  async resize(sizeBytes: number): Promise<void> {
    this.checkWritable(0, 0);
    const resized = new Uint8Array(sizeBytes);
    resized.set(this.bytes.subarray(0, sizeBytes));
    this.bytes = resized;
    this.onResize?.(sizeBytes);
  }

  async close(): Promise<void> {}

  private checkWritable(offset: number, length: number): void {
    if (this.readOnly) throw new DiskError('read-only', `${this.name} is read-only`);
    checkRange(this.name, this.sizeBytes, offset, length);
  }
}
