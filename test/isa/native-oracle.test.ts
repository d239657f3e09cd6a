import test from 'node:test';
import { compareWithHost } from './compare-with-host.js';

test('the soft engine does what the host CPU does', (t) => compareWithHost(t, 1_050_000, false));

test('translated code does what the host CPU does', (t) => compareWithHost(t, 40_000, true));
