import type { DiskFile } from '../disk-file.js';
import { corrupt, readU64, writeU64 } from './header.js';

/** A piece of metadata in memory: big-endian words, and which of them the file does not have yet. */
export class Table {
  readonly view: DataView;
  private from = Number.POSITIVE_INFINITY;
  private to = 0;

  constructor(
    readonly offset: number,
    readonly bytes: Uint8Array,
    /** Nothing on the medium points to it: it may be written before what it depends on. */
    public fresh = false,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (fresh) this.touch(0, bytes.length);
  }

  get dirty(): boolean {
    return this.from < this.to;
  }

  u64(index: number): number {
    return readU64(this.view, index * 8);
  }

  touch(at: number, length: number): void {
    this.from = Math.min(this.from, at);
    this.to = Math.max(this.to, at + length);
  }

  /** What the file lacks, as it is now; from here on the table counts as clean. */
  takeDirty(): { offset: number; bytes: Uint8Array } {
    const { from } = this;
    const bytes = this.bytes.slice(from, this.to);
    this.from = Number.POSITIVE_INFINITY;
    this.to = 0;
    return { offset: this.offset + from, bytes };
  }
}

/** Tables of one cluster, kept while there is room and as long as the file lacks their changes. */
export class TableCache {
  readonly dirty = new Set<Table>();
  private readonly tables = new Map<number, Table>();
  private readonly loading = new Map<number, Promise<Table>>();
  private readonly limit: number;

  constructor(
    private readonly file: DiskFile,
    private readonly tableBytes: number,
    cacheBytes: number,
  ) {
    this.limit = Math.max(64, Math.floor(cacheBytes / tableBytes));
  }

  /** The table if it is in memory; whoever changes it does so before anything else is awaited. */
  cached(offset: number): Table | undefined {
    return this.tables.get(offset);
  }

  /** Rejects with `corrupt` where no table can be; `what` names it. */
  load(offset: number, what: string): Promise<Table> {
    const there = this.loading.get(offset);
    if (there !== undefined) return there;
    const promise = this.fetch(offset, what).finally(() => this.loading.delete(offset));
    this.loading.set(offset, promise);
    return promise;
  }

  private async fetch(offset: number, what: string): Promise<Table> {
    const { file, tableBytes } = this;
    if (offset % tableBytes !== 0) {
      throw corrupt(file.name, `${what} offset`, offset, `a multiple of ${tableBytes}`);
    }
    if (offset + tableBytes > file.sizeBytes) {
      throw corrupt(
        file.name,
        `${what} offset`,
        offset,
        `it in the file's ${file.sizeBytes} bytes`,
      );
    }
    const bytes = new Uint8Array(tableBytes);
    await file.read(offset, bytes);
    return this.add(new Table(offset, bytes));
  }

  add(table: Table): Table {
    // Tables in use were added or changed lately: only clean ones that are old make room.
    for (const [offset, old] of this.tables) {
      if (this.tables.size < this.limit) break;
      if (!old.dirty) this.tables.delete(offset);
    }
    this.tables.set(table.offset, table);
    if (table.dirty) this.dirty.add(table);
    return table;
  }

  /** The cluster is not a table any more. */
  drop(offset: number): void {
    const table = this.tables.get(offset);
    if (table !== undefined) this.dirty.delete(table);
    this.tables.delete(offset);
  }

  /** Changes a word of a table that is in memory. */
  setU64(table: Table, index: number, value: number): void {
    writeU64(table.view, index * 8, value);
    this.touch(table, index * 8, 8);
  }

  touch(table: Table, at: number, length: number): void {
    table.touch(at, length);
    this.dirty.add(table);
  }
}
