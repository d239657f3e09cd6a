/**
 * A guest that is nothing but chance: random bytes run in every mode of the processor, with random
 * registers, tables and paging structures that are right in most places and garbage in some.
 */
import { instructionTable } from '#src/cpu/isa/index.js';
import type { Entry } from '#src/cpu/isa/table.js';
import * as L from '#src/cpu/state/layout.js';
import { CPU, nothingOutside, type Outside, RAM, RawCpu, UNWIND } from '../isa/raw-cpu.js';

const PAGES = 16;
/** Memory behind the guest's, which no guest can reach. */
const GUARD_PAGES = 16;
// Guest-physical addresses. The first page is the real mode's vector table.
const GDT = 0x1000;
const IDT = 0x2000;
const TSS = 0x3000;
const PML4 = 0x4000;
const PDPT = 0x5000;
const PD = 0x6000;
const PT = 0x7000;
const PD32 = 0x8000;
const PT32 = 0x9000;
const STACK = 0xb000;
const CODE = 0xc000;
const CODE_BYTES = 96;

const modes = ['real', 'v86', 'protected16', 'protected32', 'compatibility', 'long'] as const;
type Mode = (typeof modes)[number];

/** Thrown by a port or a device as the engine does: the access becomes an exit. */
const LEAVE = { reason: 'exit' };

/** Deliveries and accesses after which a run has shown enough. */
const MOST_EVENTS = 8;
const MOST_ACCESSES = 30;
const MOST_INSTRUCTIONS = 100n;

const EXITS = [L.EXIT_BUDGET, L.EXIT_HALT, L.EXIT_SHUTDOWN, L.EXIT_INTERRUPTED];

export class RandomGuest {
  private readonly cpu: RawCpu;
  private readonly words: Uint32Array;
  private readonly templates: Record<Mode, Uint8Array>;
  private readonly blank: Uint8Array;
  private state = 1;
  private eventsLeft = 0;
  private accessesLeft = 0;
  private leaves = false;
  /** What the VM's memory held where no guest may write. */
  private readonly sealed: Uint8Array[];
  /** How often each exit was met. */
  readonly exits = new Map<string, number>();
  retired = 0n;

  constructor() {
    const access = (): number => {
      if (--this.accessesLeft < 0 || (this.leaves && this.below(8) === 0)) throw LEAVE;
      return this.u32();
    };
    const outside: Outside = {
      ...nothingOutside,
      io_in: access,
      io_out: access,
      mmio_read: access,
      mmio_write: access,
      apic_read: () => this.u32(),
      msr_read: () => this.u32(),
      msr_write: () => this.below(2),
      interrupt_ack: () => (this.below(2) ? -1 : this.below(256)),
      clock_ns: () => this.u32(),
      random_u32: () => this.u32(),
    };
    this.cpu = new RawCpu(PAGES + GUARD_PAGES, outside, (ask) => {
      if (--this.eventsLeft >= 0) return ask();
      this.cpu.setU32(L.EXIT_REASON, L.EXIT_INTERRUPTED);
      return 2;
    });
    const { cpu } = this;
    cpu.map(PAGES, PAGES, 0, L.PHYS_READ);
    cpu.map(2 * PAGES, PAGES, 0, L.PHYS_READ | L.PHYS_WRITE | L.PHYS_LOG);
    cpu.map(0x100, PAGES, 0, L.PHYS_READ | L.PHYS_WRITE);
    cpu.view.setUint32(L.PHYS_MAP + 0xfee00 * 4, L.PHYS_APIC, true);
    this.words = new Uint32Array(cpu.memory.buffer);
    this.blank = cpu.bytes.slice(CPU, CPU + L.TLB_USED);
    this.sealed = this.outsideOfGuest();
    const entries = modes.map((mode) => [mode, this.template(mode)] as const);
    this.templates = Object.fromEntries(entries) as Record<Mode, Uint8Array>;
  }

  // --- chance --------------------------------------------------------------------------------------

