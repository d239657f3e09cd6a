/** As test/fuzz/jit-programs.test.ts, for longer, from another seed each time. */
import test from 'node:test';
import { duelFor } from '../fuzz/program-duels.js';

const SECONDS = 600;

test('random programs run on the JIT as on the interpreter, for ten minutes', (t) =>
  duelFor(t, SECONDS));
