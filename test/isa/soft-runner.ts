/**
 * Runs native.c's cases on the soft engine's interpreter, at CPL 3 in long mode (or compatibility
 * mode) under real page tables. Exceptions go through the IDT to handlers that halt at CPL 0, so
 * delivery, error codes and CR2 are under test too.
 */
import * as L from '#src/cpu/state/layout.js';
import { ANSWER, CASE, CODE, DATA, FS_BASE, GS_BASE, LIMIT_16 } from './case-format.js';
import { CPU, nothingOutside, RAM, RawCpu, UNWIND } from './raw-cpu.js';
import { type CaseCode, type Translated, translateCases } from './translated-cases.js';

const RAM_PAGES = 0x200;

/** Where the kernel's pages stand in the address space: a wild user access must not find them. */
const KERNEL = 0xffff_8000_0000_0000n;

// Guest-physical addresses.
const PML4 = 0x1000;
const IDT = 0x6000;
const GDT = 0x7000;
const TSS = 0x7800;
const HANDLERS = 0x8000;
const STACK_TOP = 0xa000;
const CODE_PAGE = 0x10_0000;
const DATA_PAGES = 0x10_1000;

/** Attributes of a null segment register. */
const NULL_SEGMENT = 0x1_0000;

/** Cases that are translated as one module. */
const TOGETHER = 250;

const HAS_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

export class SoftRunner {
  private readonly cpu = new RawCpu(RAM_PAGES, nothingOutside);
  private readonly view = this.cpu.view;
  private readonly bytes = this.cpu.bytes;

  /** Cases whose code began in a translated region. */
  translated = 0;

  /** `jit`: the code of each case is translated before it is run. */
  constructor(private readonly jit = false) {
    this.setUp();
  }

  private u64(gpa: number, value: number | bigint): void {
    this.view.setBigUint64(RAM + gpa, BigInt(value), true);
  }

  private setUp(): void {
    const { view } = this;
    const NX = 1n << 63n;
    this.u64(PML4, 0x2007);
    this.u64(0x2000, 0x3007);
    this.u64(PML4 + 256 * 8, 0xb003);
    this.u64(0xb000, 0xc003);
    this.u64(0xc000, 0x83);
    this.u64(0x3000 + (CODE >>> 21) * 8, 0x4007);
    this.u64(0x3000 + (DATA >>> 21) * 8, 0x5007);
    this.u64(0x4000, CODE_PAGE | 5);
    this.u64(0x5000, BigInt(DATA_PAGES | 7) | NX);
    this.u64(0x5008, BigInt((DATA_PAGES + 4096) | 7) | NX);
    this.u64(0x5010, BigInt((DATA_PAGES + 8192) | 5) | NX);
    for (let vector = 0; vector < 32; vector++) {
      const handler = HANDLERS + vector * 16;
      this.bytes[RAM + handler] = 0xf4; // hlt
      const dpl = vector === 3 || vector === 4 ? 0x60 : 0;
      this.u64(IDT + vector * 16, (handler & 0xffff) | (0x10 << 16));
      view.setUint32(RAM + IDT + vector * 16 + 4, 0x8e00 | (dpl << 8), true);
      this.u64(IDT + vector * 16 + 8, KERNEL >> 32n);
    }
    // Kernel code 0x10; as Linux has them: user 32-bit code 0x23, user data 0x2b, user code 0x33.
    this.u64(GDT + 0x10, 0x00af_9a00_0000_ffffn);
    this.u64(GDT + 0x18, 0x00cf_9200_0000_ffffn);
    this.u64(GDT + 0x20, 0x00cf_fa00_0000_ffffn);
    this.u64(GDT + 0x28, 0x00cf_f200_0000_ffffn);
    this.u64(GDT + 0x30, 0x00af_fa00_0000_ffffn);
    // The I/O permission map starts beyond the limit: no port is free to use.
    view.setUint16(RAM + TSS + 102, 0x68, true);
    this.u64(TSS + 4, KERNEL + BigInt(STACK_TOP));
    const s64 = (offset: number, value: bigint | number): void =>
      view.setBigUint64(CPU + offset, BigInt(value), true);
    s64(L.CR0, 0x8005_0033);
    s64(L.CR3, PML4);
    s64(L.CR4, 0x5_06a0);
    s64(L.EFER, 0xd01);
    s64(L.XCR0, 3);
    s64(L.IDTR, KERNEL + BigInt(IDT));
    view.setUint32(CPU + L.IDTR + 8, 0x1ff, true);
    s64(L.GDTR, KERNEL + BigInt(GDT));
    view.setUint32(CPU + L.GDTR + 8, 0x37, true);
    this.cpu.segment(L.TR, 0x40, 0x008b, KERNEL + BigInt(TSS), 0x67);
    this.cpu.segment(L.LDTR, 0, 0x1_0000, 0, 0);
    this.bytes.fill(0xcc, RAM + CODE_PAGE, RAM + CODE_PAGE + 4096);
  }

