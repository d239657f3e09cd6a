/** The committed answers of a host CPU: to the soft engine always, to this host where it can answer. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import test from 'node:test';
import { instructionTable } from '#src/cpu/isa/index.js';
import { MODES } from './case-format.js';
import { CaseMaker, testable } from './cases.js';
import { describe, difference } from './compare.js';
import { readFixture } from './fixture.js';
import { Host, hostCpu } from './host.js';
import { askOracle, buildOracle } from './oracle.js';
import { SoftRunner } from './soft-runner.js';

const file = new URL('../../../test/isa/fixtures/instructions.gz', import.meta.url);
const { count, cases, answers } = readFixture(readFileSync(file));
const maker = new CaseMaker(instructionTable, new Host([]));

function differences(others: Uint8Array, counts: (i: number) => boolean): string[] {
  const found: string[] = [];
  for (let i = 0; i < count; i++) {
    if (!counts(i)) continue;
    const entry = maker.entryOfCase(cases, i);
    const text = difference(entry, cases, others, answers, i);
    if (text)
      found.push(`${entry?.mnemonic} (${entry?.pattern}): ${text}\n  ${describe(cases, i)}`);
  }
  return found;
}

test('the soft engine gives the committed answers', (t) => {
  const mine = new SoftRunner().run(cases, count);
  t.diagnostic(`${count} cases`);
  const found = differences(mine, () => true);
  assert.equal(found.length, 0, found.slice(0, 10).join('\n'));
});

test('the JIT gives the committed answers', (t) => {
  const runner = new SoftRunner(true);
  const mine = runner.run(cases, count);
  t.diagnostic(`${count} cases, ${runner.translated} of them translated`);
  const found = differences(mine, () => true);
  assert.equal(found.length, 0, found.slice(0, 10).join('\n'));
});

test('every encoding that user code can run has committed answers', () => {
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) seen.add(maker.entryOfCase(cases, i)?.pattern ?? '');
  const missing = instructionTable
    .filter((entry) => MODES.some((mode) => testable(entry, mode)) && !seen.has(entry.pattern))
    .map((entry) => `${entry.pattern} ${entry.mnemonic}`);
  assert.deepEqual(missing, [], 'run tools/gen-isa-fixtures.mjs');
});

test('this host gives the committed answers', async (t) => {
  const oracle = buildOracle();
  if ('missing' in oracle) {
    t.skip(oracle.missing);
    return;
  }
  t.after(() => rmSync(dirname(oracle.path), { recursive: true }));
  const { flags, intel } = hostCpu();
  if (!intel || !oracle.has16) {
    t.skip(intel ? 'no 16-bit code on this kernel' : 'the host CPU is not of Intel');
    return;
  }
  const host = new Host(flags);
  const theirs = await askOracle(oracle.path, cases);
  const found = differences(theirs, (i) => {
    const entry = maker.entryOfCase(cases, i);
    return entry === null || host.has(entry);
  });
  assert.equal(found.length, 0, found.slice(0, 10).join('\n'));
});
