import { DiskError } from '../disk.js';
import type { DiskFile } from '../disk-file.js';
import {
  encodeHeader,
  type Header,
  incompatible,
  l2EntriesOf,
  readU64,
  writeU64,
} from './header.js';
import { copiedBit, entryOffset } from './image.js';
import { EntryFormat, nothing } from './l2-entry.js';
import { getCount, maxCount, setCount } from './refcounts.js';
import { readSnapshots } from './snapshot-table.js';
import { Table } from './table.js';

/** What a check found, or what a repair mended. */
export interface CheckReport {
  /** Places where the image contradicts itself; data may be lost or mixed up. */
  corruptions: number;
  /** Clusters that are counted as used and are not. */
  leaks: number;
  /** The first of both as sentences. */
  readonly messages: string[];
  totalClusters: number;
  allocatedClusters: number;
  compressedClusters: number;
}

const mostMessages = 20;

/**
 * Counts every reference in the image and compares. With `fix`, entries that point nowhere are
 * cleared, and the counts are written anew at the file's end before the header names them, so that
 * a repair may be interrupted and begun again.
 */
export async function checkImage(
  file: DiskFile,
  header: Header,
  fix: boolean,
  progress: (fraction: number) => void = () => {},
): Promise<CheckReport> {
  const scan = new Scan(file, header, fix, progress);
  await scan.countReferences();
  const wrong = await scan.compareCounts();
  const { report } = scan;
  const dirty = (header.incompatible & (incompatible.dirty | incompatible.corrupt)) !== 0;
  if (fix && (wrong || dirty || report.corruptions > 0)) {
    const counts = await rebuildRefcounts(file, header, scan.references);
    await scan.checkFlags(async (cluster) => counts(cluster));
    header.incompatible &= ~(incompatible.dirty | incompatible.corrupt);
    await file.flush();
    await file.write(0, encodeHeader(file.name, header));
  } else await scan.checkFlags(scan.countOf);
  if (fix) await file.flush();
  return report;
}

class Scan {
  readonly report: CheckReport = {
    corruptions: 0,
    leaks: 0,
    messages: [],
    totalClusters: 0,
    allocatedClusters: 0,
    compressedClusters: 0,
  };
  readonly references: Uint32Array;
  private readonly cluster: number;
  private readonly format: EntryFormat;
  private readonly external: boolean;
  private reftable: Table | undefined;
  private blockAt = -1;
  private block: Table | undefined;

  constructor(
    private readonly file: DiskFile,
    private readonly header: Header,
    private readonly fix: boolean,
    private readonly progress: (fraction: number) => void,
  ) {
    this.cluster = 2 ** header.clusterBits;
    this.references = new Uint32Array(Math.ceil(file.sizeBytes / this.cluster));
    this.external = (header.incompatible & incompatible.dataFile) !== 0;
    this.format = new EntryFormat(header, this.external);
    this.report.totalClusters = Math.ceil(header.sizeBytes / this.cluster);
  }

  async countReferences(): Promise<void> {
    const { header } = this;
    this.refer('the header', 0, 1);
    await this.walk('l1_table', header.l1Offset, header.l1Entries, true);
    const { snapshots, bytes } = await readSnapshots(this.file, header);
    if (bytes > 0) this.refer('snapshots', header.snapshotsOffset, bytes);
    for (const { name, l1Offset, l1Entries } of snapshots) {
      await this.walk(`snapshot ${name}`, l1Offset, l1Entries, false);
    }
  }

  private corrupt(message: string): void {
    this.report.corruptions++;
    if (this.report.messages.length < mostMessages) this.report.messages.push(message);
  }

  /** Counts a piece of the file; false when it is not there or begins in the middle of a cluster. */
  private refer(what: string, offset: number, length: number, anywhere = false): boolean {
    const first = Math.floor(offset / this.cluster);
    const last = Math.floor((offset + length - 1) / this.cluster);
    if ((offset % this.cluster !== 0 && !anywhere) || last >= this.references.length) {
      this.corrupt(`${what} points to ${offset}, which is no cluster of the file`);
      return false;
    }
    for (let at = first; at <= last; at++) this.references[at]!++;
    return true;
  }

