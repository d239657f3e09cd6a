import assert from 'node:assert/strict';
import type { Disk } from '#src/backend/disk/disk.js';
import type { FileSpec } from '#src/backend/disk/file-spec.js';
import { createDisk, openDisk, openQcow2 } from '#src/backend/disk/open-disk.js';
import { checkImage } from '#src/backend/disk/qcow2/check.js';
import type { Qcow2Options } from '#src/backend/disk/qcow2/create-qcow2.js';
import { readHeader } from '#src/backend/disk/qcow2/image.js';
import type { Qcow2Disk } from '#src/backend/disk/qcow2/qcow2-disk.js';
import {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
} from '#src/backend/disk/qcow2/snapshots.js';
import { MemoryHost } from './memory-host.js';
import type { Random } from './random.js';

export interface Shape extends Omit<Qcow2Options, 'backing' | 'dataFile'> {
  readonly sizeBytes: number;
  readonly backingBytes?: number;
  readonly external?: boolean;
}

/** Shapes that have between them every feature, small enough that tables grow and overflow. */
export function randomShape(random: Random): Shape {
  const extendedL2 = random.below(3) === 0;
  const version = !extendedL2 && random.below(4) === 0 ? 2 : 3;
  const clusterBytes = extendedL2
    ? random.pick([16384, 65536])
    : random.pick([512, 1024, 4096, 65536]);
  const sizeBytes = 512 * (1 + random.below(random.pick([64, 1024, 4096])));
  const external = version === 3 && random.below(6) === 0;
  const backed = random.below(2) === 0;
  return {
    version,
    clusterBytes,
    sizeBytes,
    extendedL2,
    external,
    ...(version === 3 ? { refcountBits: random.pick([1, 2, 4, 8, 16, 32, 64]) } : {}),
    ...(version === 3 && random.below(3) === 0 ? { lazyRefcounts: true } : {}),
    ...(version === 3 && random.below(2) === 0 ? { compression: 'zstd' as const } : {}),
    ...(backed ? { backingBytes: 512 * (1 + random.below((sizeBytes / 512) * 2)) } : {}),
  };
}

/** A disk, and the plain array that it should equal. */
export class Model {
  readonly host = new MemoryHost();
  readonly spec: FileSpec;
  disk!: Disk;
  expected: Uint8Array;
  readonly snapshots = new Map<string, Uint8Array>();
  private names = 0;

  constructor(
    readonly shape: Shape,
    readonly random: Random,
  ) {
    const { backingBytes, external } = shape;
    this.expected = new Uint8Array(shape.sizeBytes);
    if (backingBytes !== undefined) {
      const base = random.bytes(backingBytes);
      this.host.put('base.raw', base);
      this.expected.set(base.subarray(0, shape.sizeBytes));
    }
    this.spec = {
      path: 'disk.qcow2',
      format: 'qcow2',
      direct: false,
      unlocked: false,
      ...(backingBytes === undefined ? {} : { backing: 'base.raw', backingFormat: 'raw' as const }),
      ...(external ? { dataFile: 'disk.data' } : {}),
    };
  }

  async create(): Promise<void> {
    this.disk = await createDisk(this.host, this.spec, this.shape);
  }

  async reopen(): Promise<void> {
    await this.disk.close();
    this.disk = await openDisk(this.host, this.spec, { writable: true });
  }

  /** Nothing in the image contradicts anything, and nothing leaks. */
  async check(): Promise<void> {
    const file = await this.host.open('disk.qcow2', { writable: false });
    const report = await checkImage(file, await readHeader(file), false);
    assert.deepEqual(
      { corruptions: report.corruptions, leaks: report.leaks, messages: report.messages },
      { corruptions: 0, leaks: 0, messages: [] },
    );
  }

  async compare(): Promise<void> {
    const found = new Uint8Array(this.disk.sizeBytes);
    await this.disk.read(0, found);
    this.assertEqual(found, 0, 'the whole disk');
  }

  private assertEqual(found: Uint8Array, offset: number, what: string): void {
    const wanted = this.expected.subarray(offset, offset + found.length);
    if (Buffer.compare(found, wanted) === 0) return;
    const at = found.findIndex((byte, i) => byte !== wanted[i]);
    assert.fail(`${what}: found ${found[at]} at ${offset + at}, wanted ${wanted[at]}`);
  }