  private u32(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return Math.imul(x, 0x9e37_79b1) >>> 0;
  }
  private below(n: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * n);
  }

  // --- one run ---------------------------------------------------------------------------------------

  /** Runs the guest of this seed. Throws what no guest may make the CPU throw. */
  run(seed: number): void {
    // Neighbouring seeds must not give neighbouring guests.
    this.state = Math.imul(seed ^ (seed >>> 15), 0x2c1b_3c6d) || 1;
    for (let i = 0; i < 4; i++) this.u32();
    const mode = modes[this.below(modes.length)]!;
    this.prepare(mode);
    const { cpu } = this;
    const exit = this.enter();
    if (!EXITS.includes(exit)) throw new Error(`exit ${exit}`);
    const level = cpu.u32(L.CPL);
    if (level > 3) throw new Error(`CPL ${level}`);
    if (cpu.u64(L.ZERO) !== 0n) throw new Error('the register that is always 0 is not');
    this.retired += cpu.u64(L.ICOUNT);
    const what = `${mode} ${exit}`;
    this.exits.set(what, (this.exits.get(what) ?? 0) + 1);
  }

  /** Throws when a guest has written to memory that is not its own. */
  checkSealed(): void {
    this.outsideOfGuest().forEach((now, i) => {
      if (Buffer.compare(now, this.sealed[i]!) !== 0) throw new Error(`sealed memory ${i} changed`);
    });
  }

  /** The null pages, CPUID's table, the physical map, what lies before and behind the RAM. */
  private outsideOfGuest(): Uint8Array[] {
    const { bytes, view } = this.cpu;
    const map = Uint32Array.from({ length: 4 * PAGES }, (_, page) => {
      return view.getUint32(L.PHYS_MAP + page * 4, true) & ~L.PHYS_DIRTY;
    });
    const end = RAM + PAGES * 4096;
    return [
      bytes.slice(0, L.RUNTIME_DATA),
      bytes.slice(L.VM_CPUID, L.VM_CPUID + 0x2000),
      new Uint8Array(map.buffer),
      bytes.slice(L.PHYS_MAP + 4 * PAGES * 4, L.PHYS_MAP + 0x400),
      bytes.slice(L.PHYS_MAP + 0x1000, L.CODE_PAGES),
      bytes.slice(end, end + GUARD_PAGES * 4096),
    ];
  }

  private enter(): number {
    for (let tries = 0; tries < 200; tries++) {
      try {
        return Number(this.cpu.interp.run!());
      } catch (error) {
        this.cpu.rt.lock_end!();
        if (error === LEAVE && this.accessesLeft < 0) return L.EXIT_BUDGET;
        if (error !== UNWIND && error !== LEAVE) throw error;
      }
    }
    return L.EXIT_BUDGET;
  }

  private prepare(mode: Mode): void {
    const { cpu } = this;
    this.eventsLeft = MOST_EVENTS;
    this.accessesLeft = MOST_ACCESSES;
    this.leaves = this.below(4) === 0;
    cpu.bytes.set(this.templates[mode], RAM);
    this.scrambleTables();
    this.writeCode();
    cpu.forgetCode(0, PAGES);
    cpu.rt.flush_tlb_all!();
    cpu.bytes.set(this.blank, CPU);
    this.system(mode);
    this.registers(mode);
    cpu.setU64(L.ICOUNT_LIMIT, MOST_INSTRUCTIONS);
    cpu.setU32(L.ATTENTION, this.below(4) ? 0 : this.u32() & 0x7b);
    cpu.setU32(L.SIPI_VECTOR, this.below(256));
    cpu.rt.update_debug!();
    cpu.rt.update_mode!();
    const pae = cpu.u64(L.CR4) & 0x20n && !(cpu.u64(L.EFER) & 0x400n);
    if (pae && cpu.u64(L.CR0) >> 31n) this.loadPdptes();
  }

  private loadPdptes(): void {
    try {
      this.cpu.rt.load_pdptes!(this.cpu.u64(L.CR3));
    } catch (error) {
      if (error !== UNWIND && error !== LEAVE) throw error;
    }
  }

  private scrambleTables(): void {
    const changes = this.below(3) ? this.below(4) : this.below(40);
    for (let i = 0; i < changes; i++) {
      const at = (RAM >>> 2) + this.below(0xb000 >>> 2);
      this.words[at] = this.below(2) ? this.u32() : this.words[at]! ^ (1 << this.below(32));
    }
  }

  /** Random bytes, or starts of real instructions with random bytes between them. */
  private writeCode(): void {
    const code = this.cpu.bytes.subarray(RAM + CODE, RAM + CODE + CODE_BYTES);
    for (let i = 0; i < CODE_BYTES; i += 4) {
      const word = this.u32();
      code[i] = word;
      code[i + 1] = word >>> 8;
      code[i + 2] = word >>> 16;
      code[i + 3] = word >>> 24;
    }
    if (this.below(4) === 0) return;
    let at = 0;
    while (at < CODE_BYTES - 12) {
      for (const byte of instructionStarts[this.below(instructionStarts.length)]!)
        code[at++] = byte;
      at += this.below(4);
    }
  }

  private system(mode: Mode): void {
    const { cpu } = this;
    const long = mode === 'long' || mode === 'compatibility';
    const real = mode === 'real';
    // PE, ET; MP, EM, TS, NE, WP, AM, NW, CD now and then.
    let cr0 = 0x10 | (this.below(4) ? 0 : this.u32() & 0x6005_002e);
    cr0 = real ? cr0 & ~1 : cr0 | 1;
    const paging = long || (!real && this.below(2) === 1);
    cpu.setU64(L.CR0, BigInt(cr0 >>> 0) | (paging ? 0x8000_0000n : 0n));
    const pae = long || this.below(2) === 1;
    const features = this.below(3) ? 0x600 : this.u32() & 0x37_07df;
    cpu.setU64(L.CR4, (features & ~0x20) | (pae ? 0x20 : 0));
    cpu.setU64(L.CR3, (long ? PML4 : pae ? PDPT : PD32) | (this.below(4) ? 0 : this.below(4096)));
    const nx = this.below(2) ? 0x800 : 0;
    cpu.setU64(L.EFER, this.below(2) | nx | (long ? 0x500 : 0));
    cpu.setU64(L.XCR0, 3);
    const level = real ? 0 : mode === 'v86' ? 3 : this.below(3) ? this.below(2) * 3 : this.below(4);
    cpu.setU32(L.CPL, level);
    const size = { real: 0, v86: 0, protected16: 0, protected32: 0x4000 }[mode as 'real'];
    const code = (size ?? (long && mode === 'long' ? 0x2000 : this.below(2) * 0x4000)) | 0x809b;
    const dpl = level << 5;
    const limited = mode === 'real' || mode === 'v86' || mode === 'protected16';
    const limit = limited && this.below(8) ? 0xffff : this.below(4) ? 0xffff_ffff : this.u32();
    const base = mode === 'long' || this.below(2) ? 0 : this.below(0x1000) * 16;
    cpu.segment(L.CS, this.selector(level), real ? 0x9b : code | dpl, limited ? 0 : base, limit);
    for (const n of [L.ES, L.SS, L.DS, L.FS, L.GS]) {
      const odd = n !== L.SS && this.below(8) === 0;
      const attributes = odd ? 0x80 | this.below(128) : 0x93 | dpl;
      const big = limited ? 0 : 0xc000;
      const isNull = n !== L.SS && !limited && this.below(8) === 0 ? 0x1_0000 : 0;
      const from = limited ? this.below(0x800) * 16 : base;
      cpu.segment(n, this.selector(level), attributes | big | isNull, from, limit);
    }
    for (const n of [L.FLAT, L.FLAT_SS]) cpu.segment(n, 0, 0xc093);
    cpu.segment(
      L.TR,
      0x30,
      long || this.below(4) ? 0x8b : 0x83,
      TSS,
      this.below(4) ? 0x2067 : 0x67,
    );
    cpu.segment(L.LDTR, 0x38, 0x82, GDT + 0x100, 0xff);
    cpu.setU64(L.GDTR, GDT);
    cpu.setU32(L.GDTR + 8, this.below(8) ? 0x1ff : this.below(0x200));
    cpu.setU64(L.IDTR, real ? 0 : IDT);
    cpu.setU32(L.IDTR + 8, this.below(8) ? 0xfff : this.below(0x1000));
    for (const at of [L.MSR_STAR, L.MSR_LSTAR, L.MSR_CSTAR, L.MSR_SYSENTER_EIP]) {
      cpu.setU64(at, BigInt(CODE + this.below(CODE_BYTES)) | (BigInt(this.below(64)) << 32n));
    }
    cpu.setU64(L.MSR_SYSENTER_CS, this.below(0x200));
    cpu.setU64(L.MSR_SYSENTER_ESP, STACK + 0x800);
    if (this.below(8) === 0) {
      cpu.setU64(L.DR, this.below(0x1_0000));
      cpu.setU64(L.DR + 8, CODE + this.below(CODE_BYTES));
      cpu.setU64(L.DR + 0x38, (this.u32() & 0xffff_2fff) | 0x400);
    }
  }

  private selector(level: number): number {
    return (this.below(0x40) << 3) | level;
  }

  private registers(mode: Mode): void {
    const { cpu } = this;
    const at = (CPU + L.GPR) >>> 2;
    for (let i = 0; i < 16; i++) {
      const kind = this.below(4);
      this.words[at + i * 2] =
        kind < 2 ? this.below(0x1_0000) : kind === 2 ? this.below(64) : this.u32();
      this.words[at + i * 2 + 1] = kind === 3 ? this.u32() : 0;
    }
    const limited = mode === 'real' || mode === 'v86' || mode === 'protected16';
    if (this.below(8)) this.words[at + 8] = limited ? 0x800 + this.below(0x800) : STACK + 0x800;
    const cs = L.SEGMENTS + L.CS * L.SEGMENT_SIZE;
    // CODE, in the code segment's own addresses.
    cpu.setU64(L.RIP, (BigInt(CODE) - cpu.u64(cs + L.SEG_BASE)) & 0xffff_ffffn);
    const v86 = mode === 'v86' ? 0x2_0000 : 0;
    const flags = (this.u32() & (this.below(8) ? 0x3ed5 : 0x25_7fd5)) | v86;
    cpu.rt.write_flags!(BigInt(flags), 0xffff_ffffn);
    for (let i = 0; i < 16; i++) {
      this.words[((CPU + L.XMM) >>> 2) + this.below(128)] = this.u32();
      this.words[((CPU + L.X87) >>> 2) + this.below(36)] = this.u32();
    }
    cpu.rt.set_mxcsr!(this.below(2) ? 0x1f80 : this.u32() & 0xffff);
  }

  // --- what the tables hold before chance changes them -------------------------------------------------

  private template(mode: Mode): Uint8Array {
    const ram = new Uint8Array(PAGES * 4096);
    const view = new DataView(ram.buffer);
    const long = mode === 'long' || mode === 'compatibility';
    const u64 = (at: number, value: bigint): void =>
      view.setBigUint64(at, BigInt.asUintN(64, value), true);
    for (let i = 0; i < ram.length; i += 4) view.setUint32(i, this.u32(), true);
    for (let n = 0; n < 256; n++) view.setUint32(n * 4, CODE + ((n * 7) % CODE_BYTES), true);
    for (let n = 0; n < 64; n++) u64(GDT + n * 8, this.descriptor(n));
    for (let n = 0; n < 256; n++) {
      const selector = 8 * (1 + (n % 8));
      const kind = [0x8e, 0x8f, 0xee, long ? 0x8e : 0x86, long ? 0xef : 0x85][n % 5]!;
      const offset = CODE + ((n * 5) % CODE_BYTES);
      const low =
        (BigInt((kind << 8) | (n % 7 === 0 ? 1 : 0)) << 32n) | BigInt((selector << 16) | offset);
      u64(IDT + n * (long ? 16 : 8), low);
      if (long) u64(IDT + n * 16 + 8, 0n);
    }
    // Stacks of a 32-bit and of a 64-bit TSS; then the I/O permission bitmap.
    for (let at = 4; at < 0x66; at += 4)
      view.setUint32(TSS + at, at % 8 ? STACK + 0x800 : 0x10, true);
    if (long) for (let at = 4; at < 0x5c; at += 8) u64(TSS + at, BigInt(STACK + 0x800));
    view.setUint16(TSS + 0x66, 0x68, true);
    const flags = (n: number): bigint => BigInt(n % 9 === 8 ? this.below(256) : 0x07) & 0xffn;
    for (let n = 0; n < 512; n++) {
      const nx = n % 11 === 10 ? 1n << 63n : 0n;
      u64(PML4 + n * 8, n % 4 ? 0n : BigInt(PDPT) | 7n);
      // A PAE directory-pointer entry has fewer bits than a 4-level one.
      u64(PDPT + n * 8, n > 4 && n % 16 === 5 ? 0x87n : BigInt(PD) | (long ? 7n : 1n));
      u64(PD + n * 8, n % 16 === 5 ? 0x87n | nx : n % 4 ? 0n : BigInt(PT) | 7n);
      u64(PT + n * 8, (BigInt(n % 64) << 12n) | (n < 16 ? 7n : flags(n)) | (n < 16 ? 0n : nx));
    }
    for (let n = 0; n < 1024; n++) {
      view.setUint32(PD32 + n * 4, n % 16 === 5 ? 0x87 : n % 4 ? 0 : PT32 | 7, true);
      view.setUint32(PT32 + n * 4, ((n % 64) << 12) | (n < 16 ? 7 : Number(flags(n))), true);
    }
    return ram;
  }

  /** Code, data, gates, TSSs and an LDT by turns; some absent, some limited. */
  private descriptor(n: number): bigint {
    if (n === 0) return 0n;
    const types = [
      0x9b, 0x93, 0xfb, 0xf3, 0x9f, 0x97, 0x89, 0x8c, 0x82, 0x85, 0x83, 0xec, 0x91, 0x13,
    ];
    const type = n < 9 ? (n % 2 ? 0x9b : 0x93) | (n > 4 ? 0x60 : 0) : types[n % types.length]!;
    const system = (type & 0x10) === 0;
    const isGate = system && (type & 4) !== 0;
    const base = system ? TSS : 0;
    const low = isGate ? (8 << 16) | (CODE + n) : (base << 16) | 0xffff;
    const size = system ? 0 : [0xc, 0xa, 0x4, 0x8][n % 4]!;
    const high = isGate ? type << 8 : (size << 20) | (system ? 0 : 0xf_0000) | (type << 8);
    return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  }
}

/** The fixed first bytes of an encoding; what follows them may be anything. */
function startOf(entry: Entry): number[] {
  const bytes: number[] = [];
  if (entry.vex) {
    const pp = ['NP', '66', 'F3', 'F2'].indexOf(entry.prefix);
    bytes.push(0xc4, 0xe0 | entry.map, 0x78 | pp);
  } else {
    if (/^(66|F2|F3)$/.test(entry.prefix)) bytes.push(Number.parseInt(entry.prefix, 16));
    if (entry.options.w === 1) bytes.push(0x48);
    if (entry.map > 0) bytes.push(0x0f);
    if (entry.map > 1) bytes.push(entry.map === 2 ? 0x38 : 0x3a);
  }
  bytes.push(entry.opcode);
  if (entry.hasModrm && entry.reg >= 0) {
    const mod = entry.mod === 'reg' ? 0xc0 : (entry.index % 3) << 6;
    bytes.push(mod | (entry.reg << 3) | (entry.rm >= 0 ? entry.rm : entry.index % 8));
  }
  return bytes;
}

export const instructionStarts: readonly (readonly number[])[] = instructionTable.map(startOf);
