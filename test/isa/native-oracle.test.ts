/**
 * The soft engine against the host CPU: over a million cases a run, made from the instruction table,
 * in every mode that user code has. `CHASSIS_SEED` repeats a run, `CHASSIS_CASES` asks for more.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import test from 'node:test';
import { instructionTable } from '#src/cpu/isa/index.js';
import { CASE } from './case-format.js';
import { makeCase, testable } from './cases.js';
import { describe, difference } from './compare.js';
import { askOracle, buildOracle } from './oracle.js';
import { Random } from './random.js';
import { SoftRunner } from './soft-runner.js';

const BATCH = 50_000;
const SHOWN = 12;

test('the soft engine does what the host CPU does', async (t) => {
  const oracle = buildOracle();
  if ('missing' in oracle) {
    t.skip(oracle.missing);
    return;
  }
  t.after(() => rmSync(dirname(oracle.path), { recursive: true }));
  const seed = Number(process.env.CHASSIS_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const wanted = Number(process.env.CHASSIS_CASES ?? 1_050_000);
  t.diagnostic(`CHASSIS_SEED=${seed}`);
  const random = new Random(seed);
  const forms = ([0, 1] as const).flatMap((mode) =>
    instructionTable.filter((entry) => testable(entry, mode)).map((entry) => ({ entry, mode })),
  );
  const runner = new SoftRunner(instructionTable);
  const bad: string[] = [];
  let differences = 0;
  let done = 0;
  const make = (): Uint8Array => {
    const cases = new Uint8Array(BATCH * CASE.size);
    const view = new DataView(cases.buffer);
    for (let i = 0; i < BATCH; i++) {
      const { entry, mode } = forms[(done + i) % forms.length]!;
      makeCase(entry, random, view, i * CASE.size, mode);
    }
    return cases;
  };
  while (done < wanted) {
    const cases = make();
    const answers = askOracle(oracle.path, cases);
    const mine = runner.run(cases, BATCH);
    const host = await answers;
    for (let i = 0; i < BATCH; i++) {
      const { entry } = forms[(done + i) % forms.length]!;
      const found = difference(entry, mine, host, i);
      if (!found) continue;
      differences++;
      const text = `${entry.mnemonic} (${entry.pattern}): ${found}\n    ${describe(cases, i)}`;
      if (bad.length < SHOWN) bad.push(text);
    }
    done += BATCH;
  }
  t.diagnostic(`${done} cases of ${forms.length} encodings, ${differences} differences`);
  assert.equal(differences, 0, bad.join('\n'));
});
