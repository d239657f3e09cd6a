import { type Log, silentLog } from '../base/log.js';
import type { Device } from './device.js';
import { allOnes, type IoFace } from './io.js';

/** One region of one device, standing at a place in an address space. */
export interface Attachment {
  readonly device: Device<unknown>;
  /** Index in `device.io.regions`. */
  readonly region: number;
  /** Where it stands now; undefined while it is switched off (an unmapped BAR). */
  readonly base: number | undefined;
  readonly sizeBytes: number;
}

class Placed implements Attachment {
  base: number | undefined;
  readonly io: IoFace;
  readonly sizeBytes: number;
  readonly maxWidth: number;

  constructor(
    readonly device: Device<unknown>,
    readonly region: number,
    io: IoFace,
  ) {
    this.io = io;
    this.sizeBytes = io.regions[region]!.sizeBytes;
    this.maxWidth = io.regions[region]!.maxWidth ?? 4;
  }
}

const PORTS = 0x1_0000;

/**
 * Routes guest accesses of one address space to the devices that claim them.
 *
 * Regions may overlap, because a guest can put a BAR anywhere: the one attached first wins where
 * they do, and the other shows again when the first moves away. Nothing here throws on what a guest
 * does: unclaimed reads are all ones, unclaimed writes are dropped, both are counted.
 *
 * An access wider than the region lets through, or one that straddles regions, is split into
 * halves, low addresses first. An 8-byte access is two calls of 4, low half first.
 */
export class IoBus {
  unclaimedReads = 0;
  unclaimedWrites = 0;

  private readonly placed: Placed[] = [];
  /** Ports only: index in `placed` plus one, or 0 where nothing answers. */
  private readonly ports: Uint16Array | undefined;
  /** MMIO only: disjoint spans in ascending order. */
  private starts: number[] = [];
  private ends: number[] = [];
  private owners: Placed[] = [];
  private lastHit = 0;

  constructor(
    readonly space: 'port' | 'mmio',
    private readonly log: Log = silentLog,
  ) {
    this.ports = space === 'port' ? new Uint16Array(PORTS) : undefined;
  }

  /** Places every region that `device` has in this space at its own base. */
  attach(device: Device<unknown>): Attachment[] {
    const result: Attachment[] = [];
    device.io?.regions.forEach((region, index) => {
      if (region.space === this.space) result.push(this.attachRegion(device, index, region.base));
    });
    return result;
  }

  /** Places one region at `base`, or keeps it switched off until {@link move}. */
  attachRegion(device: Device<unknown>, region: number, base?: number): Attachment {
    const placed = new Placed(device, region, device.io!);
    this.placed.push(placed);
    this.move(placed, base);
    return placed;
  }

  /** Moves a region; `undefined` switches it off. */
  move(attachment: Attachment, base: number | undefined): void {
    const placed = attachment as Placed;
    if (placed.base === base) return;
    const old = placed.base;
    placed.base = base;
    this.refresh(old, placed.sizeBytes);
    this.refresh(base, placed.sizeBytes);
  }

  detach(attachment: Attachment): void {
    this.move(attachment, undefined);
    const index = this.placed.indexOf(attachment as Placed);
    if (index < 0) return;
    this.placed.splice(index, 1);
    // The port table holds indices, and those behind this one have moved.
    this.refresh(0, PORTS);
  }

  /** What stands where, in order of addresses; switched-off regions last. */
  attachments(): Attachment[] {
    const at = (a: Attachment) => a.base ?? Number.POSITIVE_INFINITY;
    return [...this.placed].sort((a, b) => (at(a) < at(b) ? -1 : at(a) > at(b) ? 1 : 0));
  }

  /** Who answers at `address`. */
  lookup(address: number): { device: Device<unknown>; region: number; offset: number } | undefined {
    const hit = this.find(address);
    return hit && { device: hit.device, region: hit.region, offset: address - hit.base! };
  }

  /** Never throws; an unsigned number below 2^(8 * width). */
  read(address: number, width: 1 | 2 | 4): number {
    const hit = this.find(address);
    if (hit !== undefined) {
      const offset = address - hit.base!;
      if (width === 1 || (width <= hit.maxWidth && this.whole(hit, address, width))) {
        return hit.io.read(hit.region, offset, width);
      }
    } else if (width === 1 || this.nothing(address, width)) {
      this.unclaimedReads++;
      this.log.guest(`unclaimed ${this.space} read`, `at 0x${address.toString(16)}`);
      return allOnes(width);
    }
    const half = width === 4 ? 2 : 1;
    const low = this.read(address, half);
    return (low | (this.read(address + half, half) << (half * 8))) >>> 0;
  }

