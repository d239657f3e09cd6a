import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { MemoryDisk } from '#src/backend/disk/memory-disk.js';
import type { DeviceConfig } from '#src/machine/config.js';
import { buildMachine, createMachine } from '#src/machine/create-machine.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';
import { FakeEngine } from './fake-engine.js';
import { config, testHost } from './rig.js';

const device = (name: string, options: Record<string, string> = {}): DeviceConfig => ({
  name: `virtio-${name}`,
  options,
});
const engine = () => new FakeEngine(() => ({ kind: 'hlt' }));
const build = (...devices: DeviceConfig[]) => {
  const disks = devices.map(() => new MemoryDisk(512));
  return buildMachine(config({ devices }), { ...testHost(engine()).host, disks });
};

test('virtio devices have PCI slots from 3 on, or places of their own', () => {
  const { pci, devices } = build(
    device('blk', { disk: 'a' }),
    device('rng', { transport: 'mmio' }),
    device('balloon'),
    device('console', { transport: 'mmio', ports: 'one:two' }),
  ).inspect();
  const slots = pci.filter(({ vendorId }) => vendorId === 0x1af4);
  assert.deepEqual(
    slots.map(({ address, name, deviceId }) => [address, name, deviceId]),
    [
      ['00:03.0', 'virtio-blk0', 0x1001],
      ['00:04.0', 'virtio-balloon2', 0x1002],
    ],
  );
  const places = devices.flatMap(({ name, regions }) =>
    regions.filter((region) => region.name === 'mmio').map(({ base }) => [name, base]),
  );
  assert.deepEqual(places, [
    ['virtio-rng1', 0xfed5_0000],
    ['virtio-console3', 0xfed5_0200],
  ]);
});

test('options that a virtio device does not have, and too many devices, are refused by name', () => {
  const refused = (wanted: RegExp, ...devices: DeviceConfig[]) =>
    assert.throws(() => build(...devices), { code: 'bad-config', message: wanted });
  refused(/found queues=17, wanted .*queues=1 to 16/, device('blk', { disk: 'a', queues: '17' }));
  refused(/found colour=red/, device('rng', { colour: 'red' }));
  refused(/found no disk, wanted --disk/, device('blk'));
  refused(/mac=03:0/, device('net', { mac: '03:00:00:00:00:01' }));
  refused(/--net: found nothing open behind it/, device('net'));
  refused(/30 virtio devices on PCI, wanted up to 29/, ...Array(30).fill(device('rng')));
  const onMmio = device('rng', { transport: 'mmio' });
  refused(/9 virtio devices on MMIO, wanted up to 8/, ...Array(9).fill(onMmio));
});

test('a kernel that does without ACPI is told of MMIO devices by its command line', {
  ...needsGuests('vmlinuz-cloud-amd64'),
}, () => {
  const told = (append: string) => {
    const fake = Object.assign(engine(), { maxMemoryBytes: 128 << 20 });
    const data = new Uint8Array(readFileSync(guestFile('vmlinuz-cloud-amd64')));
    const devices = Array(2).fill(device('rng', { transport: 'mmio' }));
    const { firmware: _, ...rest } = config({ devices, memoryBytes: 128 << 20, append });
    createMachine({ ...rest, kernel: { name: 'vmlinuz', data } }, testHost(fake).host);
    return Buffer.from(fake.vm.memory.bytes).includes(
      `${append} virtio_mmio.device=512@0xfed50000:16 virtio_mmio.device=512@0xfed50200:17\0`,
    );
  };
  assert.equal(told('quiet acpi=off'), true);
  assert.equal(told('quiet'), false);
});
