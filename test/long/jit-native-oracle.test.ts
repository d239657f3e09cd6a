import test from 'node:test';
import { compareWithHost } from '../isa/compare-with-host.js';

test('translated code does what the host CPU does, a million times', (t) =>
  compareWithHost(t, 1_050_000, true));
