/** The driver's side of both rings, as tests need it: it does what it is told, right or wrong. */
import assert from 'node:assert/strict';
import type { Dma } from '../../device/dma.js';
import { PackedQueue } from './packed-queue.js';
import { descriptorFlag } from './registers.js';
import { SplitQueue } from './split-queue.js';
import type { QueueFeatures, QueueLayout, Virtqueue } from './virtqueue.js';

/** Guest memory from address 0. */
export class Ram implements Dma {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  private next = 0x1000;

  constructor(sizeBytes = 1 << 20) {
    this.bytes = new Uint8Array(sizeBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  read(gpa: number, into: Uint8Array): boolean {
    into.fill(0xff);
    if (gpa < 0 || gpa + into.length > this.bytes.length) return false;
    into.set(this.bytes.subarray(gpa, gpa + into.length));
    return true;
  }

  write(gpa: number, from: Uint8Array): boolean {
    if (gpa < 0 || gpa + from.length > this.bytes.length) return false;
    this.bytes.set(from, gpa);
    return true;
  }

  /** Bytes that nobody else has. */
  allocate(sizeBytes: number, align = 16): number {
    const at = Math.ceil(this.next / align) * align;
    this.next = at + sizeBytes;
    assert.ok(this.next <= this.bytes.length, 'the test uses more memory than there is');
    return at;
  }

  place(data: Uint8Array): number {
    const at = this.allocate(data.length);
    this.bytes.set(data, at);
    return at;
  }

  slice(gpa: number, length: number): Uint8Array {
    return this.bytes.slice(gpa, gpa + length);
  }
}

export interface Piece {
  gpa: number;
  length: number;
  write: boolean;
}

export interface Used {
  id: number;
  written: number;
}

export interface MockDriver {
  readonly layout: QueueLayout;
  /** Makes a buffer available; answers its id. */
  offer(pieces: readonly Piece[], how?: { indirect?: boolean }): number;
  /** The next buffer that the device has used. */
  take(): Used | undefined;
  /** The device wants to hear of what was offered since the last time this was asked. */
  wantsKick(): boolean;
  /** Sets which interrupts the driver wants: all, none, or once this many more are used. */
  interruptAfter(buffers: number | 'any' | 'none'): void;
}

export const readable = (gpa: number, length: number): Piece => ({ gpa, length, write: false });
export const writable = (gpa: number, length: number): Piece => ({ gpa, length, write: true });

function putDescriptor(
  ram: Ram,
  at: number,
  { gpa, length }: Piece,
  third: number,
  fourth: number,
) {
  ram.view.setUint32(at, gpa % 2 ** 32, true);
  ram.view.setUint32(at + 4, Math.floor(gpa / 2 ** 32), true);
  ram.view.setUint32(at + 8, length, true);
  ram.view.setUint16(at + 12, third, true);
  ram.view.setUint16(at + 14, fourth, true);
}

const writeFlag = (piece: Piece) => (piece.write ? descriptorFlag.write : 0);

export class SplitDriver implements MockDriver {
  readonly layout: QueueLayout;
  availIndex = 0;
  private kicked = 0;
  private seen = 0;
  private freeSlots: number[];
  private readonly chains = new Map<number, number[]>();

  constructor(
    private readonly ram: Ram,
    size: number,
    private readonly eventIdx: boolean,
  ) {
    this.layout = {
      size,
      descriptors: ram.allocate(16 * size),
      driver: ram.allocate(6 + 2 * size),
      device: ram.allocate(6 + 8 * size),
    };
    this.freeSlots = Array.from({ length: size }, (_, i) => i);
  }

  offer(pieces: readonly Piece[], { indirect = false } = {}): number {
    const { ram, layout } = this;
    const slots: number[] = [];
    if (indirect) {
      const table = ram.allocate(16 * pieces.length);
      pieces.forEach((piece, i) => {
        const last = i === pieces.length - 1;
        const flags = writeFlag(piece) | (last ? 0 : descriptorFlag.next);
        putDescriptor(ram, table + 16 * i, piece, flags, last ? 0 : i + 1);
      });
      slots.push(this.freeSlots.shift()!);
      const whole = { gpa: table, length: 16 * pieces.length, write: false };
      putDescriptor(ram, layout.descriptors + 16 * slots[0]!, whole, descriptorFlag.indirect, 0);
    } else {
      for (const _ of pieces) slots.push(this.freeSlots.shift()!);
      pieces.forEach((piece, i) => {
        const next = slots[i + 1];
        const flags = writeFlag(piece) | (next === undefined ? 0 : descriptorFlag.next);
        putDescriptor(ram, layout.descriptors + 16 * slots[i]!, piece, flags, next ?? 0);
      });
    }
    this.chains.set(slots[0]!, slots);
    this.offerHead(slots[0]!);
    return slots[0]!;
  }

  /** Puts any number into the available ring. */
  offerHead(head: number): void {
    const { driver, size } = this.layout;
    this.ram.view.setUint16(driver + 4 + 2 * (this.availIndex % size), head, true);
    this.availIndex = (this.availIndex + 1) & 0xffff;
    this.ram.view.setUint16(driver + 2, this.availIndex, true);
  }

  take(): Used | undefined {
    const { device, size } = this.layout;
    if (this.ram.view.getUint16(device + 2, true) === this.seen) return undefined;
    const at = device + 4 + 8 * (this.seen % size);
    this.seen = (this.seen + 1) & 0xffff;
    const id = this.ram.view.getUint32(at, true);
    this.freeSlots.push(...(this.chains.get(id) ?? []));
    this.chains.delete(id);
    return { id, written: this.ram.view.getUint32(at + 4, true) };
  }

  wantsKick(): boolean {
    const { device, size } = this.layout;
    const from = this.kicked;
    this.kicked = this.availIndex;
    if (!this.eventIdx) return (this.ram.view.getUint16(device, true) & 1) === 0;
    const event = this.ram.view.getUint16(device + 4 + 8 * size, true);
    return ((this.availIndex - event - 1) & 0xffff) < ((this.availIndex - from) & 0xffff);
  }

  interruptAfter(buffers: number | 'any' | 'none'): void {
    const { driver, size } = this.layout;
    const event = typeof buffers === 'number' ? this.seen + buffers - 1 : this.seen;
    if (this.eventIdx && buffers !== 'none') {
      this.ram.view.setUint16(driver + 4 + 2 * size, event & 0xffff, true);
    }
    this.ram.view.setUint16(driver, buffers === 'none' ? 1 : 0, true);
  }
}

export class PackedDriver implements MockDriver {
  readonly layout: QueueLayout;
  place = 0;
  wrap = true;
  private kickedFrom = 0;
  private seen = 0;
  private seenWrap = true;
  private nextId = 0;
  private readonly slots = new Map<number, number>();

  constructor(
    private readonly ram: Ram,
    size: number,
    private readonly eventIdx: boolean,
  ) {
    this.layout = {
      size,
      descriptors: ram.allocate(16 * size),
      driver: ram.allocate(4),
      device: ram.allocate(4),
    };
  }

  offer(pieces: readonly Piece[], { indirect = false } = {}): number {
    const { ram } = this;
    const id = this.freeId();
    let list: { piece: Piece; flags: number }[];
    if (indirect) {
      const table = ram.allocate(16 * pieces.length);
      pieces.forEach((piece, i) => {
        putDescriptor(ram, table + 16 * i, piece, 0, writeFlag(piece));
      });
      const piece = { gpa: table, length: 16 * pieces.length, write: false };
      list = [{ piece, flags: descriptorFlag.indirect }];
    } else {
      list = pieces.map((piece, i) => ({
        piece,
        flags: writeFlag(piece) | (i === pieces.length - 1 ? 0 : descriptorFlag.next),
      }));
    }
    this.slots.set(id, list.length);
    this.kickedFrom += list.length;
    // The first descriptor's flags last, as the standard asks.
    const first = this.place;
    const firstWrap = this.wrap;
    list.forEach(({ piece, flags }, i) => {
      const bits = i === 0 ? 0 : this.bits(this.wrap);
      putDescriptor(ram, this.layout.descriptors + 16 * this.place, piece, id, flags | bits);
      this.advance();
    });
    const at = this.layout.descriptors + 16 * first + 14;
    ram.view.setUint16(at, list[0]!.flags | this.bits(firstWrap), true);
    return id;
  }

  private freeId(): number {
    while (this.slots.has(this.nextId)) this.nextId = (this.nextId + 1) % this.layout.size;
    const id = this.nextId;
    this.nextId = (this.nextId + 1) % this.layout.size;
    return id;
  }

  private bits(wrap: boolean): number {
    return wrap ? descriptorFlag.avail : descriptorFlag.used;
  }

  private advance(): void {
    this.place++;
    if (this.place < this.layout.size) return;
    this.place = 0;
    this.wrap = !this.wrap;
  }

  take(): Used | undefined {
    const at = this.layout.descriptors + 16 * this.seen;
    const flags = this.ram.view.getUint16(at + 14, true);
    const avail = (flags & descriptorFlag.avail) !== 0;
    const used = (flags & descriptorFlag.used) !== 0;
    if (avail !== used || used !== this.seenWrap) return undefined;
    const id = this.ram.view.getUint16(at + 12, true);
    const written = this.ram.view.getUint32(at + 8, true);
    this.seen += this.slots.get(id) ?? 1;
    this.slots.delete(id);
    if (this.seen >= this.layout.size) {
      this.seen -= this.layout.size;
      this.seenWrap = !this.seenWrap;
    }
    return { id, written };
  }

  wantsKick(): boolean {
    const { device, size } = this.layout;
    const added = this.kickedFrom;
    this.kickedFrom = 0;
    const flags = this.ram.view.getUint16(device + 2, true);
    if (flags !== 2 || !this.eventIdx) return flags !== 1;
    const event = this.ram.view.getUint16(device, true);
    const sameLap = event >>> 15 === (this.wrap ? 1 : 0);
    const place = (event & 0x7fff) - (sameLap ? 0 : size);
    return ((this.place - place - 1) & 0xffff) < added;
  }

  interruptAfter(buffers: number | 'any' | 'none'): void {
    const { driver, size } = this.layout;
    const flags = buffers === 'none' ? 1 : buffers === 'any' || !this.eventIdx ? 0 : 2;
    if (typeof buffers === 'number') {
      const to = this.seen + buffers - 1;
      const wrap = to >= size ? !this.seenWrap : this.seenWrap;
      this.ram.view.setUint16(driver, (to % size) | (wrap ? 0x8000 : 0), true);
    }
    this.ram.view.setUint16(driver + 2, flags, true);
  }
}

export type RingKind = 'split' | 'packed';

export function mockDriver(kind: RingKind, ram: Ram, size: number, eventIdx: boolean): MockDriver {
  return kind === 'split'
    ? new SplitDriver(ram, size, eventIdx)
    : new PackedDriver(ram, size, eventIdx);
}

/** A device's ring over a layout, and what it told its owner. */
export class DeviceEnd {
  readonly queue: Virtqueue;
  interrupts = 0;
  faults: string[] = [];

  constructor(
    kind: RingKind,
    ram: Dma,
    layout: QueueLayout,
    features: Partial<QueueFeatures> = {},
  ) {
    const Ring = kind === 'split' ? SplitQueue : PackedQueue;
    this.queue = new Ring(
      layout,
      { indirect: true, eventIdx: false, inOrder: false, ...features },
      {
        dma: ram,
        interrupt: () => this.interrupts++,
        broken: (reason) => this.faults.push(reason),
      },
    );
  }
}
