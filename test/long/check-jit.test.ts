import assert from 'node:assert/strict';
import test from 'node:test';
import { ChassisProcess } from '../cli/chassis.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';

const [kernel, initrd] = ['vmlinuz-cloud-amd64', 'initramfs-amd64.cpio'] as const;

test('Linux boots to its shell with all translated code checked against the interpreter', {
  ...needsGuests(kernel, initrd),
  timeout: 900_000,
}, async () => {
  // The kernel's tests of its own cryptography alone would take longer than all else.
  const guest = new ChassisProcess([
    ...['run', '--engine', 'soft', '--check-jit', '--memory', '256M'],
    ...['--append', 'console=ttyS0 cryptomgr.notests'],
    ...['--kernel', guestFile(kernel), '--initrd', guestFile(initrd)],
  ]);
  await guest.printed('/root # ');
  const from = guest.out.length;
  guest.type('echo $((6 * 7)); poweroff -f\n');
  await guest.printed('42', from);
  const { status, err } = await guest.ended;
  assert.equal(err, '');
  assert.equal(status, 0);
});
