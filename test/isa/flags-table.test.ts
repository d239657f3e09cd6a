/**
 * What the table says of flags is what instructions do: one changes only those it `writes` or leaves
 * `undefined`, and nothing it does depends on others than those it `reads`. The oracle finds wrong
 * values; this finds a wrong description, which a translator would trust.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { instructionTable } from '#src/cpu/isa/index.js';
import type { Entry } from '#src/cpu/isa/table.js';
import { ANSWER, CASE, MODES } from './case-format.js';
import { CaseMaker, faultsOnly, testable } from './cases.js';
import { Host, hostCpu } from './host.js';
import { flagBits } from './masks.js';
import { Random } from './random.js';
import { SoftRunner } from './soft-runner.js';

const CASES_EACH = 24;
const ARITHMETIC = flagBits('OSZAPC');
const TF_AND_AC = 0x4_0100;

test('instructions read and write the flags that the table says', () => {
  const random = new Random(7);
  const host = new Host(hostCpu().flags);
  const maker = new CaseMaker(instructionTable, host);
  const forms = MODES.flatMap((mode) =>
    instructionTable
      .filter((entry) => testable(entry, mode) && !faultsOnly(entry) && host.has(entry))
      .flatMap((entry) => Array.from({ length: CASES_EACH }, () => ({ entry, mode }))),
  );
  const cases = new Uint8Array(forms.length * CASE.size);
  const others = new Uint8Array(cases.length);
  const input = new DataView(cases.buffer);
  forms.forEach(({ entry, mode }, i) => {
    const at = i * CASE.size;
    maker.make(entry, mode, random, input, at);
    const flags = input.getUint32(at + CASE.rflags, true) & ~TF_AND_AC;
    input.setUint32(at + CASE.rflags, flags, true);
  });
  others.set(cases);
  const flipped = new DataView(others.buffer);
  forms.forEach((_, i) => {
    const at = i * CASE.size + CASE.rflags;
    const reads = flagBits(maker.entryOfCase(cases, i)?.options.reads);
    flipped.setUint32(at, input.getUint32(at, true) ^ (ARITHMETIC & ~reads), true);
  });
  const runner = new SoftRunner();
  const first = runner.run(cases, forms.length);
  const second = runner.run(others, forms.length);

  const wrong = new Set<string>();
  const [out, otherOut] = [new DataView(first.buffer), new DataView(second.buffer)];
  forms.forEach((_, i) => {
    const entry = maker.entryOfCase(cases, i);
    if (entry === null) return;
    const [from, to] = [i * CASE.size + CASE.rflags, i * ANSWER.size + ANSWER.rflags];
    const before = input.getUint32(from, true);
    const after = out.getUint32(to, true);
    const otherBefore = flipped.getUint32(from, true);
    const otherAfter = otherOut.getUint32(to, true);
    const { writes, undefined: free } = entry.options;
    const changed = ((before ^ after) | (otherBefore ^ otherAfter)) & ARITHMETIC;
    const undeclared = changed & ~flagBits(writes) & ~flagBits(free);
    if (undeclared !== 0) wrong.add(`${name(entry)} changes ${undeclared.toString(16)}`);
    // Written alike by both, or (a shift by 0) left alone by both.
    const left = ~((before ^ after) | (otherBefore ^ otherAfter));
    const depends = (after ^ otherAfter) & flagBits(writes) & ~flagBits(free) & ~left;
    if (depends !== 0) wrong.add(`${name(entry)} reads flags for ${depends.toString(16)}`);
    out.setUint32(to, 0, true);
    otherOut.setUint32(to, 0, true);
    const at = i * ANSWER.size;
    const same = Buffer.compare(
      first.subarray(at, at + ANSWER.size),
      second.subarray(at, at + ANSWER.size),
    );
    if (same !== 0) wrong.add(`${name(entry)} depends on flags that it does not read`);
  });
  assert.deepEqual([...wrong], []);
});

function name({ pattern, mnemonic }: Entry): string {
  return `${pattern} ${mnemonic}`;
}
