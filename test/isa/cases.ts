/**
 * Makes test cases from the instruction table: every encoding, each operand form, prefixes, and
 * operand values drawn towards extremes; and cases of random bytes, most of which are no
 * instruction. Memory operands aim at a window of the data pages, at their edges, or far away.
 */
import { type CodeMode, Decoder, Insn } from '#src/cpu/isa/decode.js';
import type { Entry } from '#src/cpu/isa/table.js';
import { CASE, DATA, type Mode, WINDOW } from './case-format.js';
import { type Draft, encode } from './encode.js';
import type { Host } from './host.js';
import { isImage } from './masks.js';
import { fpuState, integer, vector } from './operand-values.js';
import type { Random } from './random.js';
import { randomCode } from './random-code.js';

const PAGE = 4096;
/** After the addresses 1 << n, so that a jump to one of those does not find the case itself. */
const CODE_START = 1031;

/** Reasons of the table's `native` that are a fault at CPL 3, here and on the host. */
const FAULTS_AT_3: ReadonlySet<string> = new Set([
  'privileged',
  'needs port permission',
  'needs IOPL 3',
]);

/** The host is asked for nothing but the fault that user code gets. RDPMC is the kernel's to allow. */
export function faultsOnly(entry: Entry): boolean {
  return FAULTS_AT_3.has(entry.options.native ?? '') && entry.mnemonic !== 'rdpmc';
}

/** Entries that user-mode code of this mode can run for the oracle. */
export function testable(entry: Entry, mode: Mode): boolean {
  const { options } = entry;
  if (options.native !== undefined && !faultsOnly(entry)) return false;
  if (options.mode === 'long' && mode !== 0) return false;
  if (options.mode === 'legacy' && mode === 0) return false;
  // 16-bit code has LES where VEX would be.
  return !(entry.vex && mode === 2);
}

/** Fills a case's data window and FXSAVE image, and gives its general registers to start from. */
export type Fill = (random: Random, out: DataView, at: number) => bigint[];

const fillAtRandom: Fill = (random, out, at) => {
  for (let i = 0; i < WINDOW; i += 16) vector(random, out, at + CASE.data + i);
  fpuState(random, out, at + CASE.fx);
  return Array.from({ length: 16 }, () => integer(random));
};

export class CaseMaker {
  private readonly decoder: Decoder;
  private readonly insn = new Insn();
  private readonly host: Host;
  private readonly bytes = new Uint8Array(64);

  private readonly fill: Fill;

  constructor(table: readonly Entry[], host: Host, fill = fillAtRandom) {
    this.decoder = new Decoder(table);
    this.host = host;
    this.fill = fill;
  }

  /** What these bytes are to the soft engine, null: no instruction. Leaves `insn`. */
  entryOf(code: ArrayLike<number>, mode: Mode): Entry | null {
    this.bytes.fill(0xcc);
    this.bytes.set(code);
    const result = this.decoder.decode(this.bytes, 0, 32, (2 - mode) as CodeMode, this.insn);
    return result === 'ok' ? this.insn.entry : null;
  }

  /** The same for a case that was made. */
  entryOfCase(cases: Uint8Array, i: number): Entry | null {
    const at = i * CASE.size;
    const mode = cases[at + CASE.mode] as Mode;
    return this.entryOf(cases.subarray(at, at + cases[at + CASE.codeLength]!), mode);
  }

  /** Writes a case for `entry`, or of random bytes where it is null; the words are native.c's. */
  make(entry: Entry | null, mode: Mode, random: Random, out: DataView, at: number): void {
    for (;;) {
      const draft = this.draft(entry, mode, random, out, at);
      const code = entry ? encode(entry, draft) : randomCode(draft);
      const found = this.entryOf(code, mode);
      if (!this.comparable(code, found, mode)) continue;
      // How much of what is no instruction is fetched before #UD is not ours to know.
      if (!found && (draft.codeOffset > PAGE - 32 || code.length > 14)) continue;
      // What follows the instruction must be int3 and nothing else.
      if (found) code.length = Math.min(code.length, this.insn.length);
      this.finish(found, draft, code.slice(0, Math.min(32, PAGE - draft.codeOffset)), out, at);
      return;
    }
  }

