import assert from 'node:assert/strict';
import test from 'node:test';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import { makeProgram, ProgramVm } from '../fuzz/program-vm.js';
import { softCode } from './jit.js';
import { plantFault } from './planted-fault.js';

const SEED = Number(process.env.CHASSIS_FUZZ_SEED ?? 7);
const checking = (): ProgramVm =>
  new ProgramVm(new SoftEngine(softCode, { jit: 'on', jitThreshold: 2, check: true }));

function runAll(
  programs: number,
  seed: number,
): { translated: number; message: string | undefined } {
  const vm = checking();
  for (let n = 0; n < programs; n++) {
    vm.load(makeProgram(seed + n));
    for (let turns = 0; turns < 40; turns++) {
      const exit = vm.run(700);
      if (exit.kind === 'internal-error')
        return { translated: vm.translated, message: exit.message };
      if (exit.kind !== 'intr') break;
    }
  }
  return { translated: vm.translated, message: undefined };
}

test('checked regions of random programs do what the interpreter does', (t) => {
  t.diagnostic(`seed ${SEED} (CHASSIS_FUZZ_SEED repeats it)`);
  const { translated, message } = runAll(40, SEED);
  assert.equal(message, undefined);
  assert.ok(translated > 1000, `${translated} instructions in translated code`);
});

test('an instruction that is translated wrongly is found and shown', () => {
  const mend = plantFault();
  try {
    const { message } = runAll(40, SEED);
    assert.match(
      message ?? 'nothing was found',
      /^JitDifference: --check-jit: the region at [\da-f]+ /,
    );
    assert.match(message!, /\n\* (stored at|r)[^\n]*\n/, 'what differs is marked');
    assert.match(message!, /\n {2}[\da-f]+ {2}sub /, 'the region is shown');
  } finally {
    mend();
  }
});
