/** A bare VM of the soft engine that runs generated programs, one after the other. */
import { ManualClock } from '#src/base/clock.js';
import * as L from '#src/cpu/state/layout.js';
import type { Engine, Exit, InlineBus, Vcpu, Vm } from '#src/engine/engine.js';
import type { VcpuRecord } from '#src/engine/records.js';
import type { WasmMemory } from '#src/engine/soft/soft-code.js';
import { QueuedInterrupts } from '../engine/engines.js';
import { integer, vector } from '../isa/operand-values.js';
import { Random } from '../isa/random.js';
import { codeMode } from './decode-length.js';
import { stubOf, VECTORS, writeHandlers } from './program-handlers.js';
import * as P from './program-layout.js';
import { type ProgramCode, randomProgram } from './random-program.js';

/** Memory and registers at the start. */
export interface Program {
  readonly seed: number;
  readonly mode: P.ProgramMode;
  readonly ram: Uint8Array;
  readonly start: number;
}

/** Pages that are absent until they are used, one in so many. */
const ABSENT = 6;

export function makeProgram(seed: number): Program {
  const mode = P.modeOf(seed);
  const random = new Random(Math.imul(seed + 1, 0x2545_f491));
  const program = buildProgram(seed, mode, randomProgram(random, mode));
  const view = new DataView(program.ram.buffer);
  for (let at = P.DATA; at < P.DATA + P.DATA_BYTES; at += 16) vector(random, view, at);
  if (mode.paging) spoilPages(view, mode, random);
  return program;
}

/** `code` with the handlers and tables of its mode; the seed gives the registers at the start. */
export function buildProgram(
  seed: number,
  mode: P.ProgramMode,
  { code, start }: ProgramCode,
): Program {
  const ram = new Uint8Array(P.RAM_BYTES);
  const view = new DataView(ram.buffer);
  const u64 = (at: number, n: bigint | number): void => view.setBigUint64(at, BigInt(n), true);
  ram.set(code, P.CODE);
  ram.set(writeHandlers(mode), P.HANDLERS);
  view.setUint32(P.VARS.patience, 300, true);
  view.setUint32(P.VARS.recover, start, true);
  view.setUint32(P.VARS.recoverStack, P.STACK_TOP, true);
  for (let vector = 0; vector < VECTORS; vector++) {
    const stub = stubOf(vector);
    const soft = vector === 3 || vector === 4 || vector >= 32 ? 0x60 : 0;
    if (mode.width === 16) view.setUint32(vector * 4, stub, true);
    else {
      const at = P.IDT + vector * (mode.width === 64 ? 16 : 8);
      view.setUint32(at, (P.KERNEL_CODE << 16) | stub, true);
      view.setUint32(at + 4, ((0x8e | soft) << 8) | (mode.width === 64 ? 1 : 0), true);
    }
  }
  const code64 = mode.width === 64;
  u64(P.GDT + P.KERNEL_CODE, code64 ? 0x00af_9b00_0000_ffffn : 0x00cf_9b00_0000_ffffn);
  u64(P.GDT + P.KERNEL_DATA, 0x00cf_9300_0000_ffffn);
  u64(P.GDT + (P.USER_DATA & ~7), 0x00cf_f300_0000_ffffn);
  u64(P.GDT + (P.USER_CODE & ~7), 0x00af_fb00_0000_ffffn);
  u64(P.TSS + 4, P.HANDLER_STACK);
  u64(P.TSS + 36, P.HANDLER_STACK);
  if (mode.paging) writeTables(view, mode);
  return { seed, mode, ram, start };
}

