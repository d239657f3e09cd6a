import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { MemoryChar } from '#src/backend/char/char.js';
import { loadSoftCode } from '#src/backend/node/soft-code.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import type { DeviceConfig, MachineConfig } from '#src/machine/config.js';
import { createMachine } from '#src/machine/create-machine.js';
import type { HostServices, Machine } from '#src/machine/machine.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';
import { testHost } from '../machine/rig.js';

const files = ['vmlinuz-cloud-amd64', 'initramfs-virtio.cpio'] as const;
export const options = { ...needsGuests(...files), timeout: 300_000 };
const file = (name: string) => ({ name, data: new Uint8Array(readFileSync(guestFile(name))) });
export const engine = new SoftEngine(await loadSoftCode());

const config = (devices: DeviceConfig[]): MachineConfig => ({
  machine: 'pc',
  cpus: 1,
  memoryBytes: 192 << 20,
  kernel: file(files[0]),
  initrd: file(files[1]),
  append: 'console=ttyS0 quiet cryptomgr.notests',
  devices,
  trace: [],
});

/** A machine that runs, and a user at its serial port. */
export function use(t: TestContext, machine: Machine, serial: MemoryChar) {
  const ended = machine.run();
  t.after(() => machine.stop());
  const printed = async (text: string, from = 0) => {
    while (!serial.text.includes(text, from)) {
      await new Promise((resolve) => setTimeout(resolve, 10));

      const state = await Promise.race([ended, Promise.resolve(undefined)]);
      if (state !== undefined) assert.fail(`ended: ${state.kind}\n${serial.text.slice(-2000)}`);
    }
  };
  return {
    machine,
    printed,
    async ask(command: string): Promise<string> {
      const from = serial.text.length;
      serial.type(`${command}; echo "done"-\n`);
      await printed('done-\r\n', from);
      return serial.text.slice(from);
    },
    async end(): Promise<void> {
      serial.type('poweroff -f\n');
      assert.equal((await ended).kind, 'powered-off');
      assert.doesNotMatch(serial.text, /Oops|BUG:|Call Trace|soft lockup|I\/O error/);
    },
    async stop(): Promise<void> {
      machine.stop();
      assert.equal((await ended).kind, 'stopped');
    },
  };
}

/** Debian's kernel with its virtio drivers on a machine with these devices, up to the shell. */
export async function boot(t: TestContext, devices: DeviceConfig[], more: Partial<HostServices>) {
  const { host, serial } = testHost(engine);
  const guest = use(t, createMachine(config(devices), { ...host, ...more }), serial);
  await guest.printed('/root # ');
  return guest;
}
