/**
 * Random programs on the JIT and on the interpreter. `CHASSIS_FUZZ_SEED` repeats a run, and
 * `CHASSIS_FUZZ_CASES=1` only its first program, which is where a failure says it is.
 */
import test from 'node:test';
import { duelFor } from './program-duels.js';

const SECONDS = 10;

test('random programs run on the JIT as on the interpreter', (t) => duelFor(t, SECONDS));
