/**
 * The decoder: bytes to an entry of the table and its operands. Runs when code is first met, in
 * the interpreter, the JIT, the disassembler and the tests alike. [SDM 2 chapter 2]
 */
import * as L from '../state/layout.js';
import type { Variant } from './sem.js';
import type { Entry } from './table.js';

/** The code segment's kind: 0 16-bit, 1 32-bit, 2 64-bit. */
export type CodeMode = 0 | 1 | 2;

/** A decoded instruction. Reused by the decoder: copy what is to be kept. */
export class Insn {
  entry!: Entry;
  mode: CodeMode = 2;
  length = 0;
  /** Operand size. */
  size: 16 | 32 | 64 = 32;
  /** Address size. */
  addressSize: 16 | 32 | 64 = 64;
  lock = false;
  rep: 0 | 2 | 3 = 0;
  rex = 0;
  /** ModRM.mod is not 3. */
  memory = false;
  /** ModRM.reg with REX.R, ModRM.rm or opcode register with REX.B. */
  reg = 0;
  rm = 0;
  /** VEX.vvvv where an operand is there, else -1. */
  vvvv = -1;
  /** General registers of the memory operand, -1: none; base -2: RIP of the next instruction. */
  base = -1;
  index = -1;
  scale = 0;
  displacement = 0;
  /** Segment register of the memory operand, by override or default. */
  segment: number = L.DS;
  /** An override prefix named it. */
  segmentOverride = false;
  /** Immediate, sign-extended to 64 bits: two halves. */
  immLow = 0;
  immHigh = 0;
  /** ENTER's level; a far pointer's selector. */
  imm2 = 0;
}

/** Why bytes are not an instruction. */
export type DecodeResult = 'ok' | 'more' | 'invalid' | 'too-long';

export const MAX_LENGTH = 15;

/** Lookup from map and opcode to candidates in table order. */
export class Decoder {
  private readonly candidates: Entry[][] = Array.from({ length: 4 * 256 }, () => []);
  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private end = 0;

  constructor(table: readonly Entry[]) {
    for (const entry of table) {
      const count = entry.opcodeReg ? 8 : 1;
      for (let i = 0; i < count; i++)
        this.candidates[entry.map * 256 + entry.opcode + i]!.push(entry);
    }
    // Fixed ModRM bytes before reg fields before anything.
    for (const list of this.candidates) list.sort((a, b) => weight(b) - weight(a));
  }

  /**
   * Decodes at `start`; bytes from `end` on are not there (`more` when they would be needed).
   * On `invalid` and `too-long` only `insn.length` (bytes looked at) is meaningful.
   */
  decode(bytes: Uint8Array, start: number, end: number, mode: CodeMode, insn: Insn): DecodeResult {
    this.bytes = bytes;
    this.at = start;
    this.end = Math.min(end, start + MAX_LENGTH);
    const result = this.parse(mode, insn);
    insn.length = this.at - start;
    // Ran out of bytes: because of the limit of 15, or because they are not there yet.
    if (result === 'more' && end - start >= MAX_LENGTH) return 'too-long';
    return result;
  }

