import * as L from '#src/cpu/state/layout.js';
import { nothingOutside, RAM, RawCpu, UNWIND } from './raw-cpu.js';

export { RAM };

export const RAM_PAGES = 64;

type Call = (...args: (number | bigint)[]) => number | bigint | undefined;

/** The runtime's functions on one vCPU's state: ports read as their own number. */
export class BareRuntime {
  readonly written: number[] = [];
  private readonly cpu = new RawCpu(RAM_PAGES, {
    ...nothingOutside,
    io_in: (port) => port,
    io_out: (_port, _size, value) => this.written.push(value),
    clock_ns: () => 1e9,
  });
  readonly bytes = this.cpu.bytes;
  readonly view = this.cpu.view;

  constructor() {
    this.reset('flat');
  }

  call(name: string, ...args: (number | bigint)[]): number | bigint | undefined {
    const found = this.cpu.rt[name] as Call | undefined;
    if (!found) throw new Error(`runtime.wasm does not export ${name}`);
    return found(...args);
  }

  /** Whether a call recorded a fault; its vector, or -1. */
  faultOf(run: () => void): number {
    this.set32(L.EVENT, 0);
    this.set32(L.EXC_VECTOR, -1);
    try {
      run();
    } catch (error) {
      if (error !== UNWIND) throw error;
    }
    return this.view.getInt32(L.VCPU_AREA + L.EXC_VECTOR, true);
  }

  get32(offset: number): number {
    return this.view.getUint32(L.VCPU_AREA + offset, true);
  }
  set32(offset: number, value: number): void {
    this.view.setInt32(L.VCPU_AREA + offset, value, true);
  }
  get64(offset: number): bigint {
    return this.view.getBigUint64(L.VCPU_AREA + offset, true);
  }
  set64(offset: number, value: bigint): void {
    this.view.setBigUint64(L.VCPU_AREA + offset, BigInt.asUintN(64, value), true);
  }

  /** Protected mode at CPL 0 with flat 32-bit segments, or real mode with 64 KiB ones; no paging. */
  reset(mode: 'flat' | 'real'): void {
    const flat = mode === 'flat';
    this.set64(L.CR0, flat ? 0x11n : 0x10n);
    for (const offset of [L.CR3, L.CR4, L.EFER]) this.set64(offset, 0n);
    this.set32(L.EFLAGS, 2);
    this.set32(L.CPL, 0);
    this.set32(L.ATTENTION, 0);
    this.set32(L.DELIVERING, -1);
    this.set64(L.DR + 0x38, 0x400n);
    for (let n = 0; n < 10; n++) {
      const at = L.SEGMENTS + n * L.SEGMENT_SIZE;
      const type = n === L.CS ? 0x9b : 0x93;
      this.set32(at + L.SEG_ATTRIBUTES, flat || n >= L.FLAT ? type | 0xc000 : type);
      this.set32(at + L.SEG_LIMIT, flat || n >= L.FLAT ? -1 : 0xffff);
      this.set64(at + L.SEG_BASE, flat || n >= L.FLAT ? 0n : BigInt(n * 0x100));
      this.set32(at + L.SEG_CHECK, 0);
    }
    this.call('after_restore');
    this.set32(L.EVENT, 0);
  }
}
