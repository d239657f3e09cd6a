import type { Engine, Exit } from '#src/engine/engine.js';
import type { Segment, VcpuRecord } from '#src/engine/records.js';
import { EngineRig } from './engines.js';

/**
 * A tiny 64-bit system: user code in ring 3, and for each vector a handler that is one HLT, so that
 * whatever user code does ends in an exit that says what it was.
 *
 *   0x5000 GDT    0x6000 IDT    0x7000 TSS    0x8000 handlers, 16 bytes apart    0xb000 their stack's end
 *   0x10000 page tables         0x20000 user code         0x30000 user data, two pages
 *   0x32000 nothing             0x33000 read-only         0x34000 supervisor's    0x35000 not for code
 */
export const at = {
  gdt: 0x5000,
  idt: 0x6000,
  tss: 0x7000,
  handlers: 0x8000,
  stack: 0xb000,
  tables: 0x1_0000,
  code: 0x2_0000,
  data: 0x3_0000,
  absent: 0x3_2000,
  readonly: 0x3_3000,
  supervisor: 0x3_4000,
  noCode: 0x3_5000,
} as const;

const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const NO_EXECUTE = 1n << 63n;
const VECTORS = 256;
const TSS_BYTES = 0x68;
/** With permissions for ports below 0x100 behind it, and the byte of ones at its end [SDM 1 19.5.2]. */
const TSS_LIMIT = TSS_BYTES + 32;
/** Exceptions that push an error code [SDM 3A table 6-1]. */
const withError = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

export interface UserState {
  readonly gpr: readonly bigint[];
  readonly rflags: bigint;
  /** The two pages of data. */
  readonly data: Uint8Array;
  readonly ports: boolean;
}

/** How user code ended. */
export interface Ending {
  /** Of the exception, or -1: an exit that came from user code itself. */
  readonly vector: number;
  readonly error: number;
  /** Of a page fault. */
  readonly address: bigint;
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly rsp: bigint;
  readonly gpr: readonly bigint[];
  readonly xmm: Uint8Array;
  readonly data: Uint8Array;
  readonly exit: Exit;
}

export class Ring3Guest {
  readonly rig: EngineRig;
  private readonly view: DataView;
  private readonly start: VcpuRecord;

  constructor(engine: Engine) {
    this.rig = new EngineRig(engine);
    const { ram } = this.rig;
    this.view = new DataView(ram.buffer, ram.byteOffset, ram.length);
    this.buildTables();
    this.start = this.startRecord();
  }

  private u64(gpa: number, value: bigint): void {
    this.view.setBigUint64(gpa, value, true);
  }

