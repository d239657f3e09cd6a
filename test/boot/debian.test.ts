import assert from 'node:assert/strict';
import test from 'node:test';
import { ChassisProcess } from '../cli/chassis.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';

/** A generous limit: a boot takes some ten seconds on an idle machine. */
const timeout = 300_000;

const prompt = '/root # ';

/** Boots to the shell; `ask` types a command and resolves to what it printed. */
async function boot(kernel: string, initrd: string) {
  const guest = new ChassisProcess([
    ...['run', '--memory', '256M', '--append', 'console=ttyS0'],
    ...['--kernel', guestFile(kernel), '--initrd', guestFile(initrd)],
  ]);
  await guest.printed(prompt);
  return {
    guest,
    async ask(command: string): Promise<string> {
      const from = guest.out.length;
      guest.type(`${command}; echo "done"-\n`);
      await guest.printed('done-', from);
      return guest.out.slice(from);
    },
  };
}

const amd64 = ['vmlinuz-cloud-amd64', 'initramfs-amd64.cpio'] as const;

test('Debian’s 64-bit kernel boots to a shell that answers, and poweroff ends with 0', {
  ...needsGuests(...amd64),
  timeout,
}, async () => {
  const { guest, ask } = await boot(...amd64);
  assert.match(await ask('uname -m'), /\bx86_64\r?\n/);
  assert.match(await ask('cat /proc/cpuinfo'), /model name\s*: \S+/);
  assert.match(await ask('echo $((6 * 7)) | tr 2 3'), /\b43\r?\n/, 'pipes and processes');
  assert.doesNotMatch(await ask('dmesg'), /Oops|BUG:|Call Trace|soft lockup|Unknown symbol/);
  guest.type('poweroff -f\n');
  assert.equal((await guest.ended).status, 0);
});

const i386 = ['vmlinuz-686', 'initramfs-i386.cpio'] as const;

test('Debian’s 32-bit kernel boots to a shell with a 32-bit busybox', {
  ...needsGuests(...i386),
  timeout,
}, async () => {
  const { guest, ask } = await boot(...i386);
  assert.match(await ask('uname -m'), /\bi686\r?\n/);
  guest.type('poweroff -f\n');
  assert.equal((await guest.ended).status, 0);
});
