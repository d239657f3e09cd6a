import { assert } from '../base/assert.js';
import { type HostMemory, type MemorySlot, PAGE_BYTES } from './slot.js';

/** Told after each write, so that decoded code and dirty logs follow. */
export type OnMemoryWrite = (gpa: number, place: number, length: number) => void;

/**
 * Guest-physical memory as slots, and the view of it that DMA, loaders and snapshots have. It agrees
 * with `device/dma.ts`: parts where no memory is read as all ones and drop writes, both say false.
 * ROM reads and drops writes. Two and four bytes in their natural places are read and written as one:
 * vCPUs on other threads see all of an index that a device writes, or none, and devices all of theirs.
 */
export class PhysicalMemory {
  /** Disjoint, in order of addresses. */
  private slots: MemorySlot[] = [];
  private lastHit = 0;
  private readonly halves: Uint16Array;
  private readonly words: Uint32Array;

  constructor(
    private readonly memory: HostMemory,
    private readonly onWrite: OnMemoryWrite = () => {},
  ) {
    const { buffer, byteOffset, length } = memory.bytes;
    this.halves = new Uint16Array(buffer, byteOffset, Math.floor(length / 2));
    this.words = new Uint32Array(buffer, byteOffset, Math.floor(length / 4));
  }

  /** Adds, replaces (same id) or removes (size 0) a slot. */
  set(slot: MemorySlot): void {
    const { id, gpa, sizeBytes, place } = slot;
    const rest = this.slots.filter((one) => one.id !== id);
    this.lastHit = 0;
    if (sizeBytes === 0) {
      this.slots = rest;
      return;
    }
    const whole = (n: number) => n >= 0 && n % PAGE_BYTES === 0;
    assert(whole(gpa) && whole(sizeBytes) && whole(place), `slot ${id} is not of whole pages`);
    assert(
      place >= this.memory.start && place + sizeBytes <= this.memory.end,
      `slot ${id} leaves the memory behind it`,
    );
    const clash = rest.find((one) => one.gpa < gpa + sizeBytes && gpa < one.gpa + one.sizeBytes);
    assert(clash === undefined, `slots ${id} and ${clash?.id} overlap`);
    this.slots = [...rest, slot].sort((a, b) => a.gpa - b.gpa);
  }

  list(): readonly MemorySlot[] {
    return this.slots;
  }

  read(gpa: number, into: Uint8Array): boolean {
    let all = true;
    for (let at = 0; at < into.length; ) {
      const slot = this.find(gpa + at);
      const count = this.run(gpa + at, into.length - at, slot);
      if (slot === undefined) {
        into.fill(0xff, at, at + count);
        all = false;
      } else {
        const place = slot.place + (gpa + at - slot.gpa);
        this.copyOut(place, count, into, at);
      }
      at += count;
    }
    return all;
  }

  write(gpa: number, from: Uint8Array): boolean {
    let all = true;
    for (let at = 0; at < from.length; ) {
      const slot = this.find(gpa + at);
      const count = this.run(gpa + at, from.length - at, slot);
      if (slot === undefined || slot.readonly) {
        all = false;
      } else {
        const place = slot.place + (gpa + at - slot.gpa);
        this.copyIn(place, count, from, at);
        this.onWrite(gpa + at, place, count);
      }
      at += count;
    }
    return all;
  }

  private copyOut(place: number, count: number, into: Uint8Array, at: number): void {
    if (count === 2 && place % 2 === 0) {
      const half = this.halves[place / 2]!;
      into[at] = half;
      into[at + 1] = half >>> 8;
    } else if (count === 4 && place % 4 === 0) {
      const word = this.words[place / 4]!;
      for (let i = 0; i < 4; i++) into[at + i] = word >>> (8 * i);
    } else into.set(this.memory.bytes.subarray(place, place + count), at);
  }

  private copyIn(place: number, count: number, from: Uint8Array, at: number): void {
    const half = (i: number) => from[at + i]! | (from[at + i + 1]! << 8);
    if (count === 2 && place % 2 === 0) this.halves[place / 2] = half(0);
    else if (count === 4 && place % 4 === 0) this.words[place / 4] = half(0) | (half(2) << 16);
    else {
      const piece = count === from.length ? from : from.subarray(at, at + count);
      this.memory.bytes.set(piece, place);
    }
  }

  /** The content of a range does not matter any more; `release` gets the host's memory behind it. */
  discard(gpa: number, length: number, release: (bytes: Uint8Array) => void): void {
    for (let at = 0; at < length; ) {
      const slot = this.find(gpa + at);
      const count = this.run(gpa + at, length - at, slot);
      if (slot !== undefined && !slot.readonly) {
        const place = slot.place + (gpa + at - slot.gpa);
        release(this.memory.bytes.subarray(place, place + count));
        this.onWrite(gpa + at, place, count);
      }
      at += count;
    }
  }

  private find(gpa: number): MemorySlot | undefined {
    const { slots } = this;
    const last = slots[this.lastHit];
    if (last !== undefined && gpa >= last.gpa && gpa < last.gpa + last.sizeBytes) return last;
    let low = 0;
    let high = slots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (slots[middle]!.gpa <= gpa) low = middle + 1;
      else high = middle;
    }
    const slot = slots[low - 1];
    if (slot === undefined || gpa >= slot.gpa + slot.sizeBytes) return undefined;
    this.lastHit = low - 1;
    return slot;
  }

  /** How many of `length` bytes from `gpa` are in `slot`, or before the next slot if in none. */
  private run(gpa: number, length: number, slot: MemorySlot | undefined): number {
    if (slot !== undefined) return Math.min(length, slot.gpa + slot.sizeBytes - gpa);
    const next = this.slots.find((one) => one.gpa > gpa);
    return next === undefined ? length : Math.min(length, next.gpa - gpa);
  }
}
