import { checkRange, type Disk, DiskError, type Extent, sectorBytes } from './disk.js';
import type { DiskFile } from './disk-file.js';
import { zeroFile } from './zeroes.js';

/** A file whose bytes are the disk's. Holes in it are kept, and made by discards. */
export class RawDisk implements Disk {
  onResize: ((sizeBytes: number) => void) | undefined;

  constructor(readonly file: DiskFile) {}

  /** A last piece that is not a whole sector is filled up with zeroes. */
  get sizeBytes(): number {
    return Math.ceil(this.file.sizeBytes / sectorBytes) * sectorBytes;
  }

  get readOnly(): boolean {
    return this.file.readOnly;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    checkRange(this.file.name, this.sizeBytes, offset, into.length);
    await this.file.read(offset, into);
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    this.checkWrite(offset, from.length);
    await this.file.write(offset, from);
  }

  async flush(): Promise<void> {
    if (!this.readOnly) await this.file.flush();
  }

  async discard(offset: number, length: number): Promise<void> {
    this.checkWrite(offset, length);
    await this.file.punch(offset, length);
  }

  async writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    this.checkWrite(offset, length);
    await zeroFile(this.file, offset, length, mayUnmap);
  }

  async resize(sizeBytes: number): Promise<void> {
    this.checkWrite(0, 0);
    if (sizeBytes < 0 || sizeBytes % sectorBytes !== 0) {
      const wanted = `a multiple of ${sectorBytes}`;
      throw new DiskError(
        'out-of-range',
        `${this.file.name}: found ${sizeBytes}, wanted ${wanted}`,
      );
    }
    await this.file.truncate(sizeBytes);
    this.onResize?.(sizeBytes);
  }

  async extent(offset: number, length: number): Promise<Extent> {
    const found = await this.file.extent(offset, Math.min(length, this.sizeBytes - offset));
    if (found.hole) return { kind: 'zero', length: found.length };
    return { kind: 'data', length: found.length, hostOffset: offset };
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.file.close();
    }
  }

  private checkWrite(offset: number, length: number): void {
    const { name } = this.file;
    if (this.readOnly) throw new DiskError('read-only', `${name} is opened read-only`);
    checkRange(name, this.sizeBytes, offset, length);
  }
}
