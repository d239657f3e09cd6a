/** Machine code as text in Intel's syntax, with the spelling of `objdump -M intel`. */
import type { CodeMode, Decoder } from './decode.js';
import { Insn } from './decode.js';
import { bitsOfLetter } from './operands.js';

const WORDS = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const LOW_BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const OLD_BYTES = ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const POINTERS: Readonly<Record<number, string>> = {
  8: 'BYTE PTR ',
  16: 'WORD PTR ',
  32: 'DWORD PTR ',
  48: 'FWORD PTR ',
  64: 'QWORD PTR ',
  80: 'TBYTE PTR ',
  128: 'XMMWORD PTR ',
};
/** Without operands, the size shows in the name. */
const BY_SIZE: Readonly<Record<string, readonly [string, string, string]>> = {
  cbw: ['cbw', 'cwde', 'cdqe'],
  cwd: ['cwd', 'cdq', 'cqo'],
};

/** One instruction, or one byte that begins none (`(bad)`). */
export interface Disassembled {
  readonly length: number;
  readonly text: string;
}

/** The instruction in `bytes` at `at`; `address` is where the guest has it, for jump targets. */
export function disassemble(
  decoder: Decoder,
  bytes: Uint8Array,
  at: number,
  mode: CodeMode,
  address: bigint,
): Disassembled {
  const insn = new Insn();
  const result = decoder.decode(bytes, at, bytes.length, mode, insn);
  if (result !== 'ok') return { length: 1, text: '(bad)' };
  const next = address + BigInt(insn.length);
  const operands = insn.entry.operands.map((operand) => operandText(operand, insn, next));
  const name = prefixText(insn) + nameOf(insn);
  return { length: insn.length, text: `${name.padEnd(6)} ${operands.join(',')}`.trimEnd() };
}

function prefixText({ lock, rep, entry }: Insn): string {
  if (lock) return 'lock ';
  if (rep === 0 || entry.options.rep === undefined) return '';
  if (entry.options.rep === 'rep') return 'rep ';
  return rep === 2 ? 'repnz ' : 'repz ';
}

function nameOf({ entry, size }: Insn): string {
  const which = size === 16 ? 0 : size === 32 ? 1 : 2;
  const bySize = BY_SIZE[entry.mnemonic];
  if (bySize) return bySize[which]!;
  const isSizedString = entry.family === 'strings' && entry.operands.length === 0;
  return isSizedString && !entry.mnemonic.endsWith('b')
    ? entry.mnemonic + 'wdq'[which]
    : entry.mnemonic;
}

function operandText(operand: string, insn: Insn, next: bigint): string {
  const { size } = insn;
  if (operand === 'rAX' || operand === 'eAX') return gpr(0, size, insn.rex);
  if (/^(AL|CL|AX|DX|1)$/.test(operand)) return operand.toLowerCase();
  const letter = operand[1];
  const bits = () => bitsOfLetter(letter, size);
  switch (operand[0]) {
    case 'E':
    case 'R':
      return insn.memory ? memory(insn, bits()) : gpr(insn.rm, bits(), insn.rex);
    case 'G':
      return gpr(insn.reg, bits(), insn.rex);
    case 'B':
      return gpr(insn.vvvv, bits(), insn.rex);
    case 'Z':
      return gpr(insn.rm, bits(), insn.rex);
    case 'M':
      return memory(insn, bits());
    case 'O':
      return `${segment(insn)}${hex(immediate(insn, insn.addressSize))}`;
    case 'I':
      if (operand === 'Ib2') return hex(BigInt(insn.imm2));
      return hex(immediate(insn, operand === 'Ibs' ? size : bits()));
    case 'J':
      return hex(BigInt.asUintN(insn.mode === 2 ? 64 : size, next + signedImmediate(insn)));
    case 'A':
      return `${hex(BigInt(insn.imm2))}:${hex(immediate(insn, 32))}`;
    case 'S':
      return SEGMENTS[insn.reg & 7] ?? '?';
    case 'C':
      return `cr${insn.reg}`;
    case 'D':
      return `db${insn.reg}`;
    case 'V':
      return `xmm${insn.reg}`;
    case 'U':
    case 'W':
      return insn.memory ? memory(insn, bits()) : `xmm${insn.rm}`;
    case 'P':
      return `mm${insn.reg & 7}`;
    case 'N':
    case 'Q':
      return insn.memory ? memory(insn, bits()) : `mm${insn.rm & 7}`;
    case 'F':
      return letter === '0' ? 'st' : `st(${letter === 'i' ? insn.rm & 7 : letter})`;
    default:
      return operand;
  }
}

function gpr(number: number, bits: number, rex: number): string {
  if (number >= 8) {
    const suffix = bits === 8 ? 'b' : bits === 16 ? 'w' : bits === 32 ? 'd' : '';
    return `r${number}${suffix}`;
  }
  if (bits === 8) return (rex === 0 ? OLD_BYTES : LOW_BYTES)[number]!;
  return (bits === 64 ? 'r' : bits === 32 ? 'e' : '') + WORDS[number]!;
}

function segment({ segmentOverride, segment: index }: Insn): string {
  return segmentOverride ? `${SEGMENTS[index]}:` : '';
}

function memory(insn: Insn, bits: number): string {
  const { base, index, scale, displacement, addressSize } = insn;
  const parts: string[] = [];
  if (base === -2) parts.push(addressSize === 64 ? 'rip' : 'eip');
  else if (base >= 0) parts.push(gpr(base, addressSize, 0));
  if (index >= 0) {
    const name = gpr(index, addressSize, 0);
    parts.push(addressSize === 16 ? name : `${name}*${1 << scale}`);
  }
  const pointer = `${POINTERS[bits] ?? ''}${segment(insn)}`;
  if (parts.length === 0) {
    const place = `${segment(insn) || 'ds:'}${hex(BigInt.asUintN(addressSize, BigInt(displacement)))}`;
    return `${POINTERS[bits] ?? ''}${place}`;
  }
  const sum = parts.join('+');
  if (displacement === 0 && base !== -2) return `${pointer}[${sum}]`;
  const sign = displacement < 0 ? '-' : '+';
  return `${pointer}[${sum}${sign}0x${Math.abs(displacement).toString(16)}]`;
}

function signedImmediate({ immLow, immHigh }: Insn): bigint {
  return (BigInt(immHigh) << 32n) | BigInt(immLow >>> 0);
}

function immediate(insn: Insn, bits: number): bigint {
  return BigInt.asUintN(bits, signedImmediate(insn));
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
