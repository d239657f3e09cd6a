import assert from 'node:assert/strict';
import test from 'node:test';
import { RandomGuest } from './random-guest.js';

const RUNS = 1_000_000;

test('a random-bytes guest runs a million times without an exception escaping', (t) => {
  const first = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() & 0xfff_ffff);
  const runs = Number(process.env.CHASSIS_FUZZ_RUNS ?? RUNS);
  t.diagnostic(`seed ${first} (CHASSIS_FUZZ_SEED repeats it, CHASSIS_FUZZ_RUNS=1 only the first)`);
  const guest = new RandomGuest();
  for (let n = 0; n < runs; n++) {
    try {
      guest.run(first + n);
      if (n % 50_000 === 0) guest.checkSealed();
    } catch (cause) {
      assert.fail(`seed ${first + n}: ${(cause as Error).stack ?? cause}`);
    }
  }
  guest.checkSealed();
  const exits = [...guest.exits].sort().map(([what, count]) => `${what}: ${count}`);
  t.diagnostic(`${guest.retired} instructions; mode and exit: ${exits.join(', ')}`);
  assert.ok(guest.retired > runs, `${guest.retired} instructions in ${runs} runs`);
});
