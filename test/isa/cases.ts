/**
 * Makes test cases from the instruction table: every encoding, each operand form, prefixes, and
 * operand values drawn towards extremes (testing.md). Memory operands aim at a window of the data
 * pages; some windows touch the absent page after them.
 */
import { bitsOfLetter } from '#src/cpu/isa/operands.js';
import type { Entry } from '#src/cpu/isa/table.js';
import { CASE, CODE, DATA, WINDOW } from './case-format.js';
import type { Random } from './random.js';

const EXTREMES: readonly bigint[] = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x1_0000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
  0xffff_ffff_8000_0000n,
  0xffff_ffff_ffff_fffen,
  0xffff_ffff_ffff_ff80n,
  0x5555_5555_5555_5555n,
  0xaaaa_aaaa_aaaa_aaaan,
];
const COUNTS: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  8n,
  9n,
  15n,
  16n,
  17n,
  30n,
  31n,
  32n,
  33n,
  62n,
  63n,
  64n,
  65n,
  127n,
  128n,
];
const F32 = [
  0, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_1234,
  0x7f80_0001, 0xffa0_0000, 1, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0xff7f_ffff,
  0x3fff_ffff, 0x4f00_0000, 0xcf00_0000, 0x5f00_0000, 0x3400_0000, 0x4b00_0001,
];
const F64 = [
  '0',
  '8000000000000000',
  '3ff0000000000000',
  'bff0000000000000',
  '7ff0000000000000',
  'fff0000000000000',
  '7ff8000000000000',
  'fff8000000001234',
  '7ff0000000000001',
  'fff4000000000000',
  '1',
  '8000000000000001',
  '000fffffffffffff',
  '0010000000000000',
  '7fefffffffffffff',
  'ffefffffffffffff',
  '41dfffffffc00000',
  'c1e0000000000000',
  '43e0000000000000',
  '3cb0000000000000',
  '4340000000000001',
  '36a0000000000000',
  '47efffffffffffff',
].map((h) => BigInt(`0x${h}`));

export function integer(random: Random): bigint {
  const kind = random.below(8);
  if (kind < 3) return random.pick(EXTREMES);
  if (kind === 3) return random.pick(COUNTS);
  if (kind === 4) return BigInt(random.u32());
  if (kind === 5) return BigInt.asUintN(64, BigInt.asIntN(32, BigInt(random.u32())));
  if (kind === 6)
    return BigInt.asUintN(64, 1n << BigInt(random.below(64))) - BigInt(random.below(2));
  return random.u64();
}

/** 16 bytes as integers, floats or doubles of the interesting kinds. */
function vector(random: Random, out: DataView, at: number): void {
  const kind = random.below(4);
  for (let i = 0; i < 2; i++) {
    if (kind === 0) out.setBigUint64(at + i * 8, integer(random), true);
    else if (kind === 1) {
      for (let j = 0; j < 2; j++) {
        const bits = random.chance(2)
          ? random.pick(F32)
          : random.chance(2)
            ? random.u32()
            : (random.u32() & 0x807f_ffff) | ((120 + random.below(20)) << 23);
        out.setUint32(at + i * 8 + j * 4, bits, true);
      }
    } else if (kind === 2) {
      const near =
        (random.u64() & 0x800f_ffff_ffff_ffffn) | (BigInt(1010 + random.below(40)) << 52n);
      out.setBigUint64(
        at + i * 8,
        random.chance(2) ? random.pick(F64) : random.chance(2) ? random.u64() : near,
        true,
      );
    } else out.setBigUint64(at + i * 8, random.u64(), true);
  }
}

/** Entries that user-mode code of this mode can run for the oracle. */
export function testable(entry: Entry, mode: 0 | 1): boolean {
  const { options } = entry;
  if (options.native !== undefined) return false;
  if (options.mode === 'long' && mode === 1) return false;
  if (options.mode === 'legacy' && mode === 0) return false;
  return !entry.operands.some((o) => o[0] === 'C' || o[0] === 'D' || o[0] === 'A' || o[0] === 'S');
}

interface Plan {
  code: number[];
  gpr: bigint[];
}