  private parse(mode: CodeMode, insn: Insn): DecodeResult {
    const { bytes } = this;
    insn.mode = mode;
    insn.lock = false;
    insn.rep = 0;
    insn.rex = 0;
    insn.memory = false;
    insn.reg = 0;
    insn.rm = 0;
    insn.vvvv = -1;
    insn.base = -1;
    insn.index = -1;
    insn.scale = 0;
    insn.displacement = 0;
    insn.segment = L.DS;
    insn.segmentOverride = false;
    insn.immLow = 0;
    insn.immHigh = 0;
    insn.imm2 = 0;
    let size66 = false;
    let address67 = false;
    let byte = 0;
    for (;;) {
      if (this.at >= this.end) return 'more';
      byte = bytes[this.at++]!;
      if (byte === 0x66) size66 = true;
      else if (byte === 0x67) address67 = true;
      else if (byte === 0xf0) insn.lock = true;
      else if (byte === 0xf2) insn.rep = 2;
      else if (byte === 0xf3) insn.rep = 3;
      else if (byte === 0x64 || byte === 0x65) {
        insn.segment = byte === 0x64 ? L.FS : L.GS;
        insn.segmentOverride = true;
      } else if (byte === 0x26 || byte === 0x2e || byte === 0x36 || byte === 0x3e) {
        // ES, CS, SS and DS overrides are ignored in 64-bit code. [SDM 2A 2.1.1]
        if (mode !== 2) {
          insn.segment = (byte - 0x26) >> 3;
          insn.segmentOverride = true;
        }
      } else if (mode === 2 && (byte & 0xf0) === 0x40) {
        insn.rex = byte;
        continue;
      } else break;
      insn.rex = 0; // REX counts only directly before the opcode. [SDM 2A 2.2.1]
    }
    let map = 0;
    let vex = -1;
    // LES takes no register, so that 32-bit code has room for VEX too. [SDM 2A 2.3.5]
    if (byte === 0xc4 && mode !== 0) {
      if (this.at >= this.end) return 'more';
      if (mode === 2 || bytes[this.at]! >= 0xc0) {
        if (this.at + 2 >= this.end) {
          this.at = this.end;
          return 'more';
        }
        if (size66 || insn.lock || insn.rep !== 0 || insn.rex !== 0) return 'invalid';
        const fields = bytes[this.at++]!;
        vex = bytes[this.at++]!;
        map = fields & 31;
        // 128 bits only.
        if (map < 1 || map > 3 || (vex & 4) !== 0) return 'invalid';
        if (mode === 2) insn.rex = 0x40 | (~(fields >> 5) & 7) | ((vex & 0x80) >> 4);
        size66 = (vex & 3) === 1;
        insn.rep = ([0, 0, 3, 2] as const)[vex & 3]!;
        byte = bytes[this.at++]!;
      }
    }
    if (byte === 0x0f && vex < 0) {
      if (this.at >= this.end) return 'more';
      byte = bytes[this.at++]!;
      map = 1;
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3;
        if (this.at >= this.end) return 'more';
        byte = bytes[this.at++]!;
      }
    }
    const list = this.candidates[map * 256 + byte]!;
    if (list.length === 0) return 'invalid';
    const rexW = (insn.rex & 8) !== 0;
    let modrm = -1;
    const first = list[0]!;
    if (first.hasModrm) {
      if (this.at >= this.end) return 'more';
      modrm = bytes[this.at]!;
    }
    const entry = choose(list, modrm, mode, size66, insn.rep, insn.rex, vex >= 0);
    if (!entry) {
      if (modrm >= 0) this.at++;
      return 'invalid';
    }
    insn.entry = entry;
    const { options } = entry;
    if (vex >= 0) {
      insn.rep = 0;
      const named = entry.operands.some((o) => o[0] === 'B');
      const vvvv = (~vex >> 3) & 15;
      if (named) insn.vvvv = mode === 2 ? vvvv : vvvv & 7;
      else if (vvvv !== 0) return 'invalid';
    }
    // Sizes.
    if (mode === 2) {
      if (options.size64 === 'always') insn.size = 64;
      else if (rexW) insn.size = 64;
      else if (size66 && entry.prefix !== '66') insn.size = 16;
      else insn.size = options.size64 === 'default' ? 64 : 32;
      insn.addressSize = address67 ? 32 : 64;
    } else {
      insn.size = (mode === 1) !== (size66 && entry.prefix !== '66') ? 32 : 16;
      insn.addressSize = (mode === 1) !== address67 ? 32 : 16;
    }
    if (!entry.sizes.includes(insn.size)) insn.size = nearestSize(entry.sizes, insn.size);
    if (entry.opcodeReg) insn.rm = (byte & 7) | ((insn.rex & 1) << 3);
    if (entry.hasModrm) {
      if (modrm < 0) {
        if (this.at >= this.end) return 'more';
        modrm = bytes[this.at]!;
      }
      this.at++;
      insn.reg = ((modrm >> 3) & 7) | ((insn.rex & 4) << 1);
      insn.memory = modrm < 0xc0;
      if (!insn.memory || entry.ignoresMod) {
        insn.memory = false;
        insn.rm = (modrm & 7) | ((insn.rex & 1) << 3);
      } else if (!this.memoryOperand(modrm, insn)) return 'more';
    }
    for (const operand of entry.trailing) {
      if (!this.immediateOperand(operand, insn)) return 'more';
    }
    if (insn.lock && !(options.lock && insn.memory)) return 'invalid';
    return 'ok';
  }

  private memoryOperand(modrm: number, insn: Insn): boolean {
    const mod = modrm >> 6;
    let rm = modrm & 7;
    let displacementSize = mod === 1 ? 1 : 0;
    if (insn.addressSize === 16) {
      if (mod === 0 && rm === 6) displacementSize = 2;
      else {
        insn.base = [3, 3, 5, 5, 6, 7, 5, 3][rm]!;
        insn.index = rm < 4 ? 6 + (rm & 1) : -1;
        if (mod === 2) displacementSize = 2;
      }
    } else {
      if (mod === 2) displacementSize = 4;
      if (rm === 4) {
        if (this.at >= this.end) return false;
        const sib = this.bytes[this.at++]!;
        rm = sib & 7;
        const index = ((sib >> 3) & 7) | ((insn.rex & 2) << 2);
        if (index !== 4) {
          insn.index = index;
          insn.scale = sib >> 6;
        }
        if (mod === 0 && rm === 5) displacementSize = 4;
        else insn.base = rm | ((insn.rex & 1) << 3);
      } else if (mod === 0 && rm === 5) {
        displacementSize = 4;
        if (insn.mode === 2) insn.base = -2;
      } else insn.base = rm | ((insn.rex & 1) << 3);
    }
    // BP and SP as base mean the stack segment; R13 and R12 do not. [SDM 1 3.7.4]
    if (!insn.segmentOverride && (insn.base === 4 || insn.base === 5)) insn.segment = L.SS;
    if (displacementSize > 0) {
      if (this.at + displacementSize > this.end) {
        this.at = this.end;
        return false;
      }
      insn.displacement = this.signed(displacementSize);
    }
    return true;
  }

  private immediateOperand(operand: string, insn: Insn): boolean {
    const kind = operand[0];
    let bytes: number;
    if (kind === 'O') {
      insn.memory = true;
      bytes = insn.addressSize / 8;
    } else if (kind === 'A') bytes = insn.size === 16 ? 2 : 4;
    else {
      const letter = operand[1];
      if (letter === 'b') bytes = 1;
      else if (letter === 'w') bytes = 2;
      else if (letter === 'd') bytes = 4;
      else if (letter === 'v') bytes = insn.size / 8;
      else bytes = insn.size === 16 ? 2 : 4;
    }
    if (this.at + bytes > this.end) {
      this.at = this.end;
      return false;
    }
    if (operand === 'Ib2') {
      // The second immediate of ENTER.
      insn.imm2 = this.bytes[this.at++]!;
      return true;
    }
    if (bytes === 8) {
      insn.immLow = this.signed(4);
      insn.immHigh = this.signed(4);
    } else {
      // Far offsets and absolute addresses are unsigned, all else is signed.
      const value = this.signed(bytes);
      const unsigned = kind === 'A' || kind === 'O';
      insn.immLow = unsigned && bytes < 4 ? value & 0xffff : value;
      insn.immHigh = unsigned ? 0 : value >> 31;
    }
    if (kind === 'A') {
      if (this.at + 2 > this.end) {
        this.at = this.end;
        return false;
      }
      insn.imm2 = this.signed(2) & 0xffff;
    }
    return true;
  }

  /** The next 1, 2 or 4 bytes as a signed number; they are there. */
  private signed(count: number): number {
    const { bytes } = this;
    const at = this.at;
    this.at += count;
    if (count === 1) return (bytes[at]! << 24) >> 24;
    if (count === 2) return ((bytes[at]! | (bytes[at + 1]! << 8)) << 16) >> 16;
    return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }
}

