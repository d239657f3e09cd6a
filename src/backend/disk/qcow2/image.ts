import { DiskError } from '../disk.js';
import type { DiskFile } from '../disk-file.js';
import {
  autoclear,
  compatible,
  corrupt,
  encodeHeader,
  type Header,
  hasBitmaps,
  incompatible,
  l2EntriesOf,
  parseHeader,
} from './header.js';
import { Refcounts } from './refcounts.js';
import { Table, TableCache } from './table.js';

const cacheBytes = 32 << 20;
/** Changed tables and freed clusters wait in memory for the next flush, but not without bound. */
const mostDirty = { tableBytes: 8 << 20, frees: 1 << 16 };

/** Bit 63 of an L1 or L2 entry, in its upper half: the reference count is exactly one. */
export const copiedBit = 0x80000000;
const offsetMask = 0x00ffffff;

/** The offset in an L1 entry or a standard L2 entry, bits 9 to 55. */
export const entryOffset = (high: number, low: number) =>
  (high & offsetMask) * 2 ** 32 + ((low & ~0x1ff) >>> 0);

/** The first cluster of the file, or all of a file that is shorter. */
export async function readHeader(file: DiskFile): Promise<Header> {
  const bytes = new Uint8Array(Math.min(file.sizeBytes, 2 << 20));
  await file.read(0, bytes);
  return parseHeader(file.name, bytes, file.sizeBytes);
}

/**
 * An image's metadata. Changes are made in memory; {@link flush} brings them to the file such that
 * at every moment what the medium has is consistent, however writes are torn or reordered:
 *
 *     1. data, new L2 tables, reference counts    nothing on the medium points to what is new
 *     2. refcount table, header                   only when the first level grew
 *     3. L2 entries, L1 entries                   now what they point to is there and counted
 *     4. freed clusters count one less            now nothing points to them; the next flush writes it
 *
 * with the medium's own flush between. A power cut can leak clusters, never lose or mix them up.
 */
export class Image {
  readonly cluster: number;
  readonly l2s: TableCache;
  readonly refcounts: Refcounts;
  /** Clusters that hold metadata; a guest's data must never be written to one. */
  readonly metadata = new Set<number>();
  private frees: number[] = [];
  private readonly active = new Set<Promise<unknown>>();
  private committing: Promise<unknown> = Promise.resolve();
  private nextCommit: Promise<void> | undefined;
  private structure: Promise<unknown> = Promise.resolve();
  private broken: string | undefined;

  private constructor(
    readonly file: DiskFile,
    readonly header: Header,
    /** The active L1 table. */
    public l1: Table,
    reftable: Table,
    private readonly dataFile: DiskFile | undefined,
  ) {
    this.cluster = 2 ** header.clusterBits;
    this.l2s = new TableCache(file, this.cluster, cacheBytes);
    const moved = (first: number, count: number) => this.free(first, count);
    this.refcounts = new Refcounts(file, header, reftable, this.metadata, moved);
  }

  /** Reads the first levels. A dirty or corrupt image is repaired before it is opened to write. */
  static async open(file: DiskFile, header: Header, dataFile?: DiskFile): Promise<Image> {
    if (!file.readOnly) checkWritable(file.name, header);
    const cluster = 2 ** header.clusterBits;
    const table = async (offset: number, length: number) => {
      const read = new Table(offset, new Uint8Array(length));
      await file.read(offset, read.bytes);
      return read;
    };
    const l1 = await table(header.l1Offset, header.l1Entries * 8);
    const reftable = await table(header.reftableOffset, header.reftableClusters * cluster);
    const image = new Image(file, header, l1, reftable, dataFile);
    image.claimMetadata();
    const known = autoclear.bitmaps | autoclear.rawDataFile;
    if (!file.readOnly && (header.autoclear & ~known) !== 0) {
      header.autoclear &= known;
      await image.writeHeader();
    }
    return image;
  }

