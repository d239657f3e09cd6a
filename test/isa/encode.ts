/**
 * Encodes an entry of the table as one case's instruction: prefixes in any order and beyond what is
 * wanted, every form of addressing, immediates. Registers are set so that a memory operand hits the
 * case's target.
 */
import { bitsOfLetter } from '#src/cpu/isa/operands.js';
import type { Entry } from '#src/cpu/isa/table.js';
import { addressRegisters, memoryForm } from './addressing.js';
import { CODE, DATA, FS_BASE, GS_BASE, type Mode } from './case-format.js';
import { integer } from './operand-values.js';
import type { Random } from './random.js';

/** A case in the making. */
export interface Draft {
  readonly random: Random;
  readonly mode: Mode;
  readonly gpr: bigint[];
  readonly codeOffset: number;
  /** Linear address for the memory operand. */
  target: bigint;
}

/** An instruction whose bytes before the displacement are settled. */
export interface Address {
  readonly bits: 16 | 32 | 64;
  /** What is to be added to the segment's base to hit the target. */
  readonly offset: bigint;
}

const OVERRIDES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

export function encode(entry: Entry, draft: Draft): number[] {
  const { random, mode } = draft;
  const possible = mode === 0 ? entry.sizes : entry.sizes.filter((n) => n !== 64);
  const size = random.pick(possible.length > 0 ? possible : entry.sizes);
  const memory = entry.hasModrm && entry.mod !== 'reg' && (entry.mod === 'mem' || random.chance(2));
  const prefixes = choosePrefixes(entry, random, mode, size, memory);
  let rex = mode === 0 ? chooseRex(entry, random, size) : 0;
  const address = addressOf(prefixes, draft);
  if (entry.family === 'strings' || /^(xlat|maskmov)/.test(entry.mnemonic)) {
    addressRegisters(entry, draft, address);
  }
  let modrm = -1;
  let tail: number[] = [];
  let ripRelative = false;
  if (entry.hasModrm) {
    const reg = entry.reg >= 0 ? entry.reg : random.below(8);
    if (memory) {
      const index = reg | ((rex & 4) << 1);
      if (entry.family === 'bits' && /^bt/.test(entry.mnemonic)) {
        draft.gpr[index] = BigInt.asUintN(64, BigInt(random.below(512) - 256));
      }
      const form = memoryForm(entry, draft, address, rex, index);
      modrm = form.modrm | (reg << 3);
      ({ rex, tail, ripRelative } = form);
    } else modrm = 0xc0 | (reg << 3) | (entry.rm >= 0 ? entry.rm : random.below(8));
  }
  const code = [...prefixes, ...opcodeBytes(entry, random, mode, rex)];
  if (modrm >= 0) code.push(modrm);
  const displacementAt = code.length;
  code.push(...tail);
  for (const operand of entry.operands) immediate(operand, size, draft, address, code);
  if (random.chance(48)) lengthen(random, mode, code);
  else if (ripRelative) {
    const next = BigInt(CODE + draft.codeOffset + code.length);
    const displacement = Number(BigInt.asIntN(32, address.offset - next));
    for (let i = 0; i < 4; i++) code[displacementAt + i] = (displacement >> (i * 8)) & 0xff;
  }
  return code;
}

/** Prefixes that the entry needs, those it takes, and at times those it does not. */
function choosePrefixes(
  entry: Entry,
  random: Random,
  mode: Mode,
  size: 16 | 32 | 64,
  memory: boolean,
): number[] {
  const { options } = entry;
  const prefixes: number[] = [];
  if (options.lock && memory && random.chance(3)) prefixes.push(0xf0);
  if (options.rep && !random.chance(3)) {
    prefixes.push(options.rep === 'repz' ? random.pick([0xf2, 0xf3]) : 0xf3);
  }
  if (entry.prefix !== '' && entry.prefix !== 'NP' && !entry.vex) {
    prefixes.push(Number.parseInt(entry.prefix, 16));
  }
  const other = mode === 2 ? 32 : 16;
  const sized = entry.sizes.includes(16) || (mode === 2 && entry.sizes.length > 1);
  if (size === other && sized && entry.prefix !== '66' && entry.prefix !== 'NP') {
    prefixes.push(0x66);
  }
  if (random.chance(mode === 1 ? 24 : 8)) prefixes.push(0x67);
  if (random.chance(16)) prefixes.push(random.pick(OVERRIDES));
  if (random.chance(8)) {
    // Duplicates, prefixes without a meaning, LOCK where there is none, REX that does not count.
    const extra = [0x66, 0x67, 0xf2, 0xf3, 0xf0, ...OVERRIDES, ...prefixes, ...prefixes];
    if (mode === 0) extra.push(0x40 | random.below(16), 0x48);
    for (let n = 1 + random.below(3); n > 0; n--) prefixes.push(random.pick(extra));
  }
  for (let i = prefixes.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [prefixes[i], prefixes[j]] = [prefixes[j]!, prefixes[i]!];
  }
  return prefixes;
}