function weight(entry: Entry): number {
  return (entry.rm >= 0 ? 8 : 0) + (entry.reg >= 0 ? 4 : 0) + (entry.prefix !== '' ? 2 : 0);
}

function choose(
  list: readonly Entry[],
  modrm: number,
  mode: CodeMode,
  size66: boolean,
  rep: 0 | 2 | 3,
  rex: number,
  vex: boolean,
): Entry | null {
  // A mandatory F2 or F3 wins over 66. [SDM 2A 2.1.2]
  const mandatory = rep === 2 ? 'F2' : rep === 3 ? 'F3' : size66 ? '66' : 'NP';
  for (const entry of list) {
    const { options } = entry;
    if (options.mode !== undefined && (options.mode === 'long') !== (mode === 2)) continue;
    if (entry.vex !== vex || (entry.prefix !== '' && entry.prefix !== mandatory)) continue;
    // Of the three-byte opcodes none ignores F2 or F3: MOVBE with F3 is #UD.
    if (entry.prefix === '' && entry.map > 1 && rep !== 0) continue;
    if (options.w !== undefined && (options.w === 1) !== ((rex & 8) !== 0)) continue;
    if (options.rexB !== undefined && (options.rexB === 1) !== ((rex & 1) !== 0)) continue;
    if (entry.hasModrm && modrm >= 0) {
      if (entry.reg >= 0 && ((modrm >> 3) & 7) !== entry.reg) continue;
      if (entry.rm >= 0 && (modrm & 7) !== entry.rm) continue;
      const isReg = modrm >= 0xc0;
      if (entry.mod === 'reg' && !isReg && !entry.ignoresMod) continue;
      if (entry.mod === 'mem' && isReg) continue;
    }
    return entry;
  }
  return null;
}

function nearestSize(sizes: readonly (16 | 32 | 64)[], size: 16 | 32 | 64): 16 | 32 | 64 {
  return sizes.includes(32) && size !== 64 ? 32 : sizes[sizes.length - 1]!;
}

/** The variant of its entry that an instruction is. */
export function variantOf(insn: Insn): Variant {
  return {
    entry: insn.entry,
    size: insn.size,
    form: formOf(insn),
    lock: insn.lock,
    rep: insn.entry.options.rep ? insn.rep : 0,
  };
}

/** How its handler reaches ModRM.rm: see {@link Variant}. */
export function formOf(insn: Insn): 'reg' | 'mem' | 'flat' {
  if (!insn.memory) return 'reg';
  const flat =
    insn.mode === 2 && insn.addressSize === 64 && insn.segment !== L.FS && insn.segment !== L.GS;
  return flat ? 'flat' : 'mem';
}
