import { type CodeMode, Decoder, Insn } from '#src/cpu/isa/decode.js';
import { instructionTable } from '#src/cpu/isa/index.js';
import type { Width } from './assembler.js';

const decoder = new Decoder(instructionTable);
const insn = new Insn();
const bytes = new Uint8Array(32);

export const codeMode = (width: Width): CodeMode => (width === 64 ? 2 : width === 32 ? 1 : 0);

/** Length of the instruction that `code` begins with; 0: none. */
export function decodeLength(code: readonly number[], width: Width): number {
  bytes.fill(0xcc);
  bytes.set(code);
  return decoder.decode(bytes, 0, 32, codeMode(width), insn) === 'ok' ? insn.length : 0;
}