function chooseRex(entry: Entry, random: Random, size: 16 | 32 | 64): number {
  const { options } = entry;
  let rex = random.chance(2) ? 0x40 | random.below(8) : 0;
  if (size === 64 && options.size64 === undefined) rex |= 0x48;
  else if (random.chance(32)) rex |= 0x48;
  if (options.w === 1) rex |= 0x48;
  if (options.w === 0) rex &= ~8;
  if (options.rexB !== undefined) rex = options.rexB ? rex | 0x41 : rex & ~1;
  return rex;
}

/** REX or VEX, escape bytes and opcode. */
function opcodeBytes(entry: Entry, random: Random, mode: Mode, rex: number): number[] {
  const opcode = entry.opcodeReg ? entry.opcode | random.below(8) : entry.opcode;
  if (entry.vex) {
    const named = entry.operands.some((o) => o[0] === 'B') || random.chance(24);
    const register = named ? random.below(mode === 0 ? 16 : 8) : 0;
    const pp = random.chance(24) ? random.below(4) : ['NP', '66', 'F3', 'F2'].indexOf(entry.prefix);
    const long = random.chance(24) ? 4 : 0;
    const fields = ((~rex & 7) << 5) | entry.map;
    return [0xc4, fields, ((rex & 8) << 4) | ((~register & 15) << 3) | long | pp, opcode];
  }
  const code = rex ? [rex] : [];
  if (entry.map > 0) code.push(0x0f);
  if (entry.map === 2) code.push(0x38);
  if (entry.map === 3) code.push(0x3a);
  code.push(opcode);
  return code;
}

/** Address size and offset, from prefixes already chosen. */
export function addressOf(prefixes: readonly number[], draft: Draft): Address {
  const { mode, target } = draft;
  const other = prefixes.includes(0x67);
  const bits = mode === 0 ? (other ? 32 : 64) : (mode === 1) === other ? 16 : 32;
  const override = prefixes.filter((byte) => OVERRIDES.includes(byte)).at(-1);
  let base = mode === 2 ? DATA : 0;
  if (mode === 2 && override === 0x2e) base = CODE;
  if (override === 0x64) base = mode === 0 ? FS_BASE : 0;
  if (override === 0x65) base = mode === 0 ? GS_BASE : 0;
  return { bits, offset: BigInt.asUintN(bits, target - BigInt(base)) };
}

function immediate(
  operand: string,
  size: 16 | 32 | 64,
  { random }: Draft,
  address: Address,
  code: number[],
): void {
  const kind = operand[0];
  if (kind === 'O') {
    for (let i = 0; i < address.bits; i += 8) {
      code.push(Number((address.offset >> BigInt(i)) & 0xffn));
    }
    return;
  }
  if (kind !== 'I' && kind !== 'J') return;
  const letter = operand[1]!;
  let bytes: number;
  if (letter === 'b') bytes = 1;
  else if (letter === 'z') bytes = size === 16 ? 2 : 4;
  else bytes = bitsOfLetter(letter, size) / 8;
  let value = integer(random);
  if (operand === 'Ib2') value = BigInt(random.pick([0, 1, 2, 3, 32, 33, 34, 35, 0xe2]));
  else if (operand === 'Iw' && !random.chance(8)) value = BigInt(random.below(64));
  for (let i = 0; i < bytes; i++) code.push(Number((value >> BigInt(i * 8)) & 0xffn));
}

/** Segment overrides in front, up to and over the limit of 15 bytes. */
function lengthen(random: Random, mode: Mode, code: number[]): void {
  const filler = mode === 0 ? random.pick([0x26, 0x2e, 0x36, 0x3e]) : 0x3e;
  const length = 14 + random.below(3);
  while (code.length < length) code.unshift(filler);
}
