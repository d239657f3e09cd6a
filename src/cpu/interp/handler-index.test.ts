import assert from 'node:assert/strict';
import test from 'node:test';
import { type CodeMode, Decoder, Insn, variantOf } from '../isa/decode.js';
import { instructionTable } from '../isa/index.js';
import { HandlerIndex } from './handler-index.js';
import { FIRST_HANDLER } from './record.js';

const PREFIXES = [
  [],
  [0x66],
  [0x67],
  [0xf2],
  [0xf3],
  [0xf0],
  [0x48],
  [0x66, 0xf3],
  [0x66, 0x48],
  [0xf2, 0x4f],
];
const MAPS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

test('whatever the decoder finds has a handler', () => {
  const decoder = new Decoder(instructionTable);
  const handlers = new HandlerIndex(instructionTable);
  const insn = new Insn();
  let decoded = 0;
  for (const mode of [0, 1, 2] as CodeMode[]) {
    for (const prefix of PREFIXES) {
      for (const map of MAPS) {
        for (let opcode = 0; opcode < 0x1_0000; opcode++) {
          // Each opcode byte with each byte after it: ModRM, where there is one.
          const bytes = [...prefix, ...map, opcode >> 8, opcode & 0xff];
          const code = new Uint8Array(32);
          code.set(bytes);
          if (decoder.decode(code, 0, code.length, mode, insn) !== 'ok') continue;
          decoded++;
          assert.ok(handlers.of(variantOf(insn)) >= FIRST_HANDLER);
        }
      }
    }
  }
  assert.ok(decoded > 1_000_000, `${decoded} instructions`);
});
