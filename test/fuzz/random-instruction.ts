/** Instructions of the table with random operands that stay within the data pages, mostly. */
import { instructionTable } from '#src/cpu/isa/index.js';
import type { Entry } from '#src/cpu/isa/table.js';
import type { Random } from '../isa/random.js';
import type { Width } from './assembler.js';

/** What an instruction may touch. */
export interface Surroundings {
  readonly width: Width;
  /** General registers that are not to be named. */
  readonly reserved: readonly number[];
  /** General registers that point into the data pages, to 16 bytes, with room on both sides. */
  readonly pointers: readonly number[];
  /** Absolute addresses of operands: from here, this many bytes. */
  readonly data: number;
  readonly dataBytes: number;
  /** Where the data are seen, too: as an offset, or 0. */
  readonly rival: number;
}

const INTEGER = ['move', 'arithmetic', 'multiply', 'shifts', 'bits', 'bmi', 'flags'];
const VECTOR = ['sseMove', 'sseInteger', 'sseFloat', 'sseConversions', 'mmx', 'crypto'];
/** Those that move the stack, take registers for pointers, or change what others depend on. */
const LEFT_OUT =
  /^(push.*|pop.?|popf|enter|leave|xlat|cli|maskmov.*|fldcw|fldenv|frstor|fnsave|fnstenv|monitor)$/;

const wanted = (families: readonly string[]): Entry[] =>
  instructionTable.filter(
    ({ family, mnemonic, options }) =>
      families.includes(family) && !LEFT_OUT.test(mnemonic) && options.ends !== true,
  );
const kinds = {
  integer: wanted(INTEGER),
  vector: wanted(VECTOR),
  x87: wanted(['x87']),
};

export type Kind = keyof typeof kinds;

const OVERRIDES = [0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65];

const word = (n: number): number[] => [n, n >> 8, n >> 16, n >> 24].map((b) => b & 0xff);

/** `at`: where it is going to stand. */
export function randomInstruction(
  random: Random,
  kind: Kind,
  around: Surroundings,
  at: number,
): number[] {
  for (;;) {
    const code = encode(random.pick(kinds[kind]), random, around, at, kind === 'vector');
    if (code) return code;
  }
}

