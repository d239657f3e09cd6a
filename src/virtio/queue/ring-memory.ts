import type { Dma } from '../../device/dma.js';
import { DESCRIPTOR_BYTES } from './registers.js';

/** Addresses from here on are beyond any physical address (MAXPHYADDR is at most 52). */
const UNREACHABLE = 2 ** 52;

/** A 64-bit guest-physical address as a number; what no memory can have becomes unreachable. */
export function guestAddress(low: number, high: number): number {
  return Math.min(high * 2 ** 32 + low, UNREACHABLE);
}

const fenceWord = new Int32Array(1);

/** Orders what this thread wrote before what it reads next, as seen by vCPUs on other threads. */
export function fence(): void {
  Atomics.add(fenceWord, 0, 1);
}

/** Small numbers in guest memory, and one descriptor copied out of it. Allocates nothing. */
export class RingMemory {
  /** An access left guest memory since this was cleared. */
  faulted = false;
  /** What {@link load} copied. */
  readonly descriptor = new DataView(new ArrayBuffer(DESCRIPTOR_BYTES));
  private readonly whole = new Uint8Array(this.descriptor.buffer);
  private readonly number = new DataView(new ArrayBuffer(8));
  private readonly two = new Uint8Array(this.number.buffer, 0, 2);
  private readonly four = new Uint8Array(this.number.buffer, 0, 4);
  private readonly eight = new Uint8Array(this.number.buffer);

  constructor(private readonly dma: Dma) {}

  u16(gpa: number): number {
    if (!this.dma.read(gpa, this.two)) this.faulted = true;
    return this.number.getUint16(0, true);
  }

  u32(gpa: number): number {
    if (!this.dma.read(gpa, this.four)) this.faulted = true;
    return this.number.getUint32(0, true);
  }

  setU16(gpa: number, value: number): void {
    this.number.setUint16(0, value, true);
    if (!this.dma.write(gpa, this.two)) this.faulted = true;
  }

  setU32(gpa: number, value: number): void {
    this.number.setUint32(0, value, true);
    if (!this.dma.write(gpa, this.four)) this.faulted = true;
  }

  /** Two words next to each other in one write. */
  setPair(gpa: number, first: number, second: number): void {
    this.number.setUint32(0, first, true);
    this.number.setUint32(4, second, true);
    if (!this.dma.write(gpa, this.eight)) this.faulted = true;
  }

  /** Copies a descriptor once; all checks are made on the copy. */
  load(gpa: number): DataView {
    if (!this.dma.read(gpa, this.whole)) this.faulted = true;
    return this.descriptor;
  }
}
