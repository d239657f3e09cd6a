import { readFileSync } from 'node:fs';
import * as L from '#src/cpu/state/layout.js';

/** Where guest-physical page 0 lies in the bare machine's memory. */
export const RAM = L.VCPU_AREA + L.VCPU_STRIDE;
export const RAM_PAGES = 64;

/** The runtime left the instruction: a fault is recorded. */
export class Unwound extends Error {}

type Call = (...args: (number | bigint)[]) => number | bigint | undefined;

/**
 * runtime.wasm alone, with one vCPU's area, 64 pages of RAM and no devices: ports read as their
 * own number.
 */
export class BareRuntime {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly written: number[] = [];
  private readonly exports: Record<string, Call>;

  constructor() {
    const memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536, shared: true });
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    const env = {
      memory,
      cpu: new WebAssembly.Global({ value: 'i32', mutable: false }, L.VCPU_AREA),
      unwind: () => {
        throw new Unwound();
      },
      io_in: (port: number) => port,
      io_out: (_port: number, _size: number, value: number) => this.written.push(value),
      mmio_read: () => -1,
      mmio_write: () => {},
      apic_read: () => 0,
      apic_write: () => {},
      msr_read: () => 0,
      msr_write: () => 0,
      interrupt_ack: () => -1,
      clock_ns: () => 1e9,
      random_u32: () => 4,
    };
    const file = new URL('../../cpu/runtime/runtime.wasm', import.meta.url);
    const module = new WebAssembly.Module(readFileSync(file));
    this.exports = new WebAssembly.Instance(module, { env }).exports as Record<string, Call>;
    for (let page = 0; page < RAM_PAGES; page++) {
      const word = (RAM + page * 0x1000) | L.PHYS_READ | L.PHYS_WRITE;
      this.view.setUint32(L.PHYS_MAP + page * 4, word, true);
    }
    this.view.setUint32(L.VM_VCPUS, 1, true);
    this.view.setUint32(L.VM_A20, 1, true);
    this.reset('flat');
  }

  call(name: string, ...args: (number | bigint)[]): number | bigint | undefined {
    const found = this.exports[name];
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
      if (!(error instanceof Unwound)) throw error;
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