/** Writes one case for `entry` at `at`; the words of a case are native.c's. */
export function makeCase(
  entry: Entry,
  random: Random,
  out: DataView,
  at: number,
  mode: 0 | 1 = 0,
): void {
  const bytes = new Uint8Array(out.buffer, out.byteOffset + at, CASE.size);
  bytes.fill(0);
  const codeOffset = 1024 + random.below(64);
  // Windows: anywhere in the first page, across the pages, or at the end of what is there.
  const placed = random.below(16);
  const dataOffset =
    placed === 0 ? 2 * 4096 - WINDOW : placed < 3 ? 4096 - 128 : 512 + random.below(64) * 16;
  out.setUint32(at + CASE.codeOffset, codeOffset, true);
  out.setUint32(at + CASE.dataOffset, dataOffset, true);
  out.setUint32(at + CASE.dataLength, WINDOW, true);
  out.setUint32(at + CASE.mode, mode, true);
  for (let i = 0; i < WINDOW; i += 16) vector(random, out, at + CASE.data + i);
  fpuState(random, out, at + CASE.fx, bytes);

  const gpr = Array.from({ length: 16 }, () => integer(random));
  // The middle of the window; at the end of the data the access may run into the absent page.
  const edge = placed === 0 && random.chance(3);
  let target = DATA + dataOffset + (edge ? WINDOW - random.below(20) : 96 + random.below(32));
  if (!edge && random.chance(3)) target &= ~15;
  const aligned =
    (entry.options.unit === 'sse' || entry.options.unit === undefined) &&
    !entry.options.unaligned &&
    entry.operands.some((o) => /^[WM]x/.test(o));
  if (aligned && !random.chance(8)) target &= ~15;
  // RSP stays in the window too: pushes, pops, calls.
  gpr[4] = BigInt(DATA + dataOffset + 128);
  if (entry.family === 'strings') stringRegisters(random, gpr, target, dataOffset);
  if (/^(enter|leave)/.test(entry.mnemonic)) gpr[5] = BigInt(DATA + dataOffset + 160);
  if (/^xlat/.test(entry.mnemonic)) gpr[3] = BigInt(DATA + dataOffset);
  if (/^maskmov/.test(entry.mnemonic)) gpr[7] = BigInt(target);
  const plan: Plan = { code: [], gpr };
  encode(entry, random, mode, plan, target, codeOffset);
  plan.code = plan.code.slice(0, 32);
  bytes.set(plan.code, CASE.code);
  out.setUint32(at + CASE.codeLength, plan.code.length, true);
  const all = mode === 1 ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn;
  for (let i = 0; i < 16; i++) {
    const value = mode === 1 && i >= 8 ? 0n : plan.gpr[i]! & all;
    out.setBigUint64(at + CASE.gpr + i * 8, value, true);
  }
  // Arithmetic flags and DF at random, IF and the always-one bit set.
  let flags = 0x202 | (random.u32() & 0x8d5);
  if (entry.family === 'strings' && random.chance(3)) flags |= 0x400;
  out.setBigUint64(at + CASE.rflags, BigInt(flags), true);
}

function stringRegisters(random: Random, gpr: bigint[], target: number, dataOffset: number): void {
  gpr[6] = BigInt(target);
  gpr[7] = BigInt(DATA + dataOffset + 64 + random.below(128));
  gpr[1] = BigInt(random.below(9));
  if (random.chance(2)) gpr[0] = BigInt(random.below(3));
}

function fpuState(random: Random, out: DataView, at: number, bytes: Uint8Array): void {
  const plain = random.chance(2);
  const control = plain
    ? 0x37f
    : 0x40 |
      (random.chance(2) ? 0x3f : random.below(64)) |
      (random.below(4) << 10) |
      ([0, 2, 3][random.below(3)]! << 8);
  out.setUint16(at, control, true);
  out.setUint16(at + 2, (random.below(8) << 11) | (random.u32() & 0x4700), true);
  bytes[CASE.fx + 4] = random.chance(2) ? 0xff : random.u32() & 0xff;
  // With PE set already, arithmetic may take the fast paths (SSE_FAST).
  const mxcsr = random.chance(2)
    ? 0x1f80 | (random.below(2) << 5)
    : (random.chance(3) ? random.below(64) << 7 : 0x1f80) |
      (random.below(4) << 13) |
      (random.chance(4) ? 0x8000 : 0) |
      (random.chance(4) ? 0x40 : 0) |
      random.below(64);
  out.setUint32(at + 24, mxcsr, true);
  for (let i = 0; i < 8; i++) {
    const register = at + 32 + i * 16;
    const kind = random.below(6);
    let exponent = 0x3ff0 + random.below(32);
    let significand = random.u64() | (1n << 63n);
    if (kind === 0) [exponent, significand] = [0, random.chance(2) ? 0n : random.u64() >> 1n];
    if (kind === 1) [exponent, significand] = [0x7fff, random.chance(2) ? 1n << 63n : significand];
    if (kind === 2)
      [exponent, significand] = [
        0x3fff + random.below(64),
        random.pick([1n << 63n, 3n << 62n, (1n << 64n) - 1n]),
      ];
    if (kind === 3) exponent = random.below(0x7fff);
    out.setBigUint64(register, significand, true);
    out.setUint16(register + 8, exponent | (random.chance(2) ? 0x8000 : 0), true);
  }
  for (let i = 0; i < 16; i++) vector(random, out, at + 160 + i * 16);
}

