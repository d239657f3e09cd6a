import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { ChassisProcess } from '../cli/chassis.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';

const timeout = 300_000;

/** Runs with the debug console in a file, until that file has `text`. Answers what is in it. */
async function logUntil(text: string, ...args: string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-boot-'));
  const log = join(folder, 'debugcon.log');
  const guest = new ChassisProcess(['run', '--debugcon', log, ...args]);
  let ended = false;
  guest.ended.then(() => {
    ended = true;
  });
  try {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const found = existsSync(log) ? readFileSync(log, 'latin1') : '';
      if (found.includes(text)) return found;
      assert.ok(!ended, `ended before "${text}":\n${found.slice(-1500)}\n${guest.err}`);
    }
  } finally {
    guest.signal('SIGTERM');
    await guest.ended;
    rmSync(folder, { recursive: true });
  }
}

test('SeaBIOS runs from POST to its attempt to boot', {
  ...needsGuests('bios-256k.bin'),
  timeout,
}, async () => {
  const log = await logUntil('No bootable device', '--firmware', guestFile('bios-256k.bin'));
  assert.match(log, /^SeaBIOS \(version /m);
  assert.match(log, /e820 map has \d+ items/);
  assert.match(log, /Booting from/);
});

test('SeaBIOS boots a kernel that it gets by fw_cfg', {
  ...needsGuests('bios-256k.bin', 'vmlinuz-cloud-amd64'),
  timeout,
}, async () => {
  const guest = new ChassisProcess([
    ...['run', '--firmware', guestFile('bios-256k.bin'), '--append', 'console=ttyS0'],
    ...['--kernel', guestFile('vmlinuz-cloud-amd64')],
  ]);
  await guest.printed('Linux version 6.1');
  guest.signal('SIGTERM');
  assert.equal((await guest.ended).status, 128 + 15);
});

test('memtest86+ runs its first tests with its screen on the serial console', {
  ...needsGuests('memtest86+x64.bin'),
  timeout,
}, async () => {
  const guest = new ChassisProcess([
    ...['run', '--memory', '32M', '--kernel', guestFile('memtest86+x64.bin')],
    ...['--append', 'console=ttyS0,115200'],
  ]);
  await guest.printed('Memtest86+');
  await guest.printed('[Address test');
  await guest.printed('[Moving inversions');
  guest.signal('SIGTERM');
  await guest.ended;
});