  private comparable(code: readonly number[], found: Entry | null, mode: Mode): boolean {
    if (!found) return !this.host.mayKnow(code, mode);
    if (!testable(found, mode) || !this.host.has(found)) return false;
    // A branch into its own bytes may never end.
    if (!found.operands.some((o) => o[0] === 'J')) return true;
    return this.insn.immLow >= 0 || this.insn.immLow < -16;
  }

  private draft(entry: Entry | null, mode: Mode, random: Random, out: DataView, at: number): Draft {
    const atPageEnd = random.chance(48);
    const codeOffset = atPageEnd ? PAGE - 1 - random.below(16) : CODE_START + random.below(64);
    const { dataOffset, target } = place(entry, mode, random);
    for (let i = 0; i < CASE.fx; i += 4) out.setUint32(at + i, 0, true);
    out.setUint32(at + CASE.codeOffset, codeOffset, true);
    out.setUint32(at + CASE.dataOffset, dataOffset, true);
    out.setUint32(at + CASE.dataLength, WINDOW, true);
    out.setUint32(at + CASE.mode, mode, true);
    const gpr = this.fill(random, out, at);
    const segment = mode === 2 ? DATA : 0;
    // RSP mostly stays in the window: pushes, pops, calls.
    gpr[4] = BigInt(DATA - segment + dataOffset + 128);
    const stack = entry !== null && /^(push|pop|call|ret|enter|leave)/.test(entry.mnemonic);
    if (random.chance(stack ? 4 : 24)) {
      gpr[4] = BigInt.asUintN(64, target - BigInt(segment) + BigInt(random.below(24)));
    }
    if (mode === 2 && random.chance(2)) gpr[4] = (gpr[4]! & 0xffffn) | (random.u64() << 16n);
    if (entry?.mnemonic === 'enter' || entry?.mnemonic === 'leave') {
      gpr[5] = gpr[4]! + BigInt(random.below(32));
      if (mode === 2 && random.chance(2)) gpr[5] = (gpr[5] & 0xffffn) | (random.u64() << 16n);
    }
    if (entry) operands(entry, random, gpr);
    return { random, mode, gpr, codeOffset, target };
  }

  private finish(
    found: Entry | null,
    { random, mode, gpr, target }: Draft,
    code: readonly number[],
    out: DataView,
    at: number,
  ): void {
    for (let i = 0; i < code.length; i++) out.setUint8(at + CASE.code + i, code[i]!);
    out.setUint32(at + CASE.codeLength, code.length, true);
    const mask = mode === 0 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn;
    for (let i = 0; i < 16; i++) {
      const value = mode !== 0 && i >= 8 ? 0n : gpr[i]! & mask;
      out.setBigUint64(at + CASE.gpr + i * 8, value, true);
    }
    // Arithmetic flags and DF at random, IF and the always-one bit set; at times TF and AC.
    let flags = 0x202 | (random.u32() & 0x8d5);
    if (found?.family === 'strings' && random.chance(3)) flags |= 0x400;
    if (random.chance(64)) flags |= 0x100;
    if (random.chance(32) && !isImage(found)) flags |= 0x4_0000;
    out.setBigUint64(at + CASE.rflags, BigInt(flags), true);
    const dataOffset = out.getUint32(at + CASE.dataOffset, true);
    const inWindow = Number(BigInt.asIntN(64, target)) - DATA - dataOffset;
    if (found && inWindow >= 0 && inWindow + 32 <= WINDOW) {
      content(found, random, out, at, at + CASE.data + inWindow);
    }
  }
}

