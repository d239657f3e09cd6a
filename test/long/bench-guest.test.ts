import test from 'node:test';
import { compareWithNative, needsCompiler } from '../guests/bench-guest.js';
import { needsGuests } from '../guests/guest-files.js';

const widths = [
  { bits: 64, kernel: 'vmlinuz-cloud-amd64' },
  { bits: 32, kernel: 'vmlinuz-686' },
] as const;

for (const { bits, kernel } of widths) {
  const missing = [needsGuests(kernel), needsCompiler(bits)].find(({ skip }) => skip);
  test(`the benchmark’s ${bits}-bit kernels, long enough to be hot, have the processor’s checksums`, {
    ...missing,
    timeout: 900_000,
  }, () => {
    compareWithNative(bits, 1);
  });
}