  private range(): { offset: number; length: number } {
    const sectors = this.expected.length / 512;
    const longest = this.random.pick([1, 8, 64, 512, sectors]);
    const first = this.random.below(sectors);
    const count = Math.min(1 + this.random.below(longest), sectors - first);
    return { offset: first * 512, length: count * 512 };
  }

  /** Several requests at once, on ranges of their own. */
  async burst(): Promise<void> {
    const taken: { offset: number; length: number }[] = [];
    const work: Promise<void>[] = [];
    for (let i = 0; i < 12; i++) {
      const range = this.range();
      const clash = (other: typeof range) =>
        other.offset < range.offset + range.length && range.offset < other.offset + other.length;
      if (taken.some(clash)) continue;
      taken.push(range);
      work.push(this.request(range));
    }
    if (this.random.below(3) === 0) work.push(this.disk.flush());
    await Promise.all(work);
  }

  private async request({ offset, length }: { offset: number; length: number }): Promise<void> {
    const { disk, expected } = this;
    const kind = this.random.below(10);
    if (kind < 5) {
      const bytes = this.random.bytes(length);
      await disk.write(offset, bytes);
      expected.set(bytes, offset);
    } else if (kind < 7) {
      const found = new Uint8Array(length);
      await disk.read(offset, found);
      this.assertEqual(found, offset, 'a read');
    } else if (kind < 8) {
      await disk.writeZeroes(offset, length, this.random.below(2) === 0);
      expected.fill(0, offset, offset + length);
    } else if (kind < 9) {
      await disk.discard(offset, length);
      const found = new Uint8Array(length);
      await disk.read(offset, found);
      for (let at = 0; at < length; at += 512) {
        const sector = found.subarray(at, at + 512);
        if (sector.every((byte) => byte === 0)) expected.fill(0, offset + at, offset + at + 512);
      }
      this.assertEqual(found, offset, 'after a discard');
    } else if (!this.shape.external) {
      const cluster = this.shape.clusterBytes ?? 65536;
      const first = Math.ceil(offset / cluster) * cluster;
      if (first + cluster > offset + length) return;
      const bytes = this.random.bytes(cluster);
      await (disk as Qcow2Disk).writeCompressed(first, bytes);
      expected.set(bytes, first);
    }
  }

  /** What is done with nothing else under way. */
  async step(): Promise<void> {
    const { random } = this;
    const kind = random.below(30);
    if (kind === 0) await this.reopen();
    else if (kind === 1) await this.resize();
    else if (kind === 2) await this.disk.flush();
    else if (kind < 6) await this.snapshot(kind - 3);
    else await this.burst();
  }

  private async resize(): Promise<void> {
    if (this.shape.version === 2 && this.snapshots.size > 0) return;
    const sizeBytes = 512 * (1 + this.random.below((this.shape.sizeBytes / 512) * 2));
    await this.disk.resize!(sizeBytes);
    const resized = new Uint8Array(sizeBytes);
    resized.set(this.expected.subarray(0, sizeBytes));
    this.expected = resized;
  }

  private async snapshot(kind: number): Promise<void> {
    if (this.shape.external) return;
    const { refcountBits = 16 } = this.shape;
    const disk = this.disk as Qcow2Disk;
    if (kind === 0 && this.snapshots.size + 2 < Math.min(2 ** refcountBits / 64, 5)) {
      const name = `snap${this.names++}`;
      await createSnapshot(disk, name, 1e12);
      this.snapshots.set(name, this.expected.slice());
    } else if (this.snapshots.size > 0) {
      const name = this.random.pick([...this.snapshots.keys()]);
      if (kind === 1) {
        await applySnapshot(disk, name);
        this.expected = this.snapshots.get(name)!.slice();
      } else if (kind === 2) {
        await deleteSnapshot(disk, name);
        this.snapshots.delete(name);
      }
    }
  }

  /** The image alone, as a program that opens only qcow2 would. */
  async openAgain(): Promise<Qcow2Disk> {
    return openQcow2(this.host, this.spec, { writable: false });
  }
}
