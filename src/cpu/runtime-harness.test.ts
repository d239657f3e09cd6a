/** What the runtime's tests share: runtime.wasm on 16 MiB of RAM, with a guest's tables built by hand. */
import { readFileSync } from 'node:fs';
import * as L from './state/layout.js';

declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: unknown };
  Memory: new (d: {
    initial: number;
    maximum: number;
    shared: true;
  }) => { buffer: ArrayBufferLike };
};

export type Runtime = Readonly<
  Record<
    | ('update_mode' | 'update_debug' | 'reset_cpu' | 'commit' | 'after_step' | 'int3' | 'into')
    | ('int1' | 'flush_tlb_all' | 'flush_tlb_nonglobal' | 'after_restore' | 'raise_ud')
    | ('lock_begin' | 'lock_end' | 'enter_run' | 'leave_run'),
    () => void
  > &
    Record<'read_flags', () => bigint> &
    Record<'handle_events', () => number> &
    Record<'invlpg', (linear: bigint) => void> &
    Record<'fetch_probe', (linear: bigint) => number> &
    Record<'load_pdptes', (cr3: bigint) => number> &
    Record<'write_flags', (value: bigint, mask: bigint) => void> &
    Record<
      'probe_read' | 'probe_write' | 'probe_rmw',
      (l: bigint, n: number, s: number) => number
    > &
    Record<'seg_check', (seg: number, ea: bigint, size: number, access: number) => number> &
    Record<'load_seg' | 'mark_code' | 'code_written' | 'ret_far', (a: number, b: number) => void> &
    Record<'jmp_far' | 'call_far', (cs: number, offset: bigint, opsize: number) => void> &
    Record<'iret' | 'int_n' | 'lldt' | 'ltr' | 'set_activity', (n: number) => void> &
    Record<'lar' | 'lsl', (selector: number) => bigint> &
    Record<'verr' | 'verw', (selector: number) => number>
>;

const UNWIND = new Error('unwind');
const module = new WebAssembly.Module(
  readFileSync(new URL('./runtime/runtime.wasm', import.meta.url)),
);

export interface Fault {
  readonly vector: number;
  /** -1: none is pushed. */
  readonly error: number;
  readonly address: bigint;
}

const RAM_BYTES = 0x100_0000;
/** RSP is the fifth register. */
export const RSP = L.GPR + 32;

export const CR0_PE = 1n;
export const CR0_WP = 1n << 16n;
export const CR0_PG = 1n << 31n;
export const EFER_LONG = (1n << 8n) | (1n << 10n);

export class TestCpu {
  readonly ram = L.VCPU_AREA + 2 * L.VCPU_STRIDE;
  readonly cpu: number;
  readonly memory: { buffer: ArrayBufferLike };
  readonly view: DataView;
  readonly rt: Runtime;
  /** What interrupt_ack answers, in order. */
  readonly interrupts: number[] = [];
  readonly mmio: string[] = [];
  mmioValue = 0;

  /** `shared`: the memory of another vCPU of the same VM. */
  constructor(index = 0, shared?: { buffer: ArrayBufferLike }) {
    const pages = (this.ram + RAM_BYTES) / 0x1_0000;
    const memory =
      shared ?? new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
    this.memory = memory;
    this.cpu = L.VCPU_AREA + index * L.VCPU_STRIDE;
    this.view = new DataView(memory.buffer);
    const env = {
      memory,
      cpu: this.cpu,
      unwind: () => {
        throw UNWIND;
      },
      io_in: () => -1,
      io_out: () => {},
      mmio_read: (gpa: number, size: number) => {
        this.mmio.push(`r${size} ${gpa.toString(16)}`);
        return this.mmioValue;
      },
      mmio_write: (gpa: number, size: number, value: number) => {
        this.mmio.push(`w${size} ${gpa.toString(16)} ${(value >>> 0).toString(16)}`);
      },
      apic_read: () => 0,
      apic_write: () => {},
      msr_read: () => 0,
      msr_write: () => 0,
      interrupt_ack: () => this.interrupts.shift() ?? -1,
      clock_ns: () => 0,
      random_u32: () => 4,
    };
    this.rt = new WebAssembly.Instance(module, { env }).exports as Runtime;
    this.setU32(L.VCPU_INDEX, index);
    this.view.setUint32(L.VM_VCPUS, index + 1, true);
    this.view.setUint32(L.VM_A20, 1, true);
    for (let page = 0; page < RAM_BYTES >> 12; page++) {
      const flags = L.PHYS_READ | L.PHYS_WRITE;
      this.view.setUint32(L.PHYS_MAP + page * 4, (this.ram + (page << 12)) | flags, true);
    }
    this.rt.reset_cpu();
  }