function encode(
  entry: Entry,
  random: Random,
  around: Surroundings,
  at: number,
  vector: boolean,
): number[] | null {
  const { width, reserved } = around;
  const { options, operands } = entry;
  if (options.mode === 'long' ? width !== 64 : options.mode === 'legacy' && width === 64)
    return null;
  if (entry.vex && width === 16) return null;
  // Divisions fault often enough without help.
  if (/div/.test(entry.mnemonic) && entry.family === 'multiply' && !random.chance(4)) return null;
  const letter = (field: string): boolean => operands.some((o) => field.includes(o[0]!));
  const memory =
    entry.hasModrm && (entry.mod === 'mem' || (entry.mod !== 'reg' && random.chance(2)));
  // A bit offset in a register reaches anywhere.
  if (memory && /^bt/.test(entry.mnemonic) && operands[1] === 'Gv') return null;
  const byte = operands.some((o) => /^[EGZ]b/.test(o));
  const free = (rexBit: boolean, general: boolean): number => {
    for (;;) {
      const n = random.below(width === 64 && rexBit ? 16 : 8);
      if (!general) return n;
      // Without REX, 4 to 7 are the second bytes of registers 0 to 3; SPL is the stack pointer's.
      if (byte && n >= 4 && n < 8 && !rexBit) {
        if (!reserved.includes(n - 4)) return n;
      } else if (n !== 4 && !reserved.includes(n)) return n;
    }
  };
  const wide = width === 64 && (options.w === 1 || random.chance(2));
  const withRex = wide && (options.w !== 0 || random.chance(2));
  const reg = entry.reg >= 0 ? entry.reg : free(withRex, letter('G'));
  const rm = entry.rm >= 0 ? entry.rm : free(withRex, letter('ERZF'));
  const vvvv = letter('B') ? free(width === 64, true) : 0;
  const code: number[] = [];
  if (options.lock && memory && random.chance(3)) code.push(0xf0);
  if (/^(66|F2|F3)$/.test(entry.prefix) && !entry.vex) {
    code.push(Number.parseInt(entry.prefix, 16));
  } else if (random.chance(6) && !entry.vex && entry.prefix !== 'NP') code.push(0x66);
  // Most vector instructions want their operands aligned.
  const mask = vector && !random.chance(8) ? -16 : -1;
  const window = random.chance(8) ? around.rival : 0;
  const target = window + ((around.data + random.below(around.dataBytes)) & mask);
  const address = memory ? addressing(random, around, target, mask) : null;
  if (width === 16 && address && address.base >= 0) code.push(0x67);
  else if (width === 64 && address?.relative && random.chance(4)) code.push(0x67);
  if (random.chance(10)) code.push(random.pick(OVERRIDES));
  let rex = withRex ? 0x40 : 0;
  if (withRex && (options.w === 1 || (options.w === undefined && random.chance(2)))) rex |= 8;
  if (reg >= 8) rex |= 0x44;
  const low = address ? address.base : rm;
  if (low >= 8) rex |= 0x41;
  if (options.rexB === 1) rex |= 0x41;
  if (options.rexB === 0) rex &= ~1;
  // A byte register meant as AH to BH has no REX; those with one are not.
  if (rex && byte && !withRex && ((reg >= 4 && reg < 8) || (!memory && rm >= 4 && rm < 8))) {
    return null;
  }
  if (entry.vex) {
    const pp = ['NP', '66', 'F3', 'F2'].indexOf(entry.prefix);
    const w = options.w === 1 || rex & 8 ? 0x80 : 0;
    code.push(0xc4, ((~rex & 7) << 5) | entry.map, w | ((~vvvv & 15) << 3) | pp);
  } else {
    if (rex) code.push(0x40 | rex);
    if (entry.map > 0) code.push(0x0f);
    if (entry.map > 1) code.push(entry.map === 2 ? 0x38 : 0x3a);
  }
  const inOpcode = entry.opcodeReg ? rm & 7 : 0;
  code.push(entry.opcode | inOpcode);
  const size = code.includes(0x66) !== (width === 16) ? 2 : 4;
  if (entry.hasModrm) {
    const field = (reg & 7) << 3;
    if (address) code.push(address.bytes[0]! | field, ...address.bytes.slice(1));
    else code.push(0xc0 | field | (rm & 7));
  }
  const displacementEnd = code.length;
  for (const operand of entry.trailing) {
    if (operand[0] === 'O') {
      code.push(...word(target).slice(0, width === 16 ? 2 : 4));
      if (width === 64) code.push(0, 0, 0, 0);
      continue;
    }
    const length = { b: 1, w: 2, d: 4, q: 8 }[operand[1]!] ?? immediateBytes(operand, rex, size);
    for (let i = 0; i < length; i++) code.push(random.below(256));
  }
  if (address?.relative) {
    const displacement = word(target - (at + code.length));
    code.splice(displacementEnd - 4, 4, ...displacement);
  }
  return code;
}

/** Bytes of an immediate that follows the operand size. */
function immediateBytes(operand: string, rex: number, size: number): number {
  if (operand === 'Ibs' || operand[1] === 's') return 1;
  return operand[1] === 'v' && rex & 8 ? 8 : size;
}

/** ModRM without its register field, SIB and displacement. */
function addressing(
  random: Random,
  { width, pointers }: Surroundings,
  target: number,
  mask: number,
): { base: number; bytes: number[]; relative?: true } {
  if (width === 64 && random.chance(4)) return { base: -1, bytes: [5, 0, 0, 0, 0], relative: true };
  if (random.chance(2)) {
    const absolute = word(target);
    if (width === 16) return { base: -1, bytes: [6, ...absolute.slice(0, 2)] };
    return { base: -1, bytes: width === 32 ? [5, ...absolute] : [4, 0x25, ...absolute] };
  }
  const base = random.pick(pointers);
  if (random.chance(2))
    return { base, bytes: [0x40 | (base & 7), random.below(256) & mask & 0xff] };
  const far = (random.below(0x1000) - 0x800) & mask;
  return { base, bytes: [0x80 | (base & 7), ...word(far)] };
}