  /** Never throws. `value` is an unsigned number below 2^(8 * width). */
  write(address: number, width: 1 | 2 | 4, value: number): void {
    const hit = this.find(address);
    if (hit !== undefined) {
      if (width === 1 || (width <= hit.maxWidth && this.whole(hit, address, width))) {
        hit.io.write(hit.region, address - hit.base!, width, value);
        return;
      }
    } else if (width === 1 || this.nothing(address, width)) {
      this.unclaimedWrites++;
      this.log.guest(`unclaimed ${this.space} write`, `at 0x${address.toString(16)}`);
      return;
    }
    const half = width === 4 ? 2 : 1;
    this.write(address, half, half === 2 ? value & 0xffff : value & 0xff);
    this.write(address + half, half, value >>> (half * 8));
  }

  /** An access of any length, as the largest naturally aligned pieces up to 4 bytes. */
  readBytes(address: number, into: Uint8Array): void {
    for (let at = 0; at < into.length; ) {
      const width = pieceWidth(address + at, into.length - at);
      const value = this.read(address + at, width);
      for (let i = 0; i < width; i++) into[at + i] = value >>> (8 * i);
      at += width;
    }
  }

  writeBytes(address: number, from: Uint8Array): void {
    for (let at = 0; at < from.length; ) {
      const width = pieceWidth(address + at, from.length - at);
      let value = 0;
      for (let i = 0; i < width; i++) value |= from[at + i]! << (8 * i);
      this.write(address + at, width, value >>> 0);
      at += width;
    }
  }

  private find(address: number): Placed | undefined {
    if (this.ports !== undefined) {
      return address < PORTS ? this.placed[this.ports[address]! - 1] : undefined;
    }
    const { starts, ends } = this;
    const last = this.lastHit;
    if (address >= starts[last]! && address < ends[last]!) return this.owners[last];
    const index = this.spanAfter(address) - 1;
    if (index < 0 || address >= ends[index]!) return undefined;
    this.lastHit = index;
    return this.owners[index];
  }

  /** Index of the first span that starts above `address`. */
  private spanAfter(address: number): number {
    let low = 0;
    let high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** All of the access belongs to `hit`, with no other region over a part of it. */
  private whole(hit: Placed, address: number, width: number): boolean {
    for (let i = 1; i < width; i++) if (this.find(address + i) !== hit) return false;
    return true;
  }

  /** No byte of the access is claimed. */
  private nothing(address: number, width: number): boolean {
    for (let i = 1; i < width; i++) if (this.find(address + i) !== undefined) return false;
    return true;
  }

  private refresh(base: number | undefined, sizeBytes: number): void {
    if (base === undefined) return;
    if (this.ports !== undefined) this.refreshPorts(this.ports, base, sizeBytes);
    else this.refreshSpans();
  }

  private refreshPorts(ports: Uint16Array, base: number, sizeBytes: number): void {
    const end = Math.min(base + sizeBytes, PORTS);
    ports.fill(0, base, end);
    for (let i = this.placed.length - 1; i >= 0; i--) {
      const { base: start, sizeBytes: size } = this.placed[i]!;
      if (start === undefined) continue;
      const from = Math.max(start, base);
      const to = Math.min(start + size, end);
      if (from < to) ports.fill(i + 1, from, to);
    }
  }

  /** First come, first served: each region takes what the ones before it left. */
  private refreshSpans(): void {
    const spans: { start: number; end: number; owner: Placed }[] = [];
    for (const owner of this.placed) {
      if (owner.base === undefined) continue;
      let start = owner.base;
      const end = owner.base + owner.sizeBytes;
      const taken = spans.filter((s) => s.start < end && s.end > start);
      for (const one of taken) {
        if (start < one.start) spans.push({ start, end: one.start, owner });
        start = Math.max(start, one.end);
      }
      if (start < end) spans.push({ start, end, owner });
      spans.sort((a, b) => a.start - b.start);
    }
    this.starts = spans.map((s) => s.start);
    this.ends = spans.map((s) => s.end);
    this.owners = spans.map((s) => s.owner);
    this.lastHit = 0;
  }
}

function pieceWidth(address: number, left: number): 1 | 2 | 4 {
  if (left >= 4 && address % 4 === 0) return 4;
  return left >= 2 && address % 2 === 0 ? 2 : 1;
}