  /** Runs `work`; the fault it ended in, if any, is taken from the CPU. */
  fault(work: () => unknown): Fault | undefined {
    try {
      work();
    } catch (error) {
      if (error !== UNWIND) throw error;
    }
    const event = this.u32(L.EVENT);
    if (!(event & L.EVENT_EXCEPTION)) return undefined;
    this.setU32(L.EVENT, event & ~L.EVENT_EXCEPTION);
    return {
      vector: this.u32(L.EXC_VECTOR),
      error: this.u32(L.EXC_HAS_ERROR) ? this.u32(L.EXC_ERROR) : -1,
      address: this.u64(L.EXC_ADDRESS),
    };
  }

  /** As the run loop: events until there is an answer. */
  events(): number {
    for (;;) {
      try {
        return this.rt.handle_events();
      } catch (error) {
        if (error !== UNWIND) throw error;
      }
    }
  }

  u16 = (offset: number): number => this.view.getUint16(this.cpu + offset, true);
  u32 = (offset: number): number => this.view.getUint32(this.cpu + offset, true);
  u64 = (offset: number): bigint => this.view.getBigUint64(this.cpu + offset, true);
  setU32 = (offset: number, value: number): void =>
    this.view.setUint32(this.cpu + offset, value, true);
  setU64 = (offset: number, value: bigint): void =>
    this.view.setBigUint64(this.cpu + offset, value, true);

  ram16 = (at: number): number => this.view.getUint16(this.ram + at, true);
  ram32 = (at: number): number => this.view.getUint32(this.ram + at, true);
  ram64 = (at: number): bigint => this.view.getBigUint64(this.ram + at, true);
  setRam16 = (at: number, value: number): void => this.view.setUint16(this.ram + at, value, true);
  setRam32 = (at: number, value: number): void => this.view.setUint32(this.ram + at, value, true);
  setRam64 = (at: number, value: bigint): void =>
    this.view.setBigUint64(this.ram + at, value, true);

  selector = (n: number): number => this.u16(L.SEGMENTS + n * L.SEGMENT_SIZE);
  attributes = (n: number): number => this.u32(L.SEGMENTS + n * L.SEGMENT_SIZE + L.SEG_ATTRIBUTES);
  base = (n: number): bigint => this.u64(L.SEGMENTS + n * L.SEGMENT_SIZE + L.SEG_BASE);

  /** Fills a segment register without any check. */
  segment(n: number, selector: number, attributes: number, base = 0n, limit = 0xffff_ffff): void {
    const at = L.SEGMENTS + n * L.SEGMENT_SIZE;
    this.view.setUint16(this.cpu + at, selector, true);
    this.setU32(at + L.SEG_ATTRIBUTES, attributes);
    this.setU32(at + L.SEG_LIMIT, limit);
    this.setU64(at + L.SEG_BASE, base);
  }

  /** One u64 a 64-bit word on the stack (or any list in RAM). */
  words = (at: number, count: number, size = 4): number[] =>
    Array.from({ length: count }, (_, i) =>
      size === 2 ? this.ram16(at + i * 2) : this.ram32(at + i * size),
    );
}

/** An 8-byte descriptor; `limit` in bytes for G = 0 or pages for G = 1, `flags` is G DB L AVL. */
export function descriptor(access: number, flags: number, base = 0, limit = 0xf_ffff): bigint {
  const low = (BigInt(base & 0xffff) << 16n) | BigInt(limit & 0xffff);
  const high =
    ((base >>> 16) & 0xff) |
    (access << 8) |
    (((limit >>> 16) & 15) << 16) |
    (flags << 20) |
    (base & 0xff00_0000);
  return (BigInt(high >>> 0) << 32n) | low;
}

/** A gate's first 8 bytes. `low5`: parameters of a call gate, or the IST. */
export function gate(type: number, selector: number, offset: number, low5 = 0): bigint {
  const high = ((offset & 0xffff_0000) | (type << 8) | low5) >>> 0;
  return (BigInt(high) << 32n) | (BigInt(selector) << 16n) | BigInt(offset & 0xffff);
}

