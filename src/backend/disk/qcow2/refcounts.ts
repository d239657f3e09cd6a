import { DiskError } from '../disk.js';
import type { DiskFile } from '../disk-file.js';
import { corrupt, type Header, writeU64 } from './header.js';
import { Table, TableCache } from './table.js';

/** Reference counts have 1 to 64 bits, those below 8 from the least significant bit on. */
export function getCount(view: DataView, order: number, index: number): number {
  if (order === 4) return view.getUint16(index * 2);
  if (order < 3) {
    const shift = (index % (8 >> order)) << order;
    return (view.getUint8(index >> (3 - order)) >> shift) & ((1 << (1 << order)) - 1);
  }
  const bytes = 1 << (order - 3);
  let count = 0;
  for (let i = 0; i < bytes; i++) count = count * 256 + view.getUint8(index * bytes + i);
  return count;
}

export function setCount(view: DataView, order: number, index: number, count: number): void {
  if (order < 3) {
    const at = index >> (3 - order);
    const shift = (index % (8 >> order)) << order;
    const mask = ((1 << (1 << order)) - 1) << shift;
    view.setUint8(at, (view.getUint8(at) & ~mask) | (count << shift));
    return;
  }
  const bytes = 1 << (order - 3);
  for (let i = bytes - 1, left = count; i >= 0; i--, left = Math.floor(left / 256)) {
    view.setUint8(index * bytes + i, left % 256);
  }
}

/** The most a reference count of this width can be. */
export const maxCount = (order: number) => Math.min(2 ** (1 << order) - 1, Number.MAX_SAFE_INTEGER);

/** Which clusters of the file are in use, how often, and which are handed out next. */
export class Refcounts {
  readonly blocks: TableCache;
  /** Clusters from here on were never used: what was not written there reads as zeroes. */
  freshFrom: number;
  /** No cluster before it is free. */
  private cursor = 0;
  /** Where runs of several clusters are looked for; single free ones before it are left alone. */
  private runCursor = 0;
  private queue: Promise<unknown> = Promise.resolve();
  private compressedAt = 0;

  constructor(
    private readonly file: DiskFile,
    private readonly header: Header,
    /** The first level; replaced by a larger one as the file grows. */
    public reftable: Table,
    /** Clusters that hold metadata: what is found free must not be one of them. */
    private readonly metadata: Set<number>,
    /** The old first level's clusters are free once the header names the new one. */
    private readonly onMoved: (oldFirst: number, oldCount: number) => void,
  ) {
    const cluster = 2 ** header.clusterBits;
    this.blocks = new TableCache(file, cluster, 16 << 20);
    this.freshFrom = Math.ceil(file.sizeBytes / cluster);
  }

  private get perBlock(): number {
    return 2 ** (this.header.clusterBits + 3 - this.header.refcountOrder);
  }

  private async block(cluster: number): Promise<Table | undefined> {
    const index = Math.floor(cluster / this.perBlock);
    if (index * 8 >= this.reftable.bytes.length) return undefined;
    const offset = this.reftable.u64(index);
    if (offset === 0) return undefined;
    return this.blocks.cached(offset) ?? this.blocks.load(offset, `refcount block ${index}`);
  }

  async get(cluster: number): Promise<number> {
    const block = await this.block(cluster);
    if (block === undefined) return 0;
    return getCount(block.view, this.header.refcountOrder, cluster % this.perBlock);
  }

  /** Adds `delta` to a count; `unsupported` when its width cannot hold the sum. */
  async add(cluster: number, delta: number): Promise<void> {
    const { refcountOrder } = this.header;
    const block =
      (await this.block(cluster)) ?? (await this.serial(() => this.addBlock(cluster, 0)));
    const index = cluster % this.perBlock;
    const sum = getCount(block.view, refcountOrder, index) + delta;
    if (sum < 0) {
      throw corrupt(this.file.name, `refcount of cluster ${cluster}`, sum - delta, `${-delta}`);
    }
    if (sum > maxCount(refcountOrder)) {
      throw new DiskError(
        'unsupported',
        `${this.file.name}: reference counts of ${1 << refcountOrder} bits cannot count to ${sum}`,
      );
    }
    this.set(block, index, sum);
    if (sum > 0) return;
    this.cursor = Math.min(this.cursor, cluster);
    this.runCursor = Math.min(this.runCursor, cluster);
  }

  /** The first of `count` adjacent clusters, each counted once from now on. */
  allocate(count: number): Promise<number> {
    return this.serial(() => this.find(count));
  }

