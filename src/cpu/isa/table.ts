/**
 * The instruction table: one entry an encoding. An entry's pattern is written as in the manual's
 * opcode column, its operands as in the manual's appendix A, its meaning as a function over a
 * builder. The decoder, the interpreter, the JIT, the disassembler, the coverage table and the
 * generator of test cases all read this table and nothing else.
 *
 * Pattern:  [NP|66|F3|F2] opcode bytes, then `/r`, `/0`..`/7`, a fixed ModRM byte (C0..FF), `C0+i`
 *           (fixed but for its low three bits) or, on the opcode byte, `50+r`.
 *           NP: none of 66, F3, F2. Without one of these four, 66 is the operand-size prefix.
 *           VEX before all: a VEX prefix of 128 bits that carries the rest.
 *
 * Operands: a class, then a size.
 *   E  ModRM.rm: general register or memory      G  ModRM.reg: general register
 *   B  VEX.vvvv: general register
 *   M  ModRM.rm: memory only                     R  ModRM.rm: general register only
 *   Z  register in the opcode's low three bits   I  immediate   J  relative branch
 *   O  absolute offset (mov moffs)               A  far pointer in the instruction
 *   S  segment register in ModRM.reg             C D  control, debug register in ModRM.reg
 *   V  XMM in ModRM.reg    W  XMM or memory      U  XMM in ModRM.rm only
 *   P  MMX in ModRM.reg    Q  MMX or memory      N  MMX in ModRM.rm only
 *   F  x87 register: Fi = ST(i) by ModRM.rm, F0 = ST(0)
 *   AL CL AX DX eAX rAX 1 ...  fixed
 * Sizes: b 8, w 16, d 32, q 64, t 80, x 128 bits; v 16/32/64 by operand size; y 32/64 (never 16);
 *   z as v, but an immediate of 16 or 32 bits sign-extended to 64; s (immediates only: Ibs) one byte,
 *   sign-extended to the operand size; p far pointer (16 + operand size bits).
 */
import type { Sem } from './sem.js';

/** What an instruction does: statements appended to the builder. */
export type Semantic = (s: Sem) => void;

/** What an encoding needs said beyond its pattern and operands; absent: no. */
export interface EntryOptions {
  /** Takes a LOCK prefix with a memory destination. */
  readonly lock?: boolean;
  /** Takes F3/F2 as repeat prefixes: `rep` (one form) or `repz` (both forms). */
  readonly rep?: 'rep' | 'repz';
  /** Not in 64-bit code; only there. */
  readonly mode?: 'legacy' | 'long';
  /** In 64-bit code: operand size 64 by default (66: 16), or always. */
  readonly size64?: 'default' | 'always';
  /** Needs REX.W clear or set. */
  readonly w?: 0 | 1;
  /** Needs REX.B clear or set (NOP and XCHG R8). */
  readonly rexB?: 0 | 1;
  /**
   * Flags written, left undefined and read, of OSZAPC: for people and the oracle, and for a translator
   * that leaves out what nobody reads. A flag that is only sometimes written counts as written.
   */
  readonly writes?: string;
  readonly undefined?: string;
  readonly reads?: string;
  /** Raises #UD/#NM by CR0 and CR4 first. */
  readonly unit?: 'sse' | 'mmx' | 'x87';
  /** A 128-bit memory operand need not be aligned. */
  readonly unaligned?: boolean;
  /** Always leaves the block: sets RIP itself, or changes how the next instruction is decoded. */
  readonly ends?: boolean;
  /** The CPUID feature it belongs to, for the coverage table. */
  readonly feature?: string;
  /** Not run in the native oracle at CPL 3, and why. */
  readonly native?: string;
  /** Width of the memory operand where its letter does not say (bytes), for test cases. */
  readonly memBytes?: number;
}

/** One encoding: what its definition says, taken apart. */
export interface Entry {
  readonly index: number;
  readonly family: string;
  readonly mnemonic: string;
  readonly pattern: string;
  readonly operands: readonly string[];
  readonly semantic: Semantic;
  readonly options: EntryOptions;
  /** 0 one byte, 1 after 0F, 2 after 0F 38, 3 after 0F 3A. */
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  /** The opcode's low three bits name a register. */
  readonly opcodeReg: boolean;
  readonly prefix: '' | 'NP' | '66' | 'F3' | 'F2';
  readonly vex: boolean;
  readonly hasModrm: boolean;
  /** Wanted ModRM.reg and ModRM.rm, or -1. */
  readonly reg: number;
  readonly rm: number;
  readonly mod: 'any' | 'reg' | 'mem';
  /** ModRM.mod is ignored: MOV to and from CR and DR. [SDM 2B MOV—Control Registers] */
  readonly ignoresMod: boolean;
  /** The operands that stand in the instruction's bytes after ModRM: immediates, offsets, far pointers. */
  readonly trailing: readonly string[];
  /** Operand size matters: there is a v, z, y or p operand, or `sized` semantics. */
  readonly sizes: readonly (16 | 32 | 64)[];
}