  /** Answers for `count` cases, in native.c's form. */
  run(cases: Uint8Array, count: number): Uint8Array {
    const answers = new Uint8Array(count * ANSWER.size);
    const input = new DataView(cases.buffer, cases.byteOffset);
    const output = new DataView(answers.buffer);
    this.bytes.fill(0, RAM + DATA_PAGES, RAM + DATA_PAGES + 8192);
    this.bytes.fill(0xcc, RAM + CODE_PAGE, RAM + CODE_PAGE + 4096);
    for (let first = 0; first < count; first += TOGETHER) {
      const end = Math.min(first + TOGETHER, count);
      const regions = this.jit ? this.translate(cases, input, first, end) : [];
      for (let i = first; i < end; i++) {
        const [at, out] = [i * CASE.size, i * ANSWER.size];
        this.runOne(cases, input, at, answers, output, out, regions[i - first]);
      }
    }
    return answers;
  }

  private translate(cases: Uint8Array, input: DataView, first: number, end: number): Translated[] {
    const list: CaseCode[] = [];
    for (let i = first; i < end; i++) {
      const at = i * CASE.size;
      const length = input.getUint32(at + CASE.codeLength, true);
      this.loadSegments(input.getUint32(at + CASE.mode, true));
      this.cpu.rt.update_mode!();
      list.push({
        bytes: cases.subarray(at + CASE.code, at + CASE.code + length),
        offset: input.getUint32(at + CASE.codeOffset, true),
        key: this.view.getUint32(CPU + L.CODE_KEY, true),
      });
    }
    return translateCases(this.cpu, RAM + CODE_PAGE, list);
  }

  private runOne(
    cases: Uint8Array,
    input: DataView,
    at: number,
    answers: Uint8Array,
    output: DataView,
    out: number,
    region: Translated,
  ): void {
    const { view, bytes } = this;
    const { rt } = this.cpu;
    const codeOffset = input.getUint32(at + CASE.codeOffset, true);
    const codeLength = input.getUint32(at + CASE.codeLength, true);
    const dataAt = RAM + DATA_PAGES + input.getUint32(at + CASE.dataOffset, true);
    const dataLength = input.getUint32(at + CASE.dataLength, true);
    const codeAt = RAM + CODE_PAGE + codeOffset;
    const mode = input.getUint32(at + CASE.mode, true);
    bytes.set(cases.subarray(at + CASE.code, at + CASE.code + codeLength), codeAt);
    this.cpu.forgetCode(CODE_PAGE >>> 12, 1);
    bytes.set(cases.subarray(at + CASE.data, at + CASE.data + dataLength), dataAt);
    bytes.set(cases.subarray(at + CASE.gpr, at + CASE.gpr + 128), CPU + L.GPR);
    view.setBigUint64(CPU + L.RIP, BigInt(mode === 2 ? codeOffset : CODE + codeOffset), true);
    this.loadSegments(mode);
    view.setInt32(CPU + L.CPL, 3, true);
    view.setInt32(CPU + L.ACTIVITY, 0, true);
    view.setInt32(CPU + L.EVENT, 0, true);
    this.loadFpu(cases, input, at + CASE.fx);
    rt.write_flags!(input.getBigUint64(at + CASE.rflags, true), -1n);
    rt.update_mode!();
    const icount = view.getBigUint64(CPU + L.ICOUNT, true);
    // Room for repeated string instructions, which are charged in large steps.
    view.setBigUint64(CPU + L.ICOUNT_LIMIT, icount + 10_000_000n, true);
    // Under TF and the like, code is run one instruction at a time.
    const stepped = view.getBigUint64(CPU + L.ATTENTION, true) !== 0n;
    if (region && !stepped) this.translated++;
    const exit = this.enter(stepped ? undefined : region);
    answers.set(bytes.subarray(CPU + L.GPR, CPU + L.GPR + 128), out + ANSWER.gpr);
    const halted = Number(view.getBigUint64(CPU + L.RIP, true) - KERNEL);
    const vector = (halted - 1 - HANDLERS) / 16;
    if (exit !== L.EXIT_HALT || !Number.isInteger(vector) || vector < 0 || vector > 31) {
      output.setUint32(out + ANSWER.trap, 0xdead_0000 | (exit & 0xff), true);
    } else {
      output.setUint32(out + ANSWER.trap, vector, true);
      const frame = RAM + STACK_TOP - 40;
      if (HAS_ERROR.has(vector))
        output.setUint32(out + ANSWER.error, view.getUint32(frame - 8, true), true);
      output.setBigUint64(out + ANSWER.rip, view.getBigUint64(frame, true), true);
      output.setBigUint64(out + ANSWER.rflags, view.getBigUint64(frame + 16, true), true);
      output.setBigUint64(out + ANSWER.gpr + 32, view.getBigUint64(frame + 24, true), true);
      if (vector === 14)
        output.setBigUint64(out + ANSWER.cr2, view.getBigUint64(CPU + L.CR2, true), true);
    }
    this.saveFpu(answers, output, out + ANSWER.fx);
    answers.set(bytes.subarray(dataAt, dataAt + dataLength), out + ANSWER.data);
    bytes.fill(0, dataAt, dataAt + dataLength);
    bytes.fill(0xcc, codeAt, codeAt + codeLength);
  }

