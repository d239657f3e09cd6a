import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { softEngine } from '../engine/jit.js';
import { slowEngine } from '../engine/slow-thread.js';
import { duel, narrowed, type OpenPair } from './program-duel.js';
import { makeProgram, ProgramVm } from './program-vm.js';

/** How programs are run, by turns. */
interface Way {
  /** Runs of a block before it is translated; with the engine's own number, many regions at once. */
  readonly threshold: number;
  /** Instructions of one program, at most. */
  readonly most: number;
  /** Room for translated code. */
  readonly codeBytes: number;
  /** LOCK and stores to code are translated otherwise where there are other vCPUs. */
  readonly vcpus: number;
  /** Translated code comes late, as from another thread. */
  readonly beside?: boolean;
}

const usual: Way = { threshold: 3, most: 60_000, codeBytes: 1 << 20, vcpus: 1 };
const ways: readonly Way[] = [
  usual,
  { ...usual, threshold: 1 },
  { ...usual, threshold: 20 },
  { ...usual, vcpus: 2 },
  { ...usual, threshold: 20, codeBytes: 20_000 },
  { ...usual, threshold: 10, vcpus: 2 },
  { ...usual, threshold: 1500, most: 300_000 },
  { ...usual, beside: true },
  { ...usual, beside: true, threshold: 20, codeBytes: 20_000 },
];
/** Programs that one VM runs, so that what it translated does not change what comes after. */
const PROGRAMS_PER_VM = 20;

/** Compares programs for so many seconds; at a difference, says how to see it again. */
export function duelFor(t: TestContext, seconds: number): void {
  const first = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() & 0xfff_ffff);
  const cases = Number(process.env.CHASSIS_FUZZ_CASES ?? Number.POSITIVE_INFINITY);
  t.diagnostic(`seed ${first} (CHASSIS_FUZZ_SEED repeats it, CHASSIS_FUZZ_CASES=1 only the first)`);
  const until = performance.now() + seconds * 1000;
  const ends = new Map<string, number>();
  const opened = new Map<Way, { vms: [ProgramVm, ProgramVm]; programs: number }>();
  let [n, retired, stops, events, translated] = [0, 0, 0, 0, 0];
  for (; n < cases && performance.now() < until; n++) {
    const seed = first + n;
    const way = ways[seed % ways.length]!;
    const open: OpenPair = () => [
      new ProgramVm(
        way.beside
          ? slowEngine(way.threshold, way.codeBytes)
          : softEngine('on', way.threshold, way.codeBytes),
        way.vcpus,
      ),
      new ProgramVm(softEngine('off'), way.vcpus),
    ];
    let pair = opened.get(way);
    if (pair === undefined || pair.programs++ === PROGRAMS_PER_VM) {
      pair = { vms: open(), programs: 1 };
      opened.set(way, pair);
    }
    const program = makeProgram(seed);
    const before = pair.vms[0].translated;
    const result = duel(program, ...pair.vms, way.most);
    translated += pair.vms[0].translated - before;
    if (result.difference !== null) {
      const { difference } = narrowed(program, result, open);
      const where = difference === null ? ', not on a new VM' : '';
      const how = `${program.mode.name}, ${JSON.stringify(way)}${where}`;
      assert.fail(`seed ${seed} (${how}): ${difference ?? result.difference}`);
    }
    retired += result.retired;
    stops += result.stops;
    events += result.events;
    const end = `${program.mode.name}: ${result.end}`;
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  const list = [...ends].sort().map(([what, count]) => `${what} ${count}`);
  t.diagnostic(`${n} programs, ${retired} instructions, ${stops} stops, ${events} events`);
  t.diagnostic(`${translated} instructions in translated code`);
  t.diagnostic(list.join(', '));
}
