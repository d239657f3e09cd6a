import { type Disk, DiskError, type Extent } from '../../backend/disk/disk.js';
import type { DiskHost } from '../../backend/disk/disk-file.js';
import type { FileSpec } from '../../backend/disk/file-spec.js';
import { backingOf, openDisk, openQcow2 } from '../../backend/disk/open-disk.js';
import { settled } from '../../backend/disk/qcow2/image.js';
import { Qcow2Disk } from '../../backend/disk/qcow2/qcow2-disk.js';
import { isZero } from '../../backend/disk/zeroes.js';

/** Work on whole disks. `progress` gets 0 to 1. */
export type Progress = (fraction: number) => void;

const chunkBytes = 1 << 20;
const atOnce = 6;

/** A run of bytes, with which disk of a backing chain it comes from: 0 is the top. */
export interface ChainExtent extends Extent {
  readonly offset: number;
  readonly depth: number;
}

/** What a disk shows, from its beginning to its end; holes are what no file of the chain has. */
export async function* extents(disk: Disk): AsyncGenerator<ChainExtent> {
  for (let offset = 0; offset < disk.sizeBytes; ) {
    const found = await extentAt(disk, offset, disk.sizeBytes - offset, 0);
    yield found;
    offset += found.length;
  }
}

async function extentAt(
  disk: Disk,
  offset: number,
  length: number,
  depth: number,
): Promise<ChainExtent> {
  if (offset >= disk.sizeBytes) return { kind: 'hole', offset, length, depth };
  const here = Math.min(length, disk.sizeBytes - offset);
  const found = (await disk.extent?.(offset, here)) ?? ({ kind: 'data', length: here } as const);
  const below = disk instanceof Qcow2Disk ? disk.backing : undefined;
  if (found.kind !== 'hole' || below === undefined) return { ...found, offset, depth };
  return extentAt(below, offset, found.length, depth + 1);
}

/** Runs over pieces of a range, several at once. */
async function inChunks(
  offset: number,
  length: number,
  bytes: number,
  work: (offset: number, length: number) => Promise<void>,
): Promise<void> {
  let next = offset;
  const worker = async () => {
    while (next < offset + length) {
      const at = next;
      next += bytes;
      await work(at, Math.min(bytes, offset + length - at));
    }
  };
  await settled(Array.from({ length: atOnce }, worker));
}

/** Writes what `source` shows to `target`, which is new: what is zero stays unwritten. */
export async function copyDisk(
  source: Disk,
  target: Disk,
  compress: boolean,
  progress: Progress,
): Promise<void> {
  const packs = compress && target instanceof Qcow2Disk ? target : undefined;
  if (compress && packs === undefined) {
    throw new DiskError('usage', 'a raw disk cannot be compressed; wanted format=qcow2');
  }
  const unit = packs?.discardUnitBytes ?? chunkBytes;
  const wanted: { offset: number; length: number }[] = [];
  for await (const { offset, length, kind } of extents(source)) {
    if (kind === 'zero' || kind === 'hole') continue;
    // Whole units, so that none is written twice.
    const from = Math.max(offset - (offset % unit), end(wanted));
    const to = Math.min(Math.ceil((offset + length) / unit) * unit, source.sizeBytes);
    if (to > from) wanted.push({ offset: from, length: to - from });
  }
  let done = 0;
  const total = wanted.reduce((sum, { length }) => sum + length, 0);
  for (const { offset, length } of wanted) {
    await inChunks(offset, length, unit, async (at, count) => {
      const bytes = new Uint8Array(count);
      await source.read(at, bytes);
      if (packs === undefined) await writeData(target, at, bytes);
      else if (!isZero(bytes)) await packs.writeCompressed(at, bytes);
      done += count;
      progress(done / total);
    });
  }
  await target.flush();
}

const end = (ranges: readonly { offset: number; length: number }[]) => {
  const last = ranges.at(-1);
  return last === undefined ? 0 : last.offset + last.length;
};

/** Writes the pieces of a new disk that are not zero. */
async function writeData(target: Disk, offset: number, bytes: Uint8Array): Promise<void> {
  const grain = 65536;
  for (let at = 0; at < bytes.length; ) {
    let to = at;
    while (to < bytes.length && !isZero(bytes.subarray(to, to + grain))) to += grain;
    if (to > at) await target.write(offset + at, bytes.subarray(at, to));
    at = to + grain;
  }
}

