import test from 'node:test';
import { compareWithNative, needsCompiler } from '../guests/bench-guest.js';
import { needsGuests } from '../guests/guest-files.js';

const missing = [needsGuests('vmlinuz-cloud-amd64'), needsCompiler(64)].find(({ skip }) => skip);

test('the benchmark’s 64-bit kernels have the checksums of this machine’s processor', {
  ...missing,
  timeout: 300_000,
}, () => {
  compareWithNative(64, 0.05);
});