  /** Lists the clusters of active metadata; throws `corrupt` where two pieces share one. */
  claimMetadata(): void {
    const { header, cluster, l1, refcounts } = this;
    const { reftable } = refcounts;
    this.metadata.clear();
    this.claim('header', 0, cluster);
    this.claim('l1_table', l1.offset, l1.bytes.length);
    this.claim('refcount_table', reftable.offset, reftable.bytes.length);
    this.claim('snapshots', header.snapshotsOffset, header.snapshotCount);
    for (let i = 0; i < reftable.bytes.length / 8; i++) {
      const offset = reftable.u64(i);
      this.claim(`refcount_table[${i}]`, offset, offset === 0 ? 0 : cluster);
    }
    for (let i = 0; i < header.l1Entries; i++) {
      const offset = this.l2Offset(i);
      this.claim(`l1_table[${i}]`, offset, offset === 0 ? 0 : cluster);
    }
  }

  private claim(field: string, offset: number, length: number): void {
    if (length === 0) return;
    if (offset % this.cluster !== 0) {
      throw corrupt(this.file.name, field, offset, `a multiple of ${this.cluster}`);
    }
    for (let at = offset / this.cluster; at * this.cluster < offset + length; at++) {
      if (this.metadata.has(at)) {
        throw corrupt(this.file.name, field, offset, 'a cluster that holds no other metadata');
      }
      this.metadata.add(at);
    }
  }

  get lazy(): boolean {
    return (this.header.compatible & compatible.lazyRefcounts) !== 0;
  }

  /** Clusters of the disk that one L2 table maps. */
  get l2Entries(): number {
    return l2EntriesOf(this.header);
  }

  l2Offset(index: number): number {
    const { view } = this.l1;
    return entryOffset(view.getUint32(index * 8), view.getUint32(index * 8 + 4));
  }

  setL1(index: number, offset: number, copied: boolean): void {
    const { view } = this.l1;
    view.setUint32(index * 8, Math.floor(offset / 2 ** 32) | (copied ? copiedBit : 0));
    view.setUint32(index * 8 + 4, offset >>> 0);
    this.l1.touch(index * 8, 8);
  }

  /** The L2 table at an index of L1, or undefined where the disk has nothing of its own. */
  async l2(index: number): Promise<Table | undefined> {
    const offset = this.l2Offset(index);
    if (offset === 0) return undefined;
    return this.l2s.cached(offset) ?? this.l2s.load(offset, `l1_table[${index}]`);
  }

  /** The same to be changed: made where there is none, copied where a snapshot has it too. */
  async l2ForWrite(index: number): Promise<Table> {
    const there = await this.l2(index);
    // Somebody may have put another in its place meanwhile.
    if (there !== undefined && this.ownsL2(index) && there.offset === this.l2Offset(index)) {
      return there;
    }
    const made = this.structure.then(async () => {
      const old = await this.l2(index);
      if (old !== undefined && this.ownsL2(index)) return old;
      const first = await this.refcounts.allocate(1);
      const bytes = old?.bytes.slice() ?? new Uint8Array(this.cluster);
      const table = this.l2s.add(new Table(first * this.cluster, bytes, true));
      this.metadata.add(first);
      this.setL1(index, table.offset, true);
      if (old !== undefined) {
        this.l2s.drop(old.offset);
        this.free(old.offset / this.cluster, 1);
      }
      return table;
    });
    this.structure = made.catch(() => {});
    return made;
  }

  private ownsL2(index: number): boolean {
    return (this.l1.view.getUint32(index * 8) & copiedBit) !== 0;
  }

  /** Nothing in memory points to these clusters any more, or one thing less does. */
  free(first: number, count: number): void {
    for (let at = first; at < first + count; at++) {
      this.frees.push(at);
      this.metadata.delete(at);
      this.refcounts.leave(at);
    }
  }