/** Chooses prefixes and operands, and sets the registers so that a memory operand hits `target`. */
function encode(
  entry: Entry,
  random: Random,
  mode: 0 | 1,
  plan: Plan,
  target: number,
  codeOffset: number,
): void {
  const { options, operands } = entry;
  const { code } = plan;
  const size = random.pick(mode === 1 ? entry.sizes.filter((n) => n !== 64) : entry.sizes);
  const rep = options.rep
    ? options.rep === 'repz'
      ? random.pick([0, 0xf2, 0xf3])
      : random.pick([0, 0xf3])
    : 0;
  const memory = entry.hasModrm && entry.mod !== 'reg' && (entry.mod === 'mem' || random.chance(2));
  const lock = options.lock && memory && random.chance(3);
  const prefixes: number[] = [];
  if (lock) prefixes.push(0xf0);
  if (rep) prefixes.push(rep);
  if (entry.prefix !== '' && entry.prefix !== 'NP' && !entry.vex)
    prefixes.push(Number.parseInt(entry.prefix, 16));
  if (size === 16 && entry.sizes.includes(16) && entry.prefix !== '66' && entry.prefix !== 'NP')
    prefixes.push(0x66);
  const address32 = mode === 0 && random.chance(8);
  if (address32) prefixes.push(0x67);
  if (mode === 1 && random.chance(16)) prefixes.push(random.pick([0x2e, 0x36, 0x3e, 0x26]));
  // Mandatory and other prefixes in any order; F2 and F3 do not meet.
  for (let i = prefixes.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [prefixes[i], prefixes[j]] = [prefixes[j]!, prefixes[i]!];
  }
  code.push(...prefixes);
  let rex = 0;
  if (mode === 0) {
    if (random.chance(2)) rex = 0x40 | random.below(8);
    if (size === 64 && options.size64 === undefined) rex |= 0x48;
    if (options.w === 1) rex |= 0x48;
    if (options.w === 0 || size !== 64) rex &= ~8;
    if (options.rexB !== undefined) rex = options.rexB ? rex | 0x41 : rex & ~1;
  }
  let modrm = -1;
  const tail: number[] = [];
  let ripRelative = false;
  if (entry.hasModrm) {
    const reg = entry.reg >= 0 ? entry.reg : random.below(8);
    if (memory) {
      const isPush =
        entry.mnemonic === 'push' || entry.mnemonic === 'pop' || entry.mnemonic === 'call';
      if (/^bt/.test(entry.mnemonic)) {
        const index = reg | ((rex & 4) << 1);
        plan.gpr[index] = BigInt.asUintN(64, BigInt(random.below(512) - 256));
      }
      const choice = memoryForm(random, mode, rex, reg, plan, target, address32, entry, isPush);
      modrm = choice.modrm | (reg << 3);
      rex = choice.rex;
      ripRelative = choice.ripRelative;
      tail.push(...choice.tail);
    } else modrm = 0xc0 | (reg << 3) | (entry.rm >= 0 ? entry.rm : random.below(8));
  }
  if (entry.vex) {
    const named = operands.some((o) => o[0] === 'B');
    const register = named ? random.below(mode === 1 ? 8 : 16) : 0;
    const pp = ['NP', '66', 'F3', 'F2'].indexOf(entry.prefix);
    code.push(0xc4, ((~rex & 7) << 5) | entry.map);
    code.push(((rex & 8) << 4) | ((~register & 15) << 3) | pp);
  } else {
    if (rex) code.push(rex);
    if (entry.map > 0) code.push(0x0f);
    if (entry.map === 2) code.push(0x38);
    if (entry.map === 3) code.push(0x3a);
  }
  code.push(entry.opcodeReg ? entry.opcode | random.below(8) : entry.opcode);
  if (modrm >= 0) code.push(modrm);
  const displacementAt = code.length;
  code.push(...tail);
  for (const operand of operands) immediate(operand, size, random, code, mode, target, address32);
  if (ripRelative) {
    const displacement = target - (CODE + codeOffset + code.length);
    for (let i = 0; i < 4; i++) code[displacementAt + i] = (displacement >> (i * 8)) & 0xff;
  }
}

