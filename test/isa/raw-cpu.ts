import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createBlockDecoder, DecodeTables } from '#src/cpu/interp/decode-block.js';
import { instructionTable } from '#src/cpu/isa/index.js';
import { defaultCpuid, encodeCpuid } from '#src/cpu/state/cpuid.js';
import * as L from '#src/cpu/state/layout.js';

/** Where the CPU's area and guest-physical page 0 lie in the memory. */
export const CPU = L.VCPU_AREA;
export const RAM = L.VCPU_AREA + L.VCPU_STRIDE;

/** Thrown through wasm frames by the runtime: a guest fault is recorded. */
export const UNWIND = { reason: 'guest fault' };

export const tables = new DecodeTables(instructionTable);

type Wasm = Record<string, (...args: (number | bigint)[]) => number | bigint>;

const folder = fileURLToPath(new URL('../../cpu/', import.meta.url));
const compile = (name: string): WebAssembly.Module =>
  new WebAssembly.Module(readFileSync(folder + name));

/** The world outside of the CPU: what the imports of module "env" answer. */
export interface Outside {
  io_in(port: number, size: number): number;
  io_out(port: number, size: number, value: number): void;
  mmio_read(gpa: number, size: number): number;
  mmio_write(gpa: number, size: number, value: number): void;
  apic_read(offset: number): number;
  apic_write(offset: number, value: number): void;
  msr_read(index: number, half: number): number;
  msr_write(index: number, low: number, high: number): number;
  interrupt_ack(): number;
  clock_ns(): number;
  random_u32(): number;
}

export const nothingOutside: Outside = {
  io_in: () => -1,
  io_out: () => {},
  mmio_read: () => -1,
  mmio_write: () => {},
  apic_read: () => 0,
  apic_write: () => {},
  msr_read: () => 0,
  msr_write: () => 0,
  interrupt_ack: () => -1,
  clock_ns: () => 0,
  random_u32: () => 4,
};

/** The runtime and the interpreter on one vCPU's state, with nothing of an engine around them. */
export class RawCpu {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly rt: Wasm;
  readonly interp: Wasm;
  /** Imports of module "env", for other generated modules. */
  readonly env: object;

  /** `betweenBlocks` stands before the runtime's handle_events. */
  constructor(ramPages: number, outside: Outside, betweenBlocks?: (ask: () => number) => number) {
    this.memory = new WebAssembly.Memory({
      initial: (RAM >>> 16) + Math.ceil(ramPages / 16),
      maximum: 65536,
      shared: true,
    });
    const { buffer } = this.memory;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    const cpu = new WebAssembly.Global({ value: 'i32', mutable: false }, CPU);
    const unwind = (): never => {
      throw UNWIND;
    };
    this.env = { memory: this.memory, cpu, unwind, ...outside };
    this.rt = new WebAssembly.Instance(compile('runtime/runtime.wasm'), { env: this.env })
      .exports as Wasm;
    const ask = this.rt.handle_events as () => number;
    const rt = betweenBlocks ? { ...this.rt, handle_events: () => betweenBlocks(ask) } : this.rt;
    const markCode = this.rt.mark_code as (place: number, length: number) => void;
    const decoder = createBlockDecoder(tables, buffer, CPU, markCode);
    const env = { ...this.env, ...decoder, hot: () => {} };
    this.interp = new WebAssembly.Instance(compile('interp/interp.wasm'), { env, rt })
      .exports as Wasm;
    this.view.setUint32(L.VM_VCPUS, 1, true);
    this.view.setUint32(L.VM_A20, 1, true);
    this.bytes.set(encodeCpuid(defaultCpuid(1)), L.VM_CPUID);
    this.map(0, ramPages, 0, L.PHYS_READ | L.PHYS_WRITE);
    this.rt.reset_cpu!();
  }

  /** Guest-physical pages from `page` on are RAM's from `ramPage` on. */
  map(page: number, count: number, ramPage: number, flags: number): void {
    for (let i = 0; i < count; i++) {
      const word = (RAM + (ramPage + i) * 4096) | flags;
      this.view.setUint32(L.PHYS_MAP + (page + i) * 4, word, true);
    }
  }

  u32 = (offset: number): number => this.view.getUint32(CPU + offset, true);
  u64 = (offset: number): bigint => this.view.getBigUint64(CPU + offset, true);
  setU32 = (offset: number, value: number): void => this.view.setUint32(CPU + offset, value, true);
  setU64 = (offset: number, value: bigint | number): void =>
    this.view.setBigUint64(CPU + offset, BigInt.asUintN(64, BigInt(value)), true);
  setRam64 = (gpa: number, value: bigint | number): void =>
    this.view.setBigUint64(RAM + gpa, BigInt.asUintN(64, BigInt(value)), true);

  /** Fills a segment register without any check. */
  segment(
    n: number,
    selector: number,
    attributes: number,
    base: number | bigint = 0,
    limit = 0xffff_ffff,
  ): void {
    const at = L.SEGMENTS + n * L.SEGMENT_SIZE;
    this.view.setUint16(CPU + at + L.SEG_SELECTOR, selector, true);
    this.setU32(at + L.SEG_ATTRIBUTES, attributes);
    this.setU32(at + L.SEG_LIMIT, limit);
    this.setU64(at + L.SEG_BASE, base);
  }

  /** RAM was written from outside: what was decoded in these pages is no longer it. */
  forgetCode(ramPage: number, count: number): void {
    const first = L.CODE_PAGES + ((RAM >>> 12) + ramPage) * L.CODE_PAGE_SIZE;
    for (let i = 0; i < count; i++) {
      const at = first + i * L.CODE_PAGE_SIZE;
      this.view.setInt32(at, this.view.getInt32(at, true) + 1, true);
    }
  }
}