  private loadSegments(mode: number): void {
    if (mode === 2) {
      this.cpu.segment(L.CS, 0x07, 0xfb, CODE, LIMIT_16.cs);
      this.cpu.segment(L.DS, 0x0f, 0xf3, DATA, LIMIT_16.ds);
      this.cpu.segment(L.SS, 0x17, 0xf3, DATA, LIMIT_16.ss);
      this.cpu.segment(L.ES, 0x1f, 0xf3, DATA, LIMIT_16.es);
    } else {
      this.cpu.segment(L.CS, mode ? 0x23 : 0x33, mode ? 0xc0fb : 0xa0fb, 0, 0xffff_ffff);
      for (const n of [L.SS, L.DS, L.ES]) this.cpu.segment(n, 0x2b, 0xc0f3, 0, 0xffff_ffff);
    }
    this.cpu.segment(L.FS, 0, NULL_SEGMENT, FS_BASE, 0);
    this.cpu.segment(L.GS, 0, NULL_SEGMENT, GS_BASE, 0);
  }

  /** A region first, where there is one; what it leaves, and what comes after it, is interpreted. */
  private enter(region: Translated): number {
    let first = region;
    for (let tries = 0; tries < 100; tries++) {
      try {
        const status = first?.() ?? 0;
        first = undefined;
        if (status !== 0) return status;
        return Number(this.cpu.interp.run!());
      } catch (error) {
        if (error !== UNWIND) throw error;
        first = undefined;
      }
    }
    return 0xff;
  }

  private loadFpu(cases: Uint8Array, input: DataView, fx: number): void {
    const { view, bytes } = this;
    view.setUint16(CPU + L.X87_CONTROL, input.getUint16(fx, true), true);
    const status = input.getUint16(fx + 2, true);
    view.setUint16(CPU + L.X87_STATUS, status, true);
    bytes[CPU + L.X87_TAG] = cases[fx + 4]!;
    // FXRSTOR loads the pointers that the cases leave 0.
    bytes.fill(0, CPU + L.X87_OPCODE, CPU + L.X87_CS);
    const top = (status >> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const from = fx + 32 + i * 16;
      bytes.set(cases.subarray(from, from + 10), CPU + L.X87 + ((top + i) & 7) * L.X87_SIZE);
    }
    for (let i = 0; i < 16; i++) {
      const from = fx + 160 + i * 16;
      bytes.set(cases.subarray(from, from + 16), CPU + L.XMM + i * L.XMM_SIZE);
    }
    this.cpu.rt.set_mxcsr!(input.getUint32(fx + 24, true));
  }

  private saveFpu(answers: Uint8Array, output: DataView, fx: number): void {
    const { view, bytes } = this;
    output.setUint16(fx, view.getUint16(CPU + L.X87_CONTROL, true), true);
    const status = view.getUint16(CPU + L.X87_STATUS, true);
    output.setUint16(fx + 2, status, true);
    answers[fx + 4] = bytes[CPU + L.X87_TAG]!;
    output.setUint32(fx + 24, view.getUint32(CPU + L.MXCSR, true), true);
    const top = (status >> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const from = CPU + L.X87 + ((top + i) & 7) * L.X87_SIZE;
      answers.set(bytes.subarray(from, from + 10), fx + 32 + i * 16);
    }
    for (let i = 0; i < 16; i++) {
      const from = CPU + L.XMM + i * L.XMM_SIZE;
      answers.set(bytes.subarray(from, from + 16), fx + 160 + i * 16);
    }
  }
}