function memoryForm(
  random: Random,
  mode: 0 | 1,
  rexIn: number,
  reg: number,
  plan: Plan,
  target: number,
  address32: boolean,
  entry: Entry,
  keepSp: boolean,
): { modrm: number; rex: number; tail: number[]; ripRelative: boolean } {
  let rex = rexIn;
  const mod = random.pick([0, 1, 2]);
  const narrow = mode === 1 || address32;
  const wrap = (v: bigint): bigint =>
    narrow
      ? BigInt.asUintN(32, v) | (mode === 0 && random.chance(2) ? random.u64() << 32n : 0n)
      : BigInt.asUintN(64, v);
  const displacement =
    mod === 0
      ? 0
      : mod === 1
        ? random.below(256) - 128
        : random.pick([
            random.below(0x1000),
            -random.below(0x1000),
            0x1000_0000,
            -0x7fff_0000,
            0x7fff_ffff,
          ]);
  const tail: number[] = [];
  const push32 = (v: number): void => {
    for (let i = 0; i < 4; i++) tail.push((v >> (i * 8)) & 0xff);
  };
  const pushDisplacement = (): void => {
    if (mod === 1) tail.push(displacement & 0xff);
    else if (mod === 2) push32(displacement);
  };
  const fixed = new Set<number>([4]);
  if (/^(cmpxchg)/.test(entry.mnemonic)) for (const r of [0, 1, 2, 3]) fixed.add(r);
  if (/^(mul|imul|div|idiv)/.test(entry.mnemonic)) for (const r of [0, 2]) fixed.add(r);
  if (/^bt/.test(entry.mnemonic)) fixed.add(reg | ((rex & 4) << 1));
  if (/^(sh|ro|rc|sa)/.test(entry.mnemonic)) fixed.add(1);
  const form = random.below(5);
  if (form === 0 && mod === 0) {
    // No base: absolute in 32-bit code, relative to RIP in 64-bit code.
    if (mode === 1 || random.chance(2)) {
      if (mode === 1) {
        push32(target);
        return { modrm: 5, rex, tail, ripRelative: false };
      }
      push32(0);
      return { modrm: 5, rex, tail, ripRelative: true };
    }
    tail.push(0x25);
    rex &= ~2;
    push32(target);
    return { modrm: 4, rex, tail, ripRelative: false };
  }
  const baseExt = (rex & 1) << 3;
  const indexExt = (rex & 2) << 2;
  if (form <= 2) {
    let rm = random.below(8);
    if (rm === 4 || (rm === 5 && mod === 0) || fixed.has(rm | baseExt)) rm = 7;
    if (fixed.has(rm | baseExt)) rm = 6;
    plan.gpr[rm | baseExt] = wrap(BigInt(target) - BigInt(displacement));
    pushDisplacement();
    return { modrm: (mod << 6) | rm, rex, tail, ripRelative: false };
  }
  // SIB, with RSP/R12 and RBP/R13 as base at times.
  let base = random.below(8);
  if (base === 5 && mod === 0) base = 6;
  if (fixed.has(base | baseExt) && !(base === 4 && baseExt === 0 && !keepSp)) base = 7;
  let index = random.below(8);
  if ((index | indexExt) === (base | baseExt)) index = (index + 1) & 7;
  const scale = random.below(4);
  let offset = 0n;
  if ((index | indexExt) !== 4) {
    if (fixed.has(index | indexExt))
      offset = narrow
        ? BigInt.asUintN(32, plan.gpr[index | indexExt]!)
        : plan.gpr[index | indexExt]!;
    else {
      offset = random.chance(2) ? integer(random) : BigInt(random.below(64));
      plan.gpr[index | indexExt] = offset;
    }
    offset <<= BigInt(scale);
  }
  plan.gpr[base | baseExt] = wrap(BigInt(target) - offset - BigInt(displacement));
  tail.push((scale << 6) | (index << 3) | base);
  pushDisplacement();
  return { modrm: (mod << 6) | 4, rex, tail, ripRelative: false };
}

function immediate(
  operand: string,
  size: 16 | 32 | 64,
  random: Random,
  code: number[],
  mode: 0 | 1,
  target: number,
  address32: boolean,
): void {
  const kind = operand[0];
  if (kind === 'O') {
    const bytes = mode === 1 || address32 ? 4 : 8;
    for (let i = 0; i < bytes; i++) code.push(i < 4 ? (target >>> (i * 8)) & 0xff : 0);
    return;
  }
  if (kind !== 'I' && kind !== 'J') return;
  const letter = operand[1]!;
  let bytes: number;
  if (letter === 'b') bytes = 1;
  else if (letter === 'z') bytes = size === 16 ? 2 : 4;
  else bytes = bitsOfLetter(letter, size) / 8;
  let value =
    operand === 'Ib2'
      ? BigInt(random.below(4))
      : operand === 'Iw'
        ? BigInt(random.below(64))
        : integer(random);
  // A branch into its own bytes may never end.
  if (
    kind === 'J' &&
    BigInt.asIntN(bytes * 8, value) < 0n &&
    BigInt.asIntN(bytes * 8, value) >= -16n
  )
    value = 5n;
  for (let i = 0; i < bytes; i++) code.push(Number((value >> BigInt(i * 8)) & 0xffn));
}