/** Adds one encoding to a family. */
export type Define = (
  pattern: string,
  mnemonic: string,
  operands: string,
  semantic: Semantic,
  options?: EntryOptions & { sizes?: readonly (16 | 32 | 64)[] },
) => void;

export type Family = (def: Define) => void;

/** An opcode byte as patterns write it. */
export function opcodeText(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0');
}

/** Suffixes of Jcc, SETcc and CMOVcc by condition number. [SDM 1 B.1] */
export const CONDITION_NAMES: readonly string[] = 'o no b ae e ne be a s ns p np l ge le g'.split(
  ' ',
);

const HEX = /^[0-9A-F]{2}$/;

function parse(
  index: number,
  family: string,
  pattern: string,
  mnemonic: string,
  operandText: string,
  semantic: Semantic,
  given: EntryOptions & { sizes?: readonly (16 | 32 | 64)[] },
): Entry {
  const { sizes: givenSizes, ...options } = given;
  const operands = operandText === '' ? [] : operandText.split(' ');
  const tokens = pattern.split(' ');
  const vex = tokens[0] === 'VEX';
  if (vex) tokens.shift();
  let at = 0;
  let prefix: Entry['prefix'] = '';
  const first = tokens[0]!;
  if (first === 'NP' || first === '66' || first === 'F3' || first === 'F2') {
    prefix = first as Entry['prefix'];
    at++;
  }
  let map: Entry['map'] = 0;
  if (tokens[at] === '0F') {
    at++;
    map = 1;
    if (tokens[at] === '38' && tokens.length > at + 1) {
      at++;
      map = 2;
    } else if (tokens[at] === '3A' && tokens.length > at + 1) {
      at++;
      map = 3;
    }
  }
  const opcodeToken = tokens[at++]!;
  const opcodeReg = opcodeToken.endsWith('+r');
  const opcode = Number.parseInt(opcodeToken, 16);
  let reg = -1;
  let rm = -1;
  let mod: Entry['mod'] = 'any';
  let hasModrm = false;
  const modrm = tokens[at++];
  if (modrm !== undefined) {
    hasModrm = true;
    if (/^\/[0-7]$/.test(modrm)) reg = Number(modrm[1]);
    else if (HEX.test(modrm.slice(0, 2))) {
      const byte = Number.parseInt(modrm, 16);
      mod = 'reg';
      reg = (byte >> 3) & 7;
      if (!modrm.endsWith('+i')) rm = byte & 7;
    } else if (modrm !== '/r') throw new Error(`${pattern}: cannot read ${modrm}`);
  }
  if (at < tokens.length) throw new Error(`${pattern}: cannot read ${tokens[at]}`);
  for (const operand of operands) {
    if (/^M/.test(operand)) mod = 'mem';
    else if (/^[RUN]/.test(operand) && mod === 'any') mod = 'reg';
  }
  const sized = operands.some(
    (o) => /^[EGBMRZIJOA][vzyp]/.test(o) || o === 'Ibs' || /^[er]A|^[er][BCDSI]/.test(o),
  );
  const onlyY = !operands.some(
    (o) => /^[EGBMRZIJOA][vzp]/.test(o) || o === 'Ibs' || /^[er]A/.test(o),
  );
  let sizes =
    givenSizes ??
    (sized ? (onlyY ? ([32, 64] as const) : ([16, 32, 64] as const)) : ([32] as const));
  if (options.mode === 'legacy') sizes = sizes.filter((size) => size !== 64);
  return {
    index,
    family,
    mnemonic,
    pattern,
    operands,
    semantic,
    options,
    map,
    opcode,
    opcodeReg,
    prefix,
    vex,
    hasModrm,
    reg,
    rm,
    mod,
    ignoresMod: map === 1 && operands.some((o) => o === 'Cy' || o === 'Dy'),
    trailing: operands.filter((o) => /^[IJO]/.test(o) || o === 'Ap'),
    sizes,
  };
}

/** Builds the table from its families; the order of entries is part of no interface. */
export function buildTable(families: Readonly<Record<string, Family>>): readonly Entry[] {
  const entries: Entry[] = [];
  for (const [name, family] of Object.entries(families)) {
    family((pattern, mnemonic, operands, semantic, options = {}) => {
      entries.push(parse(entries.length, name, pattern, mnemonic, operands, semantic, options));
    });
  }
  return entries;
}