  /** Flushes until the medium has every count too, whatever is lazy. */
  async flushAll(): Promise<void> {
    await this.flush();
    const { blocks } = this.refcounts;
    while (this.frees.length > 0 || blocks.dirty.size > 0) await this.inTurn(true);
  }

  /** Requests under way: a cluster freed meanwhile is not given to another before they end. */
  async track<T>(work: () => Promise<T>): Promise<T> {
    if (this.broken !== undefined) throw new DiskError('corrupt', this.broken);
    const request = work();
    this.active.add(request);
    try {
      return await request;
    } catch (error) {
      if (error instanceof DiskError && error.code === 'corrupt') await this.markCorrupt(error);
      throw error;
    } finally {
      this.active.delete(request);
    }
  }

  /** What contradicts itself is not written to any more, by nobody, until it is repaired. */
  private async markCorrupt(error: DiskError): Promise<void> {
    if (this.file.readOnly || this.header.version < 3 || this.broken !== undefined) return;
    this.broken = `${error.message}; it takes no more requests until chassis disk repair mends it`;
    await this.setFeature('corrupt', true).catch(() => {});
  }

  /** What is in memory is of no use: nothing more is written, closing writes nothing either. */
  abandon(why: string): void {
    this.broken = why;
  }

  /** To be awaited by whoever changed tables, so that memory stays bounded. */
  async throttle(): Promise<void> {
    const tables = this.l2s.dirty.size + (this.lazy ? 0 : this.refcounts.blocks.dirty.size);
    if (tables * this.cluster < mostDirty.tableBytes && this.frees.length < mostDirty.frees) return;
    await this.flush();
  }

  /** Resolves when all that was completed before the call is on the medium. */
  flush(): Promise<void> {
    // The one that runs may have begun too early; one that waits has not begun.
    if (this.nextCommit !== undefined) return this.nextCommit;
    this.nextCommit = this.inTurn(!this.lazy, () => {
      this.nextCommit = undefined;
    });
    return this.nextCommit;
  }

  /** One commit after the other. */
  private inTurn(withCounts: boolean, begins?: () => void): Promise<void> {
    const next = this.committing.then(() => {
      begins?.();
      return this.commit(withCounts);
    });
    this.committing = next.catch(() => {});
    return next;
  }

  private async commit(withCounts: boolean): Promise<void> {
    const { file, refcounts, header } = this;
    if (!withCounts && (refcounts.blocks.dirty.size > 0 || this.frees.length > 0)) {
      if ((header.incompatible & incompatible.dirty) === 0) await this.setFeature('dirty', true);
    }
    const frees = this.frees;
    this.frees = [];
    const undo: (() => void)[] = [];
    try {
      if (frees.length > 0) await Promise.allSettled(this.active);
      const [first, ...later] = this.collect(withCounts, undo);
      await this.dataFile?.flush();
      await this.writeAll(first!);
      for (const stage of later.filter(({ length }) => length > 0)) {
        await file.flush();
        await this.writeAll(stage);
      }
      await file.flush();
    } catch (error) {
      for (const back of undo) back();
      this.frees.push(...frees);
      throw error;
    }
    await this.release(frees);
  }

  private async writeAll(pieces: readonly Piece[]): Promise<void> {
    await settled(pieces.map(({ offset, bytes }) => this.file.write(offset, bytes)));
  }

