import { checkRange, type Disk, DiskError, type Extent, sectorBytes } from '../disk.js';
import type { ClusterCodec, DiskFile } from '../disk-file.js';
import { isZero, zeroFile } from '../zeroes.js';
import { autoclear, corrupt, type Header, l1EntriesFor } from './header.js';
import { type Image, settled } from './image.js';
import { type Entry, EntryFormat, nothing, unitMask } from './l2-entry.js';
import { RangeLocks } from './range-locks.js';
import type { Table } from './table.js';

/** Bytes of the disk that are of one kind, one after the other in the file too. */
interface Run {
  readonly kind: Extent['kind'];
  readonly length: number;
  readonly host: number;
  /** Data that may be written where it is. */
  readonly own: boolean;
  readonly compressedBytes: number;
}

/** What becomes of bytes that shall not be there any more. */
type Clearing =
  /** Whole clusters are freed where that makes them read as zeroes; others stay. */
  | 'discard'
  /** They read as zeroes and keep their place. */
  | 'keep'
  /** They read as zeroes and their place is free. */
  | 'free'
  /** They are not in this image any more, and a backing file shows through. */
  | 'unmap';

const chunkBytes = 1 << 20;

/** A qcow2 image as a disk, with what it shows of its backing file. */
export class Qcow2Disk implements Disk {
  onResize: ((sizeBytes: number) => void) | undefined;
  private readonly format: EntryFormat;
  private readonly cluster: number;
  private readonly unit: number;
  private readonly locks = new RangeLocks();
  private readonly data: DiskFile;

  constructor(
    /** Its metadata, for snapshots and information. */
    readonly image: Image,
    readonly backing: Disk | undefined,
    private readonly external: DiskFile | undefined,
    private readonly codec: ClusterCodec,
  ) {
    this.format = new EntryFormat(image.header, external !== undefined);
    this.cluster = image.cluster;
    this.unit = image.cluster / this.format.units;
    this.data = external ?? image.file;
  }

  private get header(): Header {
    return this.image.header;
  }

  private get name(): string {
    return this.image.file.name;
  }

  get sizeBytes(): number {
    return this.header.sizeBytes;
  }

  get readOnly(): boolean {
    return this.image.file.readOnly;
  }

  get discardUnitBytes(): number {
    return this.cluster;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    checkRange(this.name, this.sizeBytes, offset, into.length);
    await this.image.track(() => this.readRuns(offset, into));
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    this.checkWrite(offset, from.length);
    await this.image.track(() => this.writeRuns(offset, from));
    await this.image.throttle();
  }

  async flush(): Promise<void> {
    if (!this.readOnly) await this.image.flush();
  }

  async discard(offset: number, length: number): Promise<void> {
    this.checkWrite(offset, length);
    await this.image.track(() => this.clear(offset, length, 'discard'));
    await this.image.throttle();
  }