  private buildTables(): void {
    const all = PRESENT | WRITABLE | USER;
    for (let level = 0; level < 3; level++) {
      this.u64(at.tables + level * 0x1000, BigInt(at.tables + (level + 1) * 0x1000) | all);
    }
    const leaves = at.tables + 3 * 0x1000;
    for (let gpa = 0; gpa < 0x10_0000; gpa += 0x1000) {
      let bits = gpa >= at.code && gpa < at.supervisor ? all : PRESENT | WRITABLE;
      if (gpa === at.absent) bits = 0n;
      if (gpa === at.readonly) bits = PRESENT | USER;
      // Random data is no program.
      if (gpa >= at.data && gpa < at.absent) bits = all | NO_EXECUTE;
      if (gpa === at.noCode) bits = all | NO_EXECUTE;
      this.u64(leaves + (gpa >> 12) * 8, BigInt(gpa) | bits);
    }
    this.u64(at.gdt + 0x08, 0x00af_9b00_0000_ffffn);
    this.u64(at.gdt + 0x10, 0x00cf_9300_0000_ffffn);
    this.u64(at.gdt + 0x18, 0x00cf_f300_0000_ffffn);
    this.u64(at.gdt + 0x20, 0x00af_fb00_0000_ffffn);
    this.u64(at.gdt + 0x28, 0x0000_8b00_0000_0000n | BigInt(TSS_LIMIT) | (BigInt(at.tss) << 16n));
    this.u64(at.tss + 4, BigInt(at.stack));
    this.view.setUint16(at.tss + 0x66, TSS_BYTES, true);
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = BigInt(at.handlers + vector * 16);
      // INT3 and INTO may be called by users.
      const gate = vector === 3 || vector === 4 ? 0xee00n : 0x8e00n;
      this.u64(at.idt + vector * 16, handler | (8n << 16n) | (gate << 32n));
      this.rig.ram[Number(handler)] = 0xf4;
    }
  }

  private startRecord(): VcpuRecord {
    const record = this.rig.vcpu.getRecord();
    const { system } = record;
    const segment = (selector: number, attributes: number): Segment => ({
      selector,
      attributes,
      unusable: false,
      limit: 0xffff_ffff,
      base: 0n,
    });
    const data = segment(0x1b, 0xc0f3);
    system.segments = [data, segment(0x23, 0xa0fb), data, data, data, data];
    system.segments.push({ ...segment(0, 0x82), unusable: true, limit: 0xffff });
    system.segments.push({ ...segment(0x28, 0x8b), limit: TSS_LIMIT, base: BigInt(at.tss) });
    Object.assign(system, {
      gdtr: { base: BigInt(at.gdt), limit: 0x37 },
      idtr: { base: BigInt(at.idt), limit: VECTORS * 16 - 1 },
      // PE, MP, ET, NE, WP, PG; PAE, OSFXSR, OSXMMEXCPT; SCE, LME, LMA, NXE.
      cr0: 0x8001_0033n,
      cr2: 0n,
      cr3: BigInt(at.tables),
      cr4: 0x620n,
      efer: 0xd01n,
    });
    return record;
  }

  /** Runs user code to its end. With `ports` it may reach those below 0x100. */
  run(code: readonly number[], from: Partial<UserState> = {}): Ending {
    const { rig, start } = this;
    const { gpr = [], rflags = 2n, data = new Uint8Array(0x2000), ports = false } = from;
    rig.ram.fill(0xcc, at.code, at.code + 0x1000);
    rig.ram.set(code, at.code);
    rig.vm.memoryWritten(at.code, rig.vm.memory.start + at.code, 0x1000);
    rig.ram.set(data, at.data);
    rig.ram.fill(ports ? 0 : 0xff, at.tss + TSS_BYTES, at.tss + TSS_LIMIT);
    const registers = {
      gpr: Array.from({ length: 16 }, (_, i) => gpr[i] ?? 0n),
      rip: BigInt(at.code),
      rflags,
    };
    rig.vcpu.setRecord({ ...start, registers });
    return this.ending(rig.run());
  }

  /** What there is to say about where the vCPU stands now. */
  ending(exit: Exit): Ending {
    const { registers, system, xsave } = this.rig.vcpu.getRecord();
    const handler = Number(registers.rip) - 1 - at.handlers;
    const isHandler = exit.kind === 'hlt' && (system.segments[1]!.selector & 3) === 0;
    const vector = isHandler ? handler / 16 : -1;
    const top = withError.has(vector) ? at.stack - 48 : at.stack - 40;
    const frame = (n: number) => this.view.getBigUint64(top + 8 * n, true);
    const skip = withError.has(vector) ? 1 : 0;
    const inHandler = vector >= 0;
    return {
      vector,
      error: inHandler && skip === 1 ? Number(frame(0)) : 0,
      address: vector === 14 ? system.cr2 : 0n,
      rip: inHandler ? frame(skip) : registers.rip,
      rflags: inHandler ? frame(skip + 2) : registers.rflags,
      rsp: inHandler ? frame(skip + 3) : registers.gpr[4]!,
      gpr: registers.gpr.map((value, i) => (inHandler && i === 4 ? 0n : value)),
      xmm: xsave.slice(160, 416),
      data: this.rig.ram.slice(at.data, at.data + 0x2000),
      exit,
    };
  }
}