export const GDT = 0x1000;
export const IDT = 0x2000;
export const TSS = 0x3000;

/** Selectors of the tables below. */
export const SEL = {
  code0: 0x08,
  data0: 0x10,
  code3: 0x1b,
  data3: 0x23,
  conforming: 0x28,
  tss: 0x30,
  code64: 0x40,
  code64u: 0x4b,
  gate: 0x50,
  task2: 0x60,
  absent: 0x68,
  ldt: 0x70,
  code16: 0x78,
  stack16: 0x80,
} as const;

/** Flat 32-bit protected mode at CPL 0 without paging, with a GDT, an IDT and a 32-bit TSS. */
export function protectedMode(cpl: 0 | 3 = 0): TestCpu {
  const t = new TestCpu();
  const set = (selector: number, d: bigint): void => t.setRam64(GDT + (selector & ~7), d);
  set(SEL.code0, descriptor(0x9b, 0xc));
  set(SEL.data0, descriptor(0x93, 0xc));
  set(SEL.code3, descriptor(0xfb, 0xc));
  set(SEL.data3, descriptor(0xf3, 0xc));
  set(SEL.conforming, descriptor(0x9e, 0xc));
  set(SEL.tss, descriptor(0x8b, 0, TSS, 0x67));
  set(SEL.code64, descriptor(0x9b, 0xa));
  set(SEL.code64u, descriptor(0xfb, 0xa));
  set(SEL.absent, descriptor(0x13, 0xc));
  set(SEL.ldt, descriptor(0x82, 0, 0x9000, 0xff));
  set(SEL.code16, descriptor(0x9a, 0, 0, 0xffff));
  set(SEL.stack16, descriptor(0x92, 0, 0x5_0000, 0xffff));
  t.setU64(L.GDTR, BigInt(GDT));
  t.setU32(L.GDTR + 8, 0xfff);
  t.setU64(L.IDTR, BigInt(IDT));
  t.setU32(L.IDTR + 8, 0x7ff);
  t.setU64(L.CR0, CR0_PE | 0x10n);
  const dpl = cpl === 3 ? 0x60 : 0;
  t.segment(L.CS, cpl ? SEL.code3 : SEL.code0, 0xc09b | dpl);
  for (const n of [L.SS, L.DS, L.ES]) t.segment(n, cpl ? SEL.data3 : SEL.data0, 0xc093 | dpl);
  for (const n of [L.FS, L.GS]) t.segment(n, 0, 0x1_0000, 0n, 0);
  t.segment(L.TR, SEL.tss, 0x8b, BigInt(TSS), 0x67);
  t.segment(L.LDTR, 0, 0x1_0000, 0n, 0);
  t.setRam32(TSS + 4, 0x8000);
  t.setRam32(TSS + 8, SEL.data0);
  t.setU32(L.CPL, cpl);
  t.setU64(RSP, 0x7000n);
  t.setU64(L.RIP, 0x1234n);
  t.setU64(L.NEXT_RIP, 0x1236n);
  t.rt.update_mode();
  return t;
}

/** Places of the paging structures that longMode builds. */
export const PML4 = 0x10_0000;
export const PDPT = 0x10_1000;
export const PD = 0x10_2000;
export const PT = 0x10_3000;

/**
 * 64-bit mode: the first 2 MiB mapped by 4 KiB user pages, the next 14 by 2 MiB supervisor pages.
 */
export function longMode(cpl: 0 | 3 = 0): TestCpu {
  const t = protectedMode(cpl);
  t.setRam64(PML4, BigInt(PDPT) | 7n);
  t.setRam64(PDPT, BigInt(PD) | 7n);
  t.setRam64(PD, BigInt(PT) | 7n);
  for (let n = 1; n < 8; n++) t.setRam64(PD + n * 8, BigInt(n << 21) | 0x83n);
  for (let n = 0; n < 512; n++) t.setRam64(PT + n * 8, BigInt(n << 12) | 7n);
  t.setU64(L.CR3, BigInt(PML4));
  t.setU64(L.CR4, 0x20n);
  t.setU64(L.EFER, EFER_LONG | (1n << 11n));
  t.setU64(L.CR0, CR0_PG | CR0_WP | CR0_PE);
  t.segment(L.CS, cpl ? SEL.code64u : SEL.code64, cpl ? 0xa0fb : 0xa09b);
  t.setRam64(TSS + 4, 0x8000n);
  t.rt.update_mode();
  return t;
}