  /** Where `length` bytes of compressed data may go; the clusters they touch count one more. */
  allocateBytes(length: number): Promise<number> {
    return this.serial(async () => {
      const size = 2 ** this.header.clusterBits;
      const before = this.compressedAt;
      const room = (size - (before % size)) % size;
      const last = Math.floor(before / size);
      const next = room < length ? (await this.find(1)) * size : 0;
      const block = await this.block(last);
      const index = last % this.perBlock;
      const count =
        block === undefined ? 0 : getCount(block.view, this.header.refcountOrder, index);
      const follows = room >= length || next === (last + 1) * size;
      const joins = room > 0 && follows && count < maxCount(this.header.refcountOrder);
      let at = before;
      // Somebody may have left the cluster meanwhile: what is left may be punched out.
      if (joins && this.compressedAt === before) this.set(block!, index, count + 1);
      else at = next !== 0 ? next : (await this.find(1)) * size;
      this.compressedAt = at + length;
      return at;
    });
  }

  /** Compressed data is not added any more to a cluster that somebody left. */
  leave(cluster: number): void {
    if (Math.floor(this.compressedAt / 2 ** this.header.clusterBits) === cluster) {
      this.compressedAt = 0;
    }
  }

  private set(block: Table, index: number, count: number): void {
    const { refcountOrder } = this.header;
    setCount(block.view, refcountOrder, index, count);
    this.blocks.touch(
      block,
      Math.floor((index * 2 ** refcountOrder) / 8),
      Math.max(1, 2 ** (refcountOrder - 3)),
    );
  }

  /** One at a time, so that no two find the same cluster free. */
  private serial<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }

  private async find(count: number): Promise<number> {
    const { perBlock } = this;
    const { refcountOrder } = this.header;
    let first = count === 1 ? this.cursor : Math.max(this.cursor, this.runCursor);
    for (let at = first; at - first < count; ) {
      const block = await this.block(at);
      if (block === undefined) {
        await this.addBlock(at, count);
        continue;
      }
      const end = Math.min((Math.floor(at / perBlock) + 1) * perBlock, first + count);
      for (; at < end; at++) {
        if (getCount(block.view, refcountOrder, at % perBlock) !== 0) first = at + 1;
        else this.checkFree(at);
      }
    }
    for (let at = first; at < first + count; at++) {
      this.set((await this.block(at))!, at % perBlock, 1);
    }
    if (count === 1 || this.cursor === first) this.cursor = first + count;
    else this.runCursor = first + count;
    this.freshFrom = Math.max(this.freshFrom, first + count);
    return first;
  }

  private checkFree(cluster: number): void {
    if (!this.metadata.has(cluster)) return;
    const field = `refcount of cluster ${cluster}`;
    throw corrupt(this.file.name, field, 0, 'at least 1: it holds metadata');
  }

  /**
   * A block for the counts around `cluster`, which has none: all clusters it counts are free. It is
   * the first of them itself; a larger first level, where one is needed, follows it. More blocks are
   * added when less than `wanted` clusters in a row would be left between this one and the next.
   */
  private async addBlock(cluster: number, wanted: number): Promise<Table> {
    const there = await this.block(cluster);
    if (there !== undefined) return there;
    const size = 2 ** this.header.clusterBits;
    const index = Math.floor(cluster / this.perBlock);
    const first = index * this.perBlock;
    const old = this.reftable;
    let blocks = 1;
    let tableClusters = 0;
    for (; ; blocks++) {
      const grows = (index + blocks) * 8 > old.bytes.length;
      tableClusters = grows
        ? Math.ceil((Math.max(index + blocks + 16, index * 1.5) * 8) / size)
        : 0;
      const next =
        grows || (index + blocks + 1) * 8 > old.bytes.length ? 0 : old.u64(index + blocks);
      if (blocks + tableClusters + wanted <= blocks * this.perBlock || next !== 0) break;
    }
    for (let at = first; at < first + blocks + tableClusters; at++) this.checkFree(at);
    if (tableClusters > 0) {
      const bytes = new Uint8Array(tableClusters * size);
      bytes.set(old.bytes);
      this.reftable = new Table((first + blocks) * size, bytes, true);
      this.onMoved(old.offset / size, old.bytes.length / size);
    }
    for (let i = 0; i < blocks; i++) {
      const block = new Table((first + i) * size, new Uint8Array(size), true);
      this.blocks.add(block);
      writeU64(this.reftable.view, (index + i) * 8, block.offset);
      this.reftable.touch((index + i) * 8, 8);
    }
    for (let at = first; at < first + blocks + tableClusters; at++) {
      this.metadata.add(at);
      this.set((await this.block(at))!, at % this.perBlock, 1);
    }
    this.freshFrom = Math.max(this.freshFrom, first + blocks + tableClusters);
    return (await this.block(cluster))!;
  }
}