  private async table(offset: number, length: number): Promise<Table> {
    const table = new Table(offset, new Uint8Array(length));
    await this.file.read(offset, table.bytes);
    return table;
  }

  private async save(table: Table): Promise<void> {
    if (!this.fix || !table.dirty) return;
    const { offset, bytes } = table.takeDirty();
    await this.file.write(offset, bytes);
  }

  private async walk(
    what: string,
    offset: number,
    entries: number,
    active: boolean,
  ): Promise<void> {
    if (entries === 0 || !this.refer(what, offset, entries * 8)) return;
    const l1 = await this.table(offset, entries * 8);
    const seen = new Set<number>();
    for (let i = 0; i < entries; i++) {
      if (active) this.progress(i / entries);
      const at = entryOffset(l1.view.getUint32(i * 8), l1.view.getUint32(i * 8 + 4));
      if (at === 0) continue;
      const field = `${what}[${i}]`;
      if (seen.has(at)) this.corrupt(`${field} points to ${at}, as another entry does`);
      if (seen.has(at) || !this.refer(field, at, this.cluster)) {
        writeU64(l1.view, i * 8, 0);
        l1.touch(0, l1.bytes.length);
      } else await this.walkL2(field, await this.table(at, this.cluster), active);
      seen.add(at);
    }
    await this.save(l1);
  }

  private async walkL2(what: string, l2: Table, active: boolean): Promise<void> {
    const { format, report } = this;
    for (let j = 0; j < l2EntriesOf(this.header); j++) {
      const entry = format.read(l2, j);
      const { host, compressedBytes } = entry;
      const field = `${what}[${j}]`;
      let good = true;
      if (compressedBytes > 0) {
        // The last sector may be cut off by the file's end.
        const length = Math.min(compressedBytes, this.file.sizeBytes - host);
        good = length > 0 && this.refer(field, host, length, true);
        if (length <= 0) this.corrupt(`${field} points to ${host}, beyond the file's end`);
      } else if (host !== 0 && !this.external) good = this.refer(field, host, this.cluster);
      if ((entry.allocated & entry.zero) !== 0) {
        this.corrupt(`${field} says of a subcluster that it is zero and that it is data`);
        good = false;
      }
      if (!good) {
        format.write(l2, j, nothing);
        l2.touch(0, l2.bytes.length);
      } else if (active && (compressedBytes > 0 || entry.allocated !== 0)) {
        report.allocatedClusters++;
        if (compressedBytes > 0) report.compressedClusters++;
      }
    }
    await this.save(l2);
  }

  /** The count that the image has, of one cluster after the other. */
  readonly countOf = async (cluster: number): Promise<number> => {
    const { header } = this;
    this.reftable ??= await this.table(
      header.reftableOffset,
      header.reftableClusters * this.cluster,
    );
    const perBlock = 2 ** (header.clusterBits + 3 - header.refcountOrder);
    const index = Math.floor(cluster / perBlock);
    if (index !== this.blockAt) {
      const at = index * 8 < this.reftable.bytes.length ? this.reftable.u64(index) : 0;
      const there = at !== 0 && at % this.cluster === 0 && at < this.file.sizeBytes;
      this.block = there ? await this.table(at, this.cluster) : undefined;
      this.blockAt = index;
    }
    if (this.block === undefined) return 0;
    return getCount(this.block.view, header.refcountOrder, cluster % perBlock);
  };