/** Where the window stands in the data pages, and what a memory operand is to hit. */
function place(
  entry: Entry | null,
  mode: Mode,
  random: Random,
): { dataOffset: number; target: bigint } {
  const kind = random.below(20);
  const short = entry?.options.memBytes ?? 20;
  let dataOffset = 512 + random.below(64) * 16;
  let at = dataOffset + 96 + random.below(32);
  if (kind < 2) {
    // Across the pages.
    dataOffset = PAGE - 128;
    at = PAGE - random.below(32);
  } else if (kind === 2) {
    dataOffset = 0;
    at = -random.below(Math.min(short, 64));
  } else if (kind === 3) {
    // At the page that cannot be written.
    dataOffset = 2 * PAGE - WINDOW;
    at = 2 * PAGE - random.below(short);
  } else if (kind === 4) {
    at = random.chance(2) ? 2 * PAGE + random.below(PAGE - 64) : 3 * PAGE - random.below(short);
  } else if (kind === 5) {
    return { dataOffset, target: farAway(mode, random) };
  } else if (entry?.options.memBytes === 512) {
    // The window shows one half of an FXSAVE area.
    at = dataOffset - 256 * random.below(2);
  } else if (random.chance(3)) at &= ~15;
  const aligned =
    (entry?.options.unit === 'sse' || entry?.options.unit === undefined) &&
    !entry?.options.unaligned &&
    entry?.operands.some((o) => /^[WM]x/.test(o));
  if (aligned && !random.chance(8)) at &= ~15;
  return { dataOffset, target: BigInt(DATA + at) };
}

/** Nothing is there, or there is no such address. */
function farAway(mode: Mode, random: Random): bigint {
  const back = BigInt(random.below(16));
  if (mode === 2) return BigInt(DATA) + random.pick([0xffffn, 0x1_0000n, 0x3000n]) - back;
  if (mode === 1) return random.pick([0x1_0000_0000n, 0x8000_0000n, 0x4000n]) - back;
  const edges = [1n << 47n, 1n << 63n, (1n << 64n) - (1n << 47n), 1n << 64n, 0n, 1n << 32n];
  return BigInt.asUintN(64, random.chance(4) ? random.u64() : random.pick(edges) - back);
}

/** Register values that instructions want to have something to do. */
function operands(entry: Entry, random: Random, gpr: bigint[]): void {
  const { mnemonic, family } = entry;
  if (family === 'shifts' && random.chance(2)) gpr[1] = BigInt(random.below(256));
  if (/^i?div$/.test(mnemonic) && !random.chance(3)) {
    // Quotients that fit.
    gpr[2] = mnemonic === 'idiv' && random.chance(2) ? 0xffff_ffff_ffff_ffffn : 0n;
    if (entry.pattern.startsWith('F6'))
      gpr[0] = BigInt.asUintN(64, BigInt(random.below(4000) - 2000));
    else if (random.chance(3)) gpr[2] = BigInt(random.below(1 << 20));
  }
  if (mnemonic.startsWith('pcmpestr') && !random.chance(4)) {
    gpr[0] = BigInt.asUintN(64, BigInt(random.below(40) - 20));
    gpr[2] = BigInt.asUintN(64, BigInt(random.below(40) - 20));
  }
  if (/^loop|^jcxz/.test(mnemonic)) gpr[1] = BigInt(random.below(3)) | (random.u64() << 32n);
}

/** Memory contents that instructions want to have something to do. */
function content(entry: Entry, random: Random, out: DataView, at: number, place: number): void {
  const gpr = (n: number): bigint => out.getBigUint64(at + CASE.gpr + n * 8, true);
  const put = (offset: number, value: bigint): void =>
    out.setBigUint64(place + offset, BigInt.asUintN(64, value), true);
  const { mnemonic } = entry;
  if (mnemonic === 'ldmxcsr' && !random.chance(4)) {
    out.setUint32(place, random.u32() & 0xffff, true);
  } else if (mnemonic === 'fxrstor' && !random.chance(4)) {
    out.setUint32(place + 24, random.u32() & 0xffff, true);
  } else if (mnemonic === 'cmpxchg' && random.chance(2)) put(0, gpr(0));
  else if (mnemonic === 'cmpxchg8b' && random.chance(2)) {
    put(0, (gpr(2) << 32n) | (gpr(0) & 0xffff_ffffn));
  } else if (mnemonic === 'cmpxchg16b' && random.chance(2)) {
    put(0, gpr(0));
    put(8, gpr(2));
  }
}