/** The first offset at which two disks differ, undefined where they do not; what one lacks is zero. */
export async function compareDisks(
  a: Disk,
  b: Disk,
  progress: Progress,
): Promise<number | undefined> {
  const size = Math.max(a.sizeBytes, b.sizeBytes);
  const buffers = [new Uint8Array(chunkBytes), new Uint8Array(chunkBytes)] as const;
  for (let at = 0; at < size; ) {
    const [inA, inB] = await Promise.all([
      extentAt(a, at, size - at, 0),
      extentAt(b, at, size - at, 0),
    ]);
    const empty = ({ kind }: Extent) => kind === 'zero' || kind === 'hole';
    let length = Math.min(inA.length, inB.length);
    if (!empty(inA) || !empty(inB)) {
      length = Math.min(length, chunkBytes);
      const [left, right] = [buffers[0].subarray(0, length), buffers[1].subarray(0, length)];
      await Promise.all([readPadded(a, at, left), readPadded(b, at, right)]);
      const different = firstDifference(left, right);
      if (different >= 0) return at + different;
    }
    at += length;
    progress(at / size);
  }
  return undefined;
}

async function readPadded(disk: Disk, offset: number, into: Uint8Array): Promise<void> {
  const there = Math.min(Math.max(disk.sizeBytes - offset, 0), into.length);
  into.fill(0, there);
  if (there > 0) await disk.read(offset, into.subarray(0, there));
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return i;
  return -1;
}

/** Moves what an overlay has into its backing file; the overlay is empty afterwards. */
export async function commitDisk(
  host: DiskHost,
  spec: FileSpec,
  progress: Progress,
): Promise<void> {
  const overlay = await openQcow2(host, spec, { writable: true, alone: true });
  try {
    const link = backingOf(host, spec, overlay.image.header);
    if (link === undefined) throw new DiskError('usage', `${spec.path} has no backing file`);
    const base = await openDisk(host, link, { writable: true });
    try {
      if (overlay.sizeBytes > base.sizeBytes) await base.resize?.(overlay.sizeBytes);
      for await (const { offset, length, kind } of extents(overlay)) {
        if (kind === 'zero') await base.writeZeroes(offset, length, true);
        else if (kind !== 'hole') {
          await inChunks(offset, length, chunkBytes, async (at, count) => {
            const bytes = new Uint8Array(count);
            await overlay.read(at, bytes);
            await base.write(at, bytes);
          });
        }
        progress((offset + length) / overlay.sizeBytes);
      }
      await base.flush();
    } finally {
      await base.close();
    }
    await overlay.unmap(0, overlay.sizeBytes);
  } finally {
    await overlay.close();
  }
}

/**
 * Gives an overlay another backing file, or none. What the two backing files have different is
 * written into the overlay first, unless `unsafe` says that they are the same.
 */
export async function rebaseDisk(
  host: DiskHost,
  spec: FileSpec,
  backing: FileSpec | undefined,
  unsafe: boolean,
  progress: Progress,
): Promise<void> {
  const overlay = await openQcow2(host, spec, { writable: true, alone: unsafe });
  const base =
    backing === undefined || unsafe
      ? undefined
      : await openDisk(host, backing, { writable: false }).catch(async (error) => {
          await overlay.close();
          throw error;
        });
  try {
    const unit = overlay.discardUnitBytes;
    for (let at = 0; !unsafe && at < overlay.sizeBytes; ) {
      const { kind, length } = await overlay.extent(at, overlay.sizeBytes - at);
      if (kind === 'hole') {
        await inChunks(at, length, unit, async (offset, count) => {
          const [before, after] = [new Uint8Array(count), new Uint8Array(count)];
          await overlay.read(offset, before);
          if (base !== undefined) await readPadded(base, offset, after);
          if (firstDifference(before, after) >= 0) await overlay.write(offset, before);
        });
      }
      at += length;
      progress(at / overlay.sizeBytes);
    }
    const format = backing?.format ?? 'raw';
    const name = backing === undefined ? '' : host.relative(spec.path, backing.path);
    await overlay.setBacking(backing === undefined ? undefined : { name, format });
  } finally {
    await base?.close();
    await overlay.close();
  }
}