  /** What the file lacks at this moment, by stage. `undo` makes it count as lacking again. */
  private collect(withCounts: boolean, undo: (() => void)[]): Piece[][] {
    const { header, refcounts, file } = this;
    const [early, moved, late]: Piece[][] = [[], [], []];
    const take = (table: Table, stage: Piece[], cache?: TableCache) => {
      if (!table.dirty) return;
      const { fresh } = table;
      (fresh ? early : stage)!.push(table.takeDirty());
      table.fresh = false;
      cache?.dirty.delete(table);
      undo.push(() => {
        table.fresh = fresh;
        table.touch(0, table.bytes.length);
        cache?.dirty.add(table);
      });
    };
    const takeHeader = (fields: Partial<Header>, stage: Piece[]) => {
      const before = { ...header };
      undo.push(() => Object.assign(header, before));
      Object.assign(header, fields);
      stage.push({ offset: 0, bytes: encodeHeader(file.name, header) });
    };
    if (withCounts) {
      for (const block of refcounts.blocks.dirty) take(block, early!, refcounts.blocks);
      const { reftable } = refcounts;
      take(reftable, moved!);
      if (header.reftableOffset !== reftable.offset) {
        const reftableClusters = reftable.bytes.length / this.cluster;
        takeHeader({ reftableOffset: reftable.offset, reftableClusters }, moved!);
      }
    }
    for (const table of this.l2s.dirty) take(table, late!, this.l2s);
    take(this.l1, late!);
    if (header.l1Offset !== this.l1.offset) {
      takeHeader({ l1Offset: this.l1.offset, l1Entries: this.l1.bytes.length / 8 }, late!);
    }
    return [early!, moved!, late!];
  }

  /** Clusters that nothing on the medium points to any more; their space goes back to the host. */
  private async release(frees: number[]): Promise<void> {
    frees.sort((a, b) => a - b);
    let at = 0;
    try {
      while (at < frees.length) {
        const first = frees[at]!;
        let last = at;
        while (frees[last] === first + last - at) {
          if ((await this.refcounts.get(frees[last]!)) !== 1) break;
          last++;
        }
        // Given back while nobody else can get them yet.
        if (last > at) await this.file.punch(first * this.cluster, (last - at) * this.cluster);
        last = Math.max(last, at + 1);
        for (; at < last; at++) await this.refcounts.add(frees[at]!, -1);
      }
    } catch (error) {
      this.frees.push(...frees.slice(at));
      throw error;
    }
  }

  /** Sets or clears a bit of incompatible_features on the medium; version 2 has none. */
  async setFeature(name: 'dirty' | 'corrupt', on: boolean): Promise<void> {
    if (this.header.version < 3) return;
    if (on) this.header.incompatible |= incompatible[name];
    else this.header.incompatible &= ~incompatible[name];
    await this.writeHeader();
  }

  async writeHeader(): Promise<void> {
    await this.file.write(0, encodeHeader(this.file.name, this.header));
    await this.file.flush();
  }

  /** A new L1 table of `entries`, with what the old one had; the next flush brings it. */
  async replaceL1(entries: number, contents: Uint8Array): Promise<void> {
    const old = this.l1;
    const clusters = (bytes: number) => Math.ceil(bytes / this.cluster);
    const first = await this.refcounts.allocate(clusters(entries * 8));
    const bytes = new Uint8Array(entries * 8);
    bytes.set(contents);
    this.l1 = new Table(first * this.cluster, bytes, true);
    for (let i = 0; i < clusters(entries * 8); i++) this.metadata.add(first + i);
    this.free(old.offset / this.cluster, clusters(old.bytes.length));
  }

  async close(): Promise<void> {
    try {
      if (this.file.readOnly || this.broken !== undefined) return;
      await this.flushAll();
      if ((this.header.incompatible & incompatible.dirty) !== 0) {
        await this.setFeature('dirty', false);
      }
    } finally {
      await this.file.close();
      await this.dataFile?.close();
    }
  }
}

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Waits for all, then throws what the first of them failed with. */
export async function settled(work: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'rejected') throw result.reason;
  }
}

/** Refuses to write to what a repair must come before, or what would go stale. */
function checkWritable(name: string, header: Header): void {
  if ((header.incompatible & incompatible.corrupt) !== 0) {
    throw new DiskError('corrupt', `${name} is marked corrupt; chassis disk repair mends it`);
  }
  if (hasBitmaps(header)) {
    throw new DiskError('unsupported', `${name} has bitmaps; wanted none in an image to write to`);
  }
}
