import { VCPU_AREA, VCPU_STRIDE } from '../../cpu/state/layout.js';

/** One vCPU's area of the shared memory, by the offsets of layout.ts. */
export class StateView {
  /** Address of the area in the memory: what generated code calls CPU. */
  readonly base: number;
  readonly view: DataView;
  readonly words: Int32Array;

  constructor(buffer: ArrayBufferLike, index: number) {
    this.base = VCPU_AREA + index * VCPU_STRIDE;
    this.view = new DataView(buffer, this.base, VCPU_STRIDE);
    this.words = new Int32Array(buffer, this.base, VCPU_STRIDE / 4);
  }

  u8 = (offset: number): number => this.view.getUint8(offset);
  u16 = (offset: number): number => this.view.getUint16(offset, true);
  i32 = (offset: number): number => this.view.getInt32(offset, true);
  u32 = (offset: number): number => this.view.getUint32(offset, true);
  u64 = (offset: number): bigint => this.view.getBigUint64(offset, true);
  setU8 = (offset: number, value: number): void => this.view.setUint8(offset, value);
  setU16 = (offset: number, value: number): void => this.view.setUint16(offset, value, true);
  setU32 = (offset: number, value: number): void => this.view.setUint32(offset, value, true);
  setU64 = (offset: number, value: bigint): void => this.view.setBigUint64(offset, value, true);

  /** Sets bits of a word that other threads set too. */
  orWord(offset: number, bits: number): void {
    Atomics.or(this.words, offset >> 2, bits);
  }

  /** The same bits as before, with `bits` set or cleared. */
  assign(offset: number, bits: number, on: boolean): void {
    const word = this.u32(offset);
    this.setU32(offset, on ? word | bits : word & ~bits);
  }
}
