/**
 * The soft engine against the host CPU: cases made from the instruction table and of random bytes, in
 * each kind of user code. `CHASSIS_FUZZ_SEED` repeats a run, `CHASSIS_CASES` asks for another number of
 * cases, `CHASSIS_ONLY` (family:mnemonic:pattern, a regular expression) for some.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { TestContext } from 'node:test';
import { instructionTable } from '#src/cpu/isa/index.js';
import type { Entry } from '#src/cpu/isa/table.js';
import { CASE, MODES, type Mode } from './case-format.js';
import { CaseMaker, testable } from './cases.js';
import { describe, difference } from './compare.js';
import { Host, hostCpu } from './host.js';
import { askOracle, buildOracle } from './oracle.js';
import { Random } from './random.js';
import { SoftRunner } from './soft-runner.js';

const BATCH = 50_000;
const SHOWN = 20;
/** Of random bytes, out of all cases: one in so many. */
const RANDOM_BYTES = 12;

interface Form {
  readonly entry: Entry;
  readonly mode: Mode;
}

interface Disagreement {
  readonly i: number;
  readonly name: string;
  readonly text: string;
}

/** Compares so many cases; `jit`: with their code translated. */
export async function compareWithHost(t: TestContext, usual: number, jit: boolean): Promise<void> {
  const oracle = buildOracle();
  if ('missing' in oracle) {
    t.skip(oracle.missing);
    return;
  }
  t.after(() => rmSync(dirname(oracle.path), { recursive: true }));
  const { flags, intel } = hostCpu();
  if (!intel) {
    t.skip('the host CPU is not of Intel, whose choices the soft engine makes');
    return;
  }
  const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const wanted = Number(process.env.CHASSIS_CASES ?? usual);
  const only = new RegExp(process.env.CHASSIS_ONLY ?? '');
  t.diagnostic(`CHASSIS_FUZZ_SEED=${seed}`);
  const host = new Host(flags);
  const modes = MODES.filter((mode) => mode !== 2 || oracle.has16);
  const named = instructionTable.filter((entry) =>
    only.test(`${entry.family}:${entry.mnemonic}:${entry.pattern}`),
  );
  const forms: Form[] = modes.flatMap((mode) =>
    named
      .filter((entry) => testable(entry, mode) && host.has(entry))
      .map((entry) => ({ entry, mode })),
  );
  const random = new Random(seed);
  const maker = new CaseMaker(instructionTable, host);
  const runner = new SoftRunner(jit);
  const bad = new Map<string, string[]>();
  let differences = 0;
  let passing = 0;
  let next = 0;
  let done = 0;
  const disagreements = async (cases: Uint8Array): Promise<Disagreement[]> => {
    const count = cases.length / CASE.size;
    const found: Disagreement[] = [];
    if (count === 0) return found;
    const answers = askOracle(oracle.path, cases);
    const mine = runner.run(cases, count);
    const theirs = await answers;
    for (let i = 0; i < count; i++) {
      const entry = maker.entryOfCase(cases, i);
      const text = difference(entry, cases, mine, theirs, i);
      if (!text) continue;
      const name = entry ? `${entry.mnemonic} (${entry.pattern})` : 'no instruction';
      found.push({ i, name, text: `${text}\n    ${describe(cases, i)}` });
    }
    return found;
  };
  while (done < wanted) {
    const count = Math.min(BATCH, wanted - done);
    const cases = new Uint8Array(count * CASE.size);
    const view = new DataView(cases.buffer);
    for (let i = 0; i < count; i++) {
      const bytes = i % RANDOM_BYTES === 0 && !process.env.CHASSIS_ONLY;
      const { entry, mode } = forms[next++ % forms.length]!;
      maker.make(bytes ? null : entry, mode, random, view, i * CASE.size);
    }
    const suspects = (await disagreements(cases)).map(({ i }) =>
      cases.subarray(i * CASE.size, (i + 1) * CASE.size),
    );
    // Hosts are disturbed at times, by what runs them or by another case: asked again, they agree.
    const again = await disagreements(Buffer.concat(suspects));
    passing += suspects.length - again.length;
    differences += again.length;
    for (const { name, text } of again) {
      const list = bad.get(name) ?? [];
      if (list.push(text) === 1) bad.set(name, list);
    }
    done += count;
  }
  t.diagnostic(`${done} cases of ${forms.length} encodings, ${differences} differences`);
  if (jit) t.diagnostic(`${runner.translated} runs of cases began in translated code`);
  if (passing > 0) t.diagnostic(`${passing} more did not come again`);
  const shown = [...bad].slice(0, SHOWN).map(([name, [first, ...more]]) => {
    return `${name}, ${more.length + 1} times: ${first}`;
  });
  assert.equal(differences, 0, `in ${bad.size} encodings:\n${shown.join('\n')}`);
}
