import { DiskError } from '../disk.js';
import { l1EntriesFor } from './header.js';
import { copiedBit, entryOffset, type Image } from './image.js';
import { EntryFormat } from './l2-entry.js';
import type { Qcow2Disk } from './qcow2-disk.js';
import { encodeSnapshots, readSnapshots, type Snapshot } from './snapshot-table.js';

/**
 * Internal snapshots. No request may be under way meanwhile. In version 3 the dirty bit covers the
 * steps between which counts and bits disagree: an interrupted one is repaired when next opened.
 */

export async function listSnapshots({ image }: Qcow2Disk): Promise<readonly Snapshot[]> {
  return (await readSnapshots(image.file, image.header)).snapshots;
}

/** Keeps what the disk holds now under a name. */
export async function createSnapshot(disk: Qcow2Disk, name: string, dateMs: number): Promise<void> {
  const { image } = disk;
  await change(disk, name, false, async (snapshots) => {
    await forEachCluster(image, image.l1.bytes, (at) => image.refcounts.add(at, 1));
    await setCopied(image);
    const first = await image.refcounts.allocate(clustersOf(image, image.l1.bytes.length));
    await image.file.write(first * image.cluster, image.l1.bytes);
    const id = Math.max(0, ...snapshots.map((other) => Number(other.id) || 0)) + 1;
    const added: Snapshot = {
      id: String(id),
      name,
      l1Offset: first * image.cluster,
      l1Entries: image.l1.bytes.length / 8,
      dateSeconds: Math.floor(dateMs / 1000),
      sizeBytes: disk.sizeBytes,
      vmStateBytes: 0,
      clock: new Uint8Array(12),
      extra: new Uint8Array(0),
    };
    await writeTable(image, [...snapshots, added]);
  });
}

/** Makes the disk what it was when the snapshot was taken. */
export async function applySnapshot(disk: Qcow2Disk, name: string): Promise<void> {
  const { image } = disk;
  await change(disk, name, true, async (_, found) => {
    const l1 = new Uint8Array(found.l1Entries * 8);
    await image.file.read(found.l1Offset, l1);
    const before = image.l1.bytes.slice();
    await forEachCluster(image, l1, (at) => image.refcounts.add(at, 1));
    const entries = Math.max(found.l1Entries, l1EntriesFor(image.header, found.sizeBytes), 1);
    image.header.sizeBytes = found.sizeBytes;
    await image.replaceL1(entries, l1);
    await image.flushAll();
    await forEachCluster(image, before, async (at) => image.free(at, 1));
  });
  disk.onResize?.(disk.sizeBytes);
}

export async function deleteSnapshot(disk: Qcow2Disk, name: string): Promise<void> {
  const { image } = disk;
  await change(disk, name, true, async (snapshots, found) => {
    const l1 = new Uint8Array(found.l1Entries * 8);
    await image.file.read(found.l1Offset, l1);
    const others = snapshots.filter((snapshot) => snapshot !== found);
    await writeTable(image, others);
    await forEachCluster(image, l1, async (at) => image.free(at, 1));
    image.free(found.l1Offset / image.cluster, clustersOf(image, l1.length));
  });
}

const clustersOf = (image: Image, bytes: number) => Math.ceil(bytes / image.cluster);

const usage = ({ image }: Qcow2Disk, why: string) =>
  new DiskError('usage', `${image.file.name} ${why}`);

async function change(
  disk: Qcow2Disk,
  name: string,
  exists: boolean,
  work: (snapshots: Snapshot[], found: Snapshot) => Promise<void>,
): Promise<void> {
  const { image } = disk;
  if (disk.readOnly) throw new DiskError('read-only', `${image.file.name} is opened read-only`);
  if (image.header.dataFile !== undefined) throw usage(disk, 'has a data file, so no snapshots');
  const { snapshots } = await readSnapshots(image.file, image.header);
  const found = snapshots.find((other) => other.name === name);
  if (exists !== (found !== undefined)) {
    throw usage(disk, `has ${exists ? 'no' : 'a'} snapshot "${name}"${exists ? '' : ' already'}`);
  }
  if (name === '') throw usage(disk, 'cannot have a snapshot without a name');
  await image.flushAll();
  await image.setFeature('dirty', true);
  try {
    await work(snapshots, found as Snapshot);
    await image.flushAll();
    await setCopied(image);
    await image.flushAll();
    image.claimMetadata();
  } catch (error) {
    image.abandon(`${image.file.name}: a snapshot was interrupted: ${(error as Error).message}`);
    throw error;
  }
  await image.setFeature('dirty', false);
}

/** The new table is there before the header names it, and the old one free after. */
async function writeTable(image: Image, snapshots: readonly Snapshot[]): Promise<void> {
  const { header, cluster } = image;
  const old = await readSnapshots(image.file, header);
  const oldFirst = header.snapshotsOffset / cluster;
  const bytes = encodeSnapshots(snapshots);
  let first = 0;
  if (bytes.length > 0) {
    first = await image.refcounts.allocate(clustersOf(image, bytes.length));
    await image.file.write(first * cluster, bytes);
  }
  await image.flushAll();
  header.snapshotsOffset = first * cluster;
  header.snapshotCount = snapshots.length;
  await image.writeHeader();
  image.free(oldFirst, clustersOf(image, old.bytes));
}

/** Every cluster that an L1 table leads to: its L2 tables, and data as often as entries use it. */
async function forEachCluster(
  image: Image,
  l1: Uint8Array,
  visit: (cluster: number) => Promise<void>,
): Promise<void> {
  const view = new DataView(l1.buffer, l1.byteOffset, l1.length);
  const format = new EntryFormat(image.header, false);
  for (let i = 0; i < l1.length / 8; i++) {
    const offset = entryOffset(view.getUint32(i * 8), view.getUint32(i * 8 + 4));
    if (offset === 0) continue;
    const l2 = image.l2s.cached(offset) ?? (await image.l2s.load(offset, `l1_table[${i}]`));
    for (let j = 0; j < image.l2Entries; j++) {
      const { host, compressedBytes } = format.read(l2, j);
      if (host === 0) continue;
      const last = Math.floor((host + Math.max(compressedBytes, 1) - 1) / image.cluster);
      for (let at = Math.floor(host / image.cluster); at <= last; at++) await visit(at);
    }
    await visit(offset / image.cluster);
  }
}

/** Makes bit 63 of every active entry say whether its count is exactly one. */
async function setCopied(image: Image): Promise<void> {
  const format = new EntryFormat(image.header, false);
  for (let i = 0; i < image.l1.bytes.length / 8; i++) {
    const l2 = await image.l2(i);
    if (l2 === undefined) continue;
    const count = await image.refcounts.get(l2.offset / image.cluster);
    image.setL1(i, l2.offset, count === 1);
    for (let j = 0; j < image.l2Entries; j++) {
      const entry = format.read(l2, j);
      if (entry.host === 0 || entry.compressedBytes > 0) continue;
      const own = (await image.refcounts.get(entry.host / image.cluster)) === 1;
      if (own === entry.own) continue;
      const at = j * format.bytes;
      l2.view.setUint32(at, (l2.view.getUint32(at) & ~copiedBit) | (own ? copiedBit : 0));
      image.l2s.touch(l2, at, 4);
    }
  }
}
