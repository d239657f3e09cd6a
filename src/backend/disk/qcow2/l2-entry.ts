import { type Header, incompatible } from './header.js';
import { copiedBit, entryOffset } from './image.js';
import type { Table } from './table.js';

/** What an L2 table says of one cluster of the disk. */
export interface Entry {
  /** Where it is in the file, or where its compressed bytes begin; 0 for nowhere. */
  readonly host: number;
  /** The only one to use that place: it may be written to. */
  readonly own: boolean;
  /** At most so many bytes hold its compressed contents; 0 when it is not compressed. */
  readonly compressedBytes: number;
  /** A bit for each subcluster whose data is at `host`. */
  readonly allocated: number;
  /** A bit for each subcluster that reads as zeroes whatever a backing file has. */
  readonly zero: number;
}

export const nothing: Entry = { host: 0, own: false, compressedBytes: 0, allocated: 0, zero: 0 };

/** How L2 entries are written: 64 bits, or 128 with a bitmap of 32 subclusters [Extended L2]. */
export class EntryFormat {
  readonly extended: boolean;
  readonly units: number;
  /** The bits of all subclusters; a cluster without them is its own only one. */
  readonly all: number;
  /** Bits of a compressed entry's upper half that belong to its offset. */
  private readonly offsetBits: number;

  constructor(
    header: Header,
    /** Data is at the same offset in a file of its own. */
    private readonly external: boolean,
  ) {
    this.extended = (header.incompatible & incompatible.extendedL2) !== 0;
    this.units = this.extended ? 32 : 1;
    this.all = this.extended ? 0xffffffff : 1;
    this.offsetBits = 70 - header.clusterBits - 32;
  }

  get bytes(): number {
    return this.extended ? 16 : 8;
  }

  read({ view }: Table, index: number): Entry {
    const at = index * this.bytes;
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    if ((high & 0x40000000) !== 0) {
      const host = (high & ((1 << this.offsetBits) - 1)) * 2 ** 32 + low;
      const sectors = ((high & 0x3fffffff) >>> this.offsetBits) + 1;
      return { ...nothing, host, compressedBytes: sectors * 512 - (host % 512) };
    }
    const own = (high & copiedBit) !== 0;
    const host = entryOffset(high, low);
    const there = host !== 0 || (own && this.external);
    let zero = low & 1;
    let allocated = there && zero === 0 ? 1 : 0;
    if (this.extended) {
      zero = view.getUint32(at + 8);
      allocated = view.getUint32(at + 12);
    }
    return { host, own, compressedBytes: 0, allocated, zero };
  }

  write({ view }: Table, index: number, entry: Entry): void {
    const at = index * this.bytes;
    let high = Math.floor(entry.host / 2 ** 32);
    if (entry.compressedBytes > 0) {
      const last = entry.host + entry.compressedBytes - 1;
      const sectors = Math.floor(last / 512) - Math.floor(entry.host / 512);
      high |= 0x40000000 | (sectors << this.offsetBits);
    } else if (entry.own) high |= copiedBit;
    view.setUint32(at, high);
    view.setUint32(at + 4, (entry.host | (this.extended ? 0 : entry.zero)) >>> 0);
    if (!this.extended) return;
    view.setUint32(at + 8, entry.zero);
    view.setUint32(at + 12, entry.allocated);
  }
}

/** Bits `from` up to but not including `to` of 32. */
export const unitMask = (from: number, to: number) =>
  (to >= 32 ? 0xffffffff : 2 ** to - 1) - (2 ** from - 1);
