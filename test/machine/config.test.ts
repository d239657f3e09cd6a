import assert from 'node:assert/strict';
import test from 'node:test';
import type { MachineConfig } from '#src/machine/config.js';
import { createMachine } from '#src/machine/create-machine.js';
import { FakeEngine } from './fake-engine.js';
import { config, firmware, testHost } from './rig.js';

const create = (more: Partial<MachineConfig>) =>
  createMachine(config(more), testHost(new FakeEngine(() => ({ kind: 'hlt' }))).host);

const file = (bytes: number) => ({ name: 'f.bin', data: new Uint8Array(bytes) });

const cases: [string, Partial<MachineConfig>, RegExp][] = [
  ['no RAM', { memoryBytes: 0 }, /--memory.*0 bytes.*2 MiB/],
  ['1 MiB of RAM', { memoryBytes: 1 << 20 }, /--memory.*1 MiB.*2 MiB/],
  ['RAM that is not of pages', { memoryBytes: (4 << 20) + 1 }, /--memory.*4194305.*4 KiB/],
  ['more RAM than the engine has', { memoryBytes: 2 ** 40 }, /--memory.*1 TiB.*soft.*64 MiB/],
  ['two CPUs', { cpus: 2 }, /--cpus: found 2.*not there yet/],
  ['no CPU', { cpus: 0 }, /--cpus: found 0/],
  ['firmware of a wrong size', { firmware: file(1000) }, /f\.bin.*1000 bytes.*64 KiB/],
  ['an unknown device', { devices: [{ name: 'gpu', options: {} }] }, /--device: found "gpu"/],
  [
    'a bad port',
    { devices: [{ name: 'isa-debug-exit', options: { iobase: 'x' } }] },
    /--device isa-debug-exit: found iobase=x/,
  ],
  ['an initrd without a kernel', { initrd: file(5) }, /--initrd/],
  ['a kernel that is none', { kernel: file(5000) }, /f\.bin/],
];

for (const [what, more, pattern] of cases) {
  test(`${what} is one clear sentence`, () => {
    assert.throws(() => create(more), { message: pattern });
  });
}

test('neither kernel nor firmware is an error', () => {
  const { firmware: _, ...rest } = config();
  const { host } = testHost(new FakeEngine(() => ({ kind: 'hlt' })));
  assert.throws(() => createMachine(rest, host), /--kernel, --firmware/);
  assert.equal(firmware.data.length, 0x2_0000);
});
