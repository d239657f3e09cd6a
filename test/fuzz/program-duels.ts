import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { softEngine } from '../engine/jit.js';
import { duel, narrowed, type OpenPair } from './program-duel.js';
import { makeProgram, ProgramVm } from './program-vm.js';

/** Instructions of one program, at most. */
const MOST = 60_000;
/** Programs that one VM runs, so that what it translated does not change what comes after. */
const PROGRAMS_PER_VM = 20;

/** Runs of a block before it is translated. */
const THRESHOLDS = [1, 3, 20] as const;

/** Compares programs for so many seconds; at a difference, says how to see it again. */
export function duelFor(t: TestContext, seconds: number): void {
  const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() & 0xfff_ffff);
  const cases = Number(process.env.CHASSIS_FUZZ_CASES ?? Number.POSITIVE_INFINITY);
  t.diagnostic(`seed ${seed} (CHASSIS_FUZZ_SEED repeats it, CHASSIS_FUZZ_CASES=1 only the first)`);
  const until = performance.now() + seconds * 1000;
  const ends = new Map<string, number>();
  let vms: [ProgramVm, ProgramVm] | undefined;
  let [n, retired, stops, events, translated] = [0, 0, 0, 0, 0];
  for (; n < cases && performance.now() < until; n++) {
    const threshold = THRESHOLDS[(seed + n) % THRESHOLDS.length]!;
    // Now and then there is room for a few regions only.
    const codeBytes = ((seed + n) & 6) === 0 ? 20_000 : 1 << 20;
    // LOCK and stores to code are translated otherwise where there are other vCPUs.
    const vcpus = 1 + ((seed + n) & 1);
    const open: OpenPair = () => [
      new ProgramVm(softEngine('on', threshold, codeBytes), vcpus),
      new ProgramVm(softEngine('off'), vcpus),
    ];
    if (n % PROGRAMS_PER_VM === 0 || vms === undefined) vms = open();
    const program = makeProgram(seed + n);
    const { mode } = program;
    const before = vms[0].translated;
    const result = duel(program, ...vms, MOST);
    translated += vms[0].translated - before;
    if (result.difference !== null) {
      const { difference } = narrowed(program, result, open);
      const where = difference === null ? ', not on a new VM' : '';
      const text = difference ?? result.difference;
      assert.fail(
        `seed ${seed + n} (${mode.name}, translated after ${threshold}${where}): ${text}`,
      );
    }
    retired += result.retired;
    stops += result.stops;
    events += result.events;
    const end = `${mode.name}: ${result.end}`;
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  const list = [...ends].sort().map(([what, count]) => `${what} ${count}`);
  t.diagnostic(`${n} programs, ${retired} instructions, ${stops} stops, ${events} events`);
  t.diagnostic(`${translated} instructions in translated code`);
  t.diagnostic(list.join(', '));
}