  /** Whether any count differs from the references found. */
  async compareCounts(): Promise<boolean> {
    const { header, report, references } = this;
    // The counts' own places count for the comparison only: a repair makes new ones.
    const own = new Map<number, number>();
    const add = (cluster: number) => own.set(cluster, (own.get(cluster) ?? 0) + 1);
    const table = header.reftableOffset / this.cluster;
    for (let i = 0; i < header.reftableClusters; i++) add(table + i);
    await this.countOf(0);
    for (let i = 0; i < this.reftable!.bytes.length / 8; i++) {
      const at = readU64(this.reftable!.view, i * 8);
      if (at === 0) continue;
      if (at % this.cluster === 0 && at < this.file.sizeBytes) add(at / this.cluster);
      else this.corrupt(`refcount_table[${i}] points to ${at}, which is no cluster of the file`);
    }
    const before = report.corruptions + report.leaks;
    for (let at = 0; at < references.length; at++) {
      const [found, wanted] = [await this.countOf(at), references[at]! + (own.get(at) ?? 0)];
      if (found > wanted) report.leaks++;
      if (found > wanted && report.messages.length < mostMessages) {
        report.messages.push(`cluster ${at} is leaked: counted ${found}, used ${wanted}`);
      }
      if (found < wanted)
        this.corrupt(`cluster ${at} is counted ${found} and used ${wanted} times`);
    }
    return report.corruptions + report.leaks !== before;
  }

  /** Bit 63 of the active tables' entries against the counts. */
  async checkFlags(countOf: (cluster: number) => Promise<number>): Promise<void> {
    const { header } = this;
    const flag = async (table: Table, at: number, host: number, what: string) => {
      const high = table.view.getUint32(at);
      const wanted = (await countOf(host / this.cluster)) === 1;
      if (wanted === ((high & copiedBit) !== 0)) return;
      this.corrupt(`${what}: bit 63 does not say whether the count is 1`);
      table.view.setUint32(at, wanted ? high | copiedBit : high & ~copiedBit);
      table.touch(at, 4);
    };
    const l1 = await this.table(header.l1Offset, header.l1Entries * 8);
    for (let i = 0; i < header.l1Entries; i++) {
      const offset = entryOffset(l1.view.getUint32(i * 8), l1.view.getUint32(i * 8 + 4));
      if (offset === 0 || offset % this.cluster !== 0 || offset >= this.file.sizeBytes) continue;
      await flag(l1, i * 8, offset, `l1_table[${i}]`);
      const l2 = await this.table(offset, this.cluster);
      for (let j = 0; j < l2EntriesOf(header); j++) {
        const { host, compressedBytes } = this.format.read(l2, j);
        if (host === 0 || compressedBytes > 0 || host % this.cluster !== 0 || this.external)
          continue;
        await flag(l2, j * this.format.bytes, host, `l1_table[${i}][${j}]`);
      }
      await this.save(l2);
    }
    await this.save(l1);
  }
}

/**
 * Writes counts for the clusters in `references`, and for themselves, beyond the file's end, and
 * puts their place into `header`, which the caller writes. Answers what the counts are.
 */
export async function rebuildRefcounts(
  file: DiskFile,
  header: Header,
  references: Uint32Array,
): Promise<(cluster: number) => number> {
  const { refcountOrder } = header;
  const cluster = 2 ** header.clusterBits;
  const perBlock = 2 ** (header.clusterBits + 3 - refcountOrder);
  const first = references.length;
  let [blocks, tables] = [0, 1];
  for (let before = -1; before !== blocks; ) {
    before = blocks;
    blocks = Math.ceil((first + tables + blocks) / perBlock);
    tables = Math.ceil((blocks * 8) / cluster);
  }
  const end = first + tables + blocks;
  const count = (at: number) => (at < first ? references[at]! : at < end ? 1 : 0);
  const table = new Table(first * cluster, new Uint8Array(tables * cluster));
  for (let i = 0; i < blocks; i++) {
    const block = new Table((first + tables + i) * cluster, new Uint8Array(cluster));
    for (let j = 0; j < perBlock && i * perBlock + j < end; j++) {
      const value = count(i * perBlock + j);
      if (value > maxCount(refcountOrder)) {
        const why = `counts of ${1 << refcountOrder} bits cannot hold ${value}`;
        throw new DiskError('unsupported', `${file.name} cannot be repaired: ${why}`);
      }
      if (value > 0) setCount(block.view, refcountOrder, j, value);
    }
    writeU64(table.view, i * 8, block.offset);
    await file.write(block.offset, block.bytes);
  }
  await file.write(table.offset, table.bytes);
  await file.flush();
  header.reftableOffset = table.offset;
  header.reftableClusters = tables;
  return count;
}