/** Identity, the first 64 KiB once more at ALIAS, and the last table at TABLE_WINDOW. */
function writeTables(view: DataView, { width, user }: P.ProgramMode): void {
  const put = (table: number, n: number, entry: number): void =>
    view.setUint32(table + n * (width / 8), entry, true);
  if (width === 64) {
    put(P.PML4, 0, (P.PML4 + 0x1000) | 7);
    put(P.PML4 + 0x1000, 0, (P.PML4 + 0x2000) | 7);
    put(P.PML4 + 0x2000, 0, P.PAGE_TABLE | 7);
    put(P.PML4 + 0x2000, P.RIVAL >>> 21, P.PAGE_TABLE | 7);
  } else {
    put(P.PML4, 0, P.PAGE_TABLE | 7);
    put(P.PML4, P.RIVAL >>> 22, P.PAGE_TABLE | 7);
  }
  for (let page = 0; page < 16; page++) {
    for (const alias of [0, P.ALIAS >>> 12]) put(P.PAGE_TABLE, page + alias, (page << 12) | 7);
  }
  for (let page = 0; page < P.CODE_BYTES >>> 12; page++) {
    put(P.PAGE_TABLE, page + (P.COPY_WINDOW >>> 12), (P.COPIES + (page << 12)) | 7);
  }
  put(P.PAGE_TABLE, P.TABLE_WINDOW >>> 12, P.PAGE_TABLE | (user ? 3 : 7));
}

/** Some pages of code and data are absent or read-only until they are used, some global. */
function spoilPages(view: DataView, { width }: P.ProgramMode, random: Random): void {
  for (let page = P.CODE >>> 12; page < 16; page++) {
    for (const alias of [0, P.ALIAS >>> 12]) {
      const at = P.PAGE_TABLE + (page + alias) * (width / 8);
      const flags = !random.chance(ABSENT) ? 7 : random.chance(2) ? 6 : 5;
      view.setUint32(at, (page << 12) | flags | (random.chance(3) ? 0x100 : 0), true);
    }
  }
}

export class ProgramVm {
  readonly vm: Vm;
  readonly vcpu: Vcpu;
  readonly ram: Uint8Array;
  private readonly view: DataView;
  private readonly interrupts: QueuedInterrupts;
  private readonly blank: VcpuRecord;
  private before = 0;
  program!: Program;
  /** Values that ports were given: the next one read depends on them. */
  private ports = 0;

  /** `vcpus`: this one runs alone all the same, but for what engines do where there are more. */
  constructor(engine: Engine, vcpus = 1) {
    let interrupts: QueuedInterrupts | undefined;
    this.vm = engine.createVm({
      memoryBytes: P.RAM_BYTES,
      vcpus,
      clock: new ManualClock(),
      randomU32: () => 7,
      interrupts: (store) => {
        interrupts = new QueuedInterrupts(store);
        return interrupts;
      },
      onAttention() {},
    });
    this.interrupts = interrupts!;
    const { bytes, start } = this.vm.memory;
    this.ram = bytes.subarray(start, start + P.RAM_BYTES);
    const { wasmMemory } = this.vm as Vm & { wasmMemory: WasmMemory };
    this.view = new DataView(wasmMemory.buffer, L.VCPU_AREA, L.VCPU_STRIDE);
    const slot = { id: 0, gpa: 0, sizeBytes: P.RAM_BYTES, place: start };
    this.vm.setMemorySlot({ ...slot, readonly: false, log: true });
    this.vcpu = this.vm.createVcpu(0);
    this.vcpu.attachBus!(this.bus());
    this.blank = this.vcpu.getRecord();
  }

  private bus(): InlineBus {
    return {
      portRead: (port, size) => (port * 0x0101_0101 + this.ports + size) >>> 0,
      portWrite: (port, _size, value) => {
        this.ports = (Math.imul(this.ports, 31) + value) | 0;
        if (port !== P.INTERRUPT_PORT || this.word(L.EFLAGS) & 0x200) return;
        this.interrupt(P.FIRST_INTERRUPT + (this.ports & 7));
      },
      mmioRead: (gpa) => gpa >>> 0,
      mmioWrite: () => {},
    };
  }