  async writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    this.checkWrite(offset, length);
    await this.image.track(() => this.clear(offset, length, mayUnmap ? 'free' : 'keep'));
    await this.image.throttle();
  }

  /** Makes a range unallocated: a backing file shows through. */
  async unmap(offset: number, length: number): Promise<void> {
    this.checkWrite(offset, length);
    await this.image.track(() => this.clear(offset, length, 'unmap'));
    await this.image.throttle();
  }

  /** Writes one whole cluster compressed; plain where that is not shorter. */
  async writeCompressed(offset: number, cluster: Uint8Array): Promise<void> {
    this.checkWrite(offset, cluster.length);
    const { image } = this;
    const whole = new Uint8Array(this.cluster);
    whole.set(cluster);
    const packed = this.external === undefined ? await this.codec.compress(whole) : undefined;
    if (packed === undefined) return this.write(offset, cluster);
    const index = offset / this.cluster;
    await image.track(() =>
      this.locks.hold(index, index, async () => {
        const host = await image.refcounts.allocateBytes(packed.length);
        const first = Math.floor(host / this.cluster);
        const last = Math.floor((host + packed.length - 1) / this.cluster);
        const table = await this.orFree(first, last - first + 1, async () => {
          await image.file.write(host, packed);
          return image.l2ForWrite(this.l1Index(index));
        });
        this.replace(index, table, { ...nothing, host, compressedBytes: packed.length });
      }),
    );
    await image.throttle();
  }

  async extent(offset: number, length: number): Promise<Extent> {
    const run = await this.run(offset, Math.min(length, this.sizeBytes - offset));
    const { kind, host } = run;
    return { kind, length: run.length, ...(kind === 'data' ? { hostOffset: host } : {}) };
  }

  async resize(sizeBytes: number): Promise<void> {
    this.checkWrite(0, 0);
    const { image, header } = this;
    const old = header.sizeBytes;
    const entries = l1EntriesFor(header, sizeBytes);
    if (sizeBytes % sectorBytes !== 0 || sizeBytes < 0 || entries * 8 > 32 << 20) {
      const wanted = `a multiple of ${sectorBytes} that the format can map`;
      throw new DiskError(
        'out-of-range',
        `${this.name}: size: found ${sizeBytes}, wanted ${wanted}`,
      );
    }
    if (header.version === 2 && header.snapshotCount > 0) {
      const why = 'version 2 snapshots do not have a size of their own';
      throw new DiskError(
        'unsupported',
        `${this.name} has snapshots and cannot be resized: ${why}`,
      );
    }
    const end = Math.ceil(sizeBytes / this.cluster) * this.cluster;
    if (sizeBytes < old) await image.track(() => this.clear(end, old - end, 'unmap'));
    else {
      if (entries > header.l1Entries) await image.replaceL1(entries, image.l1.bytes);
      // What is beyond the old end may hold anything, and a longer backing file would show.
      const hidden = Math.max(
        Math.ceil(old / this.cluster) * this.cluster,
        this.backing?.sizeBytes ?? 0,
      );
      const length = Math.min(hidden, sizeBytes) - old;
      if (length > 0) await image.track(() => this.clear(old, length, 'free'));
    }
    await image.flush();
    header.sizeBytes = sizeBytes;
    await image.writeHeader();
    if (this.external !== undefined && this.external.sizeBytes !== sizeBytes) {
      await this.external.truncate(sizeBytes);
    }
    this.onResize?.(sizeBytes);
  }

  /** Names another backing file, or none; what this disk shows meanwhile stays as it was. */
  async setBacking(backing: Header['backing']): Promise<void> {
    await this.image.flush();
    this.header.backing = backing;
    await this.image.writeHeader();
  }

  async close(): Promise<void> {
    try {
      await this.image.close();
    } finally {
      await this.backing?.close();
    }
  }

  private checkWrite(offset: number, length: number): void {
    if (this.readOnly) throw new DiskError('read-only', `${this.name} is opened read-only`);
    checkRange(this.name, this.sizeBytes, offset, length);
  }

  private l1Index(cluster: number): number {
    return Math.floor(cluster / this.image.l2Entries);
  }

  /** What is at `offset`, as far as it goes on like that in one L2 table. */
  private async run(offset: number, length: number): Promise<Run> {
    const { image, cluster, unit, format } = this;
    const first = Math.floor(offset / cluster);
    const mapped = image.l2Entries * cluster;
    const limit = Math.min(length, mapped - (offset % mapped));
    const l2 = await image.l2(this.l1Index(first));
    if (l2 === undefined) {
      return { kind: 'hole', length: limit, host: 0, own: false, compressedBytes: 0 };
    }
    let found: Run | undefined;
    let covered = 0;
    while (covered < limit) {
      const at = offset + covered;
      const index = Math.floor(at / cluster);
      const entry = format.read(l2, index % image.l2Entries);
      const within = at - index * cluster;
      if (found !== undefined && entry.compressedBytes > 0) break;
      const bit = Math.floor(within / unit);
      const kind = this.kindOf(entry, bit, at);
      const host = kind === 'data' ? entry.host + within : entry.host;
      const { own, compressedBytes } = entry;
      if (found === undefined) found = { kind, length: 0, host, own, compressedBytes };
      else if (kind !== found.kind) break;
      else if (kind === 'data' && (host !== found.host + covered || own !== found.own)) break;
      covered += kind === 'compressed' ? cluster - within : (bit + 1) * unit - within;
      if (kind === 'compressed') break;
    }
    return { ...found!, length: Math.min(covered, limit) };
  }

  private kindOf(entry: Entry, bit: number, offset: number): Run['kind'] {
    if (entry.compressedBytes > 0) return 'compressed';
    const zero = (entry.zero >>> bit) & 1;
    const allocated = (entry.allocated >>> bit) & 1;
    const { host } = entry;
    const field = `the L2 entry of offset ${offset}`;
    if (this.external !== undefined) {
      const guest = offset - (offset % this.cluster);
      if (allocated === 1 && host !== guest) throw corrupt(this.name, field, host, `${guest}`);
    } else if (allocated === 1 && (host % this.cluster !== 0 || host >= this.data.sizeBytes)) {
      const wanted = `a cluster in the file's ${this.data.sizeBytes} bytes`;
      throw corrupt(this.name, field, host, wanted);
    }
    if (zero === 1 && allocated === 1 && this.format.extended) {
      throw corrupt(this.name, field, 'data that is zero too', 'one of them');
    }
    if (zero === 1) return 'zero';
    return allocated === 1 ? 'data' : 'hole';
  }

  private async readRuns(offset: number, into: Uint8Array): Promise<void> {
    const parts: Promise<void>[] = [];
    for (let at = 0; at < into.length; ) {
      const run = await this.run(offset + at, into.length - at);
      const piece = into.subarray(at, at + run.length);
      if (run.kind === 'data') parts.push(this.data.read(run.host, piece));
      else if (run.kind === 'compressed') parts.push(this.inflate(run, offset + at, piece));
      else if (run.kind === 'hole') parts.push(this.readBacking(offset + at, piece));
      else piece.fill(0);
      at += run.length;
    }
    await settled(parts);
  }

  private async readBacking(offset: number, into: Uint8Array): Promise<void> {
    const there = Math.min(Math.max((this.backing?.sizeBytes ?? 0) - offset, 0), into.length);
    into.fill(0, there);
    if (there === 0) return;
    try {
      await this.backing!.read(offset, into.subarray(0, there));
    } catch (error) {
      // It is not this image that is corrupt, and must not be marked so.
      const foreign = error instanceof DiskError && error.code === 'corrupt';
      throw foreign ? new DiskError('io', error.message, { cause: error }) : error;
    }
  }

  private async inflate(run: Run, offset: number, into: Uint8Array): Promise<void> {
    const { file } = this.image;
    const field = `the compressed cluster of offset ${offset}`;
    if (run.host >= file.sizeBytes) {
      throw corrupt(
        this.name,
        field,
        `it at ${run.host}`,
        `it in the file's ${file.sizeBytes} bytes`,
      );
    }
    const packed = new Uint8Array(run.compressedBytes);
    await file.read(run.host, packed);
    const whole = new Uint8Array(this.cluster);
    try {
      await this.codec.decompress(packed, whole);
    } catch (error) {
      const { message } = error as Error;
      throw new DiskError('io', `${this.name}: ${field} does not decompress: ${message}`, {
        cause: error,
      });
    }
    const within = offset % this.cluster;
    into.set(whole.subarray(within, within + into.length));
  }

  private async writeRuns(offset: number, from: Uint8Array): Promise<void> {
    const parts: Promise<void>[] = [];
    for (let at = 0; at < from.length; ) {
      const run = await this.run(offset + at, from.length - at);
      const piece = from.subarray(at, at + run.length);
      if (run.kind === 'data' && run.own) parts.push(this.writeInPlace(run, piece));
      else parts.push(this.writeElsewhere(offset + at, piece));
      at += run.length;
    }
    await settled(parts);
  }

  private async writeInPlace(run: Run, from: Uint8Array): Promise<void> {
    const { image, cluster } = this;
    if (this.external === undefined) {
      const end = run.host + from.length;
      for (let at = Math.floor(run.host / cluster); at * cluster < end; at++) {
        if (!image.metadata.has(at)) continue;
        throw corrupt(this.name, `the place of data`, at * cluster, 'a cluster without metadata');
      }
    }
    await this.data.write(run.host, from);
  }

  private writeElsewhere(offset: number, from: Uint8Array): Promise<void> {
    const { cluster } = this;
    const last = Math.floor((offset + from.length - 1) / cluster);
    return this.locks.hold(Math.floor(offset / cluster), last, async () => {
      for (let at = 0; at < from.length; ) {
        // Whoever held these clusters before may have made a place for them.
        const run = await this.run(offset + at, from.length - at);
        const piece = from.subarray(at, at + run.length);
        if (run.kind === 'data' && run.own) await this.writeInPlace(run, piece);
        else await this.writeClusters(offset + at, piece);
        at += run.length;
      }
    });
  }

  /** Finds places for the clusters of one run, writes them with what is around, and enters them. */
  private async writeClusters(offset: number, from: Uint8Array): Promise<void> {
    const { image, cluster, unit, format } = this;
    const end = offset + from.length;
    const first = Math.floor(offset / cluster);
    const count = Math.floor((end - 1) / cluster) - first + 1;
    const entryOf = async (index: number): Promise<Entry> => {
      const l2 = await image.l2(this.l1Index(index));
      return l2 === undefined ? nothing : format.read(l2, index % image.l2Entries);
    };
    const entries: Entry[] = [];
    for (let i = 0; i < count; i++) entries.push(await entryOf(first + i));
    const keeps = entries.filter((entry) => this.keepsPlace(entry)).length;
    if (keeps > 0 && count > 1 && this.external === undefined) {
      // Places that are there already need not follow each other: one by one.
      for (let at = 0; at < from.length; ) {
        const length = Math.min(cluster - ((offset + at) % cluster), from.length - at);
        await this.writeClusters(offset + at, from.subarray(at, at + length));
        at += length;
      }
      return;
    }
    // A place of its own is filled up subcluster by subcluster; what is shared moves as a whole.
    const grain = (entry: Entry) =>
      keeps === 0 && (entry.allocated !== 0 || entry.compressedBytes > 0) ? cluster : unit;
    const start = offset - (offset % grain(entries[0]!));
    const tail = grain(entries[count - 1]!);
    const stop = Math.ceil(end / tail) * tail;
    const fresh = keeps === 0 && this.external === undefined;
    const { freshFrom } = image.refcounts;
    const place = await this.placeOf(first, count, entries[0]!, fresh);
    const table = await this.orFree(fresh ? place / cluster : 0, fresh ? count : 0, async () => {
      const around = await this.surround(offset, from, start, stop);
      const clean = fresh && place >= freshFrom * cluster && around.empty;
      const bytes = clean ? from : around.bytes;
      const to = place + ((clean ? offset : start) - first * cluster);
      await this.data.write(to, bytes);
      return image.l2ForWrite(this.l1Index(first));
    });
    for (let i = 0; i < count; i++) {
      const base = (first + i) * cluster;
      const from = Math.max(start - base, 0) / unit;
      const to = Math.min(stop - base, cluster) / unit;
      const mask = unitMask(from, to);
      const old = entries[i]!;
      const allocated = (grain(old) === cluster ? mask : old.allocated | mask) >>> 0;
      const zero = (old.zero & ~mask) >>> 0;
      const host = place + i * cluster;
      this.replace(first + i, table, {
        host,
        own: true,
        compressedBytes: 0,
        allocated,
        zero,
      });
    }
  }

  /** Clusters that were found for what then failed are free again. */
  private async orFree<T>(first: number, count: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.image.free(first, count);
      throw error;
    }
  }

  private keepsPlace(entry: Entry): boolean {
    return this.external !== undefined || (entry.own && entry.host !== 0);
  }

  private async placeOf(
    first: number,
    count: number,
    entry: Entry,
    fresh: boolean,
  ): Promise<number> {
    if (this.external !== undefined) return first * this.cluster;
    return fresh ? (await this.image.refcounts.allocate(count)) * this.cluster : entry.host;
  }

  /** `from` with what the disk has before it from `start` on and after it up to `stop`. */
  private async surround(offset: number, from: Uint8Array, start: number, stop: number) {
    const end = offset + from.length;
    if (start === offset && stop === end) return { bytes: from, empty: true };
    const bytes = new Uint8Array(stop - start);
    const head = bytes.subarray(0, offset - start);
    const tail = bytes.subarray(end - start);
    await settled([this.readRuns(start, head), this.readRuns(end, tail)]);
    const empty = isZero(head) && isZero(tail);
    bytes.set(from, offset - start);
    return { bytes, empty };
  }

  /** Changes an entry of a table that is in memory; the old place is free when it was another. */
  private replace(index: number, table: Table, entry: Entry): void {
    const { image, format, cluster } = this;
    const slot = index % image.l2Entries;
    const old = format.read(table, slot);
    format.write(table, slot, entry);
    image.l2s.touch(table, slot * format.bytes, format.bytes);
    if (old.host === 0 || old.host === entry.host || this.external !== undefined) return;
    const first = Math.floor(old.host / cluster);
    const last = Math.floor((old.host + Math.max(old.compressedBytes, 1) - 1) / cluster);
    image.free(first, last - first + 1);
  }

  private async clear(offset: number, length: number, how: Clearing): Promise<void> {
    if (length <= 0) return;
    const { cluster, unit } = this;
    const zeroes = how === 'keep' || how === 'free';
    const grain = zeroes ? unit : cluster;
    // Nobody sees what the last cluster has beyond the disk's end.
    const end = offset + length;
    const from = Math.ceil(offset / grain) * grain;
    const to = (end >= this.sizeBytes ? Math.ceil(end / grain) : Math.floor(end / grain)) * grain;
    if (zeroes) await this.writeZeroBytes(offset, Math.min(from, end) - offset);
    if (zeroes && from < to) await this.writeZeroBytes(to, end - to);
    else if (zeroes) await this.writeZeroBytes(from, end - from);
    const mapped = this.image.l2Entries * cluster;
    for (let at = from, next = 0; at < to; at = next) {
      next = Math.min(to, at - (at % mapped) + mapped);
      const [begin, stop] = [at, next];
      const [first, last] = [Math.floor(at / cluster), Math.floor((next - 1) / cluster)];
      const shows = this.backing !== undefined && at < this.backing.sizeBytes;
      const bare = (await this.image.l2(this.l1Index(first))) === undefined;
      if (bare && !(shows && zeroes)) continue;
      await this.locks.hold(first, last, async () => {
        for (let index = first; index <= last; index++) {
          const base = index * cluster;
          const start = Math.max(begin - base, 0) / unit;
          const mask = unitMask(start, Math.min(stop - base, cluster) / unit);
          await this.clearCluster(index, mask >>> 0, how);
        }
      });
    }
  }

  private async clearCluster(index: number, mask: number, how: Clearing): Promise<void> {
    const { image, format, cluster } = this;
    const l1Index = this.l1Index(index);
    const l2 = await image.l2(l1Index);
    const shows = this.backing !== undefined && index * cluster < this.backing.sizeBytes;
    if (l2 === undefined && (!shows || how === 'unmap' || how === 'discard')) return;
    const old = l2 === undefined ? nothing : format.read(l2, index % image.l2Entries);
    const bare = old.host === 0 && old.zero === 0 && old.allocated === 0;
    if (bare && (!shows || how === 'unmap')) return;
    const whole = mask === format.all;
    const { external } = this;
    const rawData = external !== undefined && (this.header.autoclear & autoclear.rawDataFile) !== 0;
    if (external !== undefined && old.allocated !== 0 && how !== 'unmap') {
      // The data file must read as zeroes by itself; its clusters keep their entries.
      const length = Math.min(cluster, this.sizeBytes - index * cluster);
      if (whole && old.allocated === format.all) {
        await zeroFile(external, index * cluster, length, how !== 'keep');
      } else await this.writeZeroUnits(index, mask);
      return;
    }
    if (rawData) return;
    const plainFallback = this.header.version === 2 && (shows || how === 'keep') && how !== 'unmap';
    if (plainFallback || (old.compressedBytes > 0 && !whole)) {
      if (how !== 'discard') await this.writeZeroUnits(index, mask);
      return;
    }
    const table = await image.l2ForWrite(l1Index);
    const keeps = !whole || (how === 'keep' && old.own && old.host !== 0);
    const zeroed = how !== 'unmap' && (shows || keeps) ? mask : 0;
    this.replace(index, table, {
      host: keeps ? old.host : 0,
      own: keeps && old.own,
      compressedBytes: 0,
      allocated: keeps ? (old.allocated & ~mask) >>> 0 : 0,
      zero: (((whole ? 0 : old.zero) & ~mask) | zeroed) >>> 0,
    });
  }

  /** Zeroes as data, for the subclusters of `mask` in a cluster whose lock is held. */
  private async writeZeroUnits(index: number, mask: number): Promise<void> {
    const { cluster, unit } = this;
    for (let bit = 0; bit < this.format.units; bit++) {
      if (((mask >>> bit) & 1) === 0) continue;
      const zeroes = new Uint8Array(unit);
      const offset = index * cluster + bit * unit;
      const run = await this.run(offset, unit);
      if (run.kind === 'data' && run.own) await this.writeInPlace(run, zeroes);
      else await this.writeClusters(offset, zeroes);
    }
  }

  /** Zeroes as data, where there are not zeroes already. */
  private async writeZeroBytes(offset: number, length: number): Promise<void> {
    for (let at = offset; at < offset + length; ) {
      const run = await this.run(at, Math.min(offset + length - at, chunkBytes));
      const shows = this.backing !== undefined && at < this.backing.sizeBytes;
      const reads = run.kind === 'zero' || (run.kind === 'hole' && !shows);
      if (!reads) await this.writeRuns(at, new Uint8Array(run.length));
      at += run.length;
    }
  }
}
