import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { loadSoftCode } from '#src/backend/node/soft-code.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import { createMachine } from '#src/machine/create-machine.js';
import type { Machine } from '#src/machine/machine.js';
import { loadMachine } from '#src/machine/snapshot.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';
import { testHost } from '../machine/rig.js';

/** Runs until the serial port has printed `text`, then stops the machine. */
async function runUntil(machine: Machine, serial: { text: string }, text: string): Promise<void> {
  const look = setInterval(() => {
    if (serial.text.includes(text)) machine.stop();
  }, 20);
  const outcome = await machine.run();
  clearInterval(look);
  assert.equal(outcome.kind, 'stopped');
}

test('a Linux that was saved in the middle of its boot boots on, and saves to the same bytes', {
  ...needsGuests('vmlinuz-cloud-amd64', 'initramfs-amd64.cpio'),
  timeout: 300_000,
}, async () => {
  const engine = new SoftEngine(await loadSoftCode());
  const file = (name: string) => ({ name, data: new Uint8Array(readFileSync(guestFile(name))) });
  const before = testHost(engine);
  const machine = createMachine(
    {
      machine: 'pc',
      cpus: 1,
      memoryBytes: 128 << 20,
      kernel: file('vmlinuz-cloud-amd64'),
      initrd: file('initramfs-amd64.cpio'),
      append: 'console=ttyS0',
      devices: [],
      trace: [],
    },
    before.host,
  );
  await runUntil(machine, before.serial, 'Calibrating');
  const saved = machine.save();

  const after = testHost(engine);
  const copy = loadMachine({ name: 'linux.snap', data: saved }, after.host);
  assert.ok(Buffer.compare(copy.save(), saved) === 0, 'saved again at once');
  await runUntil(copy, after.serial, '/root # ');
  after.serial.type('poweroff -f\n');
  assert.equal((await copy.run()).kind, 'powered-off');
  assert.doesNotMatch(after.serial.text, /Oops|BUG:|Call Trace|soft lockup/);
});