  private word(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  /** Asks for an interrupt, as from a device. */
  interrupt(vector: number): void {
    this.interrupts.vectors.push(vector);
    this.vcpu.interruptChanged();
  }

  load(program: Program): void {
    const { vm } = this;
    this.program = program;
    this.ram.set(program.ram);
    vm.memoryWritten(0, vm.memory.start, P.RAM_BYTES);
    vm.dirtyPages(0);
    this.interrupts.vectors.length = 0;
    this.ports = 0;
    this.vcpu.setRecord(startOf(program, structuredClone(this.blank)));
    this.before = this.vcpu.retired!();
  }

  /** Instructions since the program was loaded. */
  get retired(): number {
    return this.vcpu.retired!() - this.before;
  }

  /** Instructions that translated code ran, of all programs. */
  get translated(): number {
    return Number(this.view.getBigUint64(L.JIT_RETIRED, true));
  }

  get rip(): number {
    return Number(this.view.getBigUint64(L.RIP, true) & 0xffff_ffffn);
  }

  run(instructions: number): Exit {
    this.vcpu.setBudget!(instructions);
    return this.vcpu.run();
  }

  /** Runs one instruction, by the interpreter; a fault's delivery counts as part of the next. */
  step(): Exit {
    const event = this.word(L.EVENT);
    this.view.setUint32(L.EVENT, event | L.EVENT_STEP, true);
    const exit = this.run(1);
    const needed = (this.word(L.EFLAGS) & 0x1_0100) | (this.word(L.DR + 0x38) & 0xff);
    if (!needed) this.view.setUint32(L.EVENT, this.word(L.EVENT) & ~L.EVENT_STEP, true);
    return exit;
  }
}

function startOf({ seed, mode, start }: Program, record: VcpuRecord): VcpuRecord {
  const random = new Random(Math.imul(seed + 2, 0x9e37_79b1));
  const { registers, system, xsave } = record;
  const { width, paging, user } = mode;
  for (let n = 0; n < (width === 64 ? 16 : 8); n++) {
    registers.gpr[n] = BigInt.asUintN(width === 64 ? 64 : width, integer(random));
  }
  registers.gpr[4] = BigInt(P.STACK_TOP);
  registers.rip = BigInt(start);
  registers.rflags = 0x202n;
  const image = new DataView(xsave.buffer, xsave.byteOffset);
  for (let at = 160; at < 416; at += 8) image.setBigUint64(at, integer(random), true);
  image.setUint16(0, 0x37f, true);
  image.setUint32(24, 0x1f80, true);
  const kind = codeMode(width);
  const level = user ? 0x60 : 0;
  const flat = { limit: width === 16 ? 0xffff : 0xffff_ffff, base: 0n, unusable: false };
  const attributes = (width === 16 ? 0x93 : 0xc093) | level;
  const selector = width === 16 ? 0 : user ? P.USER_DATA : P.KERNEL_DATA;
  const data = { ...flat, selector, attributes };
  const code = {
    ...flat,
    selector: width === 16 ? 0 : user ? P.USER_CODE : P.KERNEL_CODE,
    attributes: [0x9b, 0xc09b, 0xa09b][kind]! | level,
  };
  const task = { selector: P.TSS_SELECTOR, attributes: 0x8b, limit: 0x67, base: BigInt(P.TSS) };
  const tables = system.segments[6]!;
  const other = width === 16 ? data : { ...data, base: 0x20n };
  system.segments = [data, code, data, data, other, other, tables, { ...task, unusable: false }];
  system.gdtr = { base: BigInt(P.GDT), limit: 0x37 };
  system.idtr = { base: BigInt(width === 16 ? 0 : P.IDT), limit: width === 16 ? 0x3ff : 0xfff };
  // PE, MP, ET, NE, WP; PG. OSFXSR and OSXMMEXCPT; PAE, PGE.
  system.cr0 = 0x1_0032n | (width === 16 ? 0n : 1n) | (paging ? 0x8000_0000n : 0n);
  system.cr3 = BigInt(P.PML4);
  system.cr4 = 0x600n | (width === 64 ? 0x20n : 0n) | (paging ? 0x80n : 0n);
  system.efer = width === 64 ? 0xd00n : 0n;
  system.xcr0 = 3n;
  record.events.activity = 0;
  return record;
}
