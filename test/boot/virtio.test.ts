import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { MemoryDisk } from '#src/backend/disk/memory-disk.js';
import { loadSoftCode } from '#src/backend/node/soft-code.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import type { DeviceConfig } from '#src/machine/config.js';
import { createMachine } from '#src/machine/create-machine.js';
import type { HostServices, Machine } from '#src/machine/machine.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';
import { testHost } from '../machine/rig.js';

const files = ['vmlinuz-cloud-amd64', 'initramfs-virtio.cpio'] as const;
const options = { ...needsGuests(...files), timeout: 300_000 };
const file = (name: string) => ({ name, data: new Uint8Array(readFileSync(guestFile(name))) });
const engine = new SoftEngine(await loadSoftCode());

/** Debian's kernel with its virtio drivers on a machine with these devices, up to the shell. */
async function boot(t: TestContext, devices: DeviceConfig[], more: Partial<HostServices>) {
  const { host, serial } = testHost(engine);
  const machine: Machine = createMachine(
    {
      machine: 'pc',
      cpus: 1,
      memoryBytes: 192 << 20,
      kernel: file(files[0]),
      initrd: file(files[1]),
      append: 'console=ttyS0 quiet cryptomgr.notests',
      devices,
      trace: [],
    },
    { ...host, ...more },
  );
  const ended = machine.run();
  t.after(() => machine.stop());
  const printed = async (text: string, from = 0) => {
    while (!serial.text.includes(text, from)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      const state = await Promise.race([ended, Promise.resolve(undefined)]);
      if (state !== undefined) assert.fail(`ended: ${state.kind}\n${serial.text.slice(-2000)}`);
    }
  };
  await printed('/root # ');
  return {
    machine,
    serial,
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
  };
}

test(
  'Linux reads and writes a virtio disk, and names it by its serial number',
  options,
  async (t) => {
    const disk = new MemoryDisk(64 << 20);
    const { ask, end } = await boot(
      t,
      [
        { name: 'virtio-blk', options: { disk: 'test', serial: 'a-disk', queues: '2' } },
        { name: 'virtio-rng', options: {} },
      ],
      { disks: [disk] },
    );
    assert.match(await ask('cat /sys/block/vda/size'), /\b131072\b/);
    assert.match(await ask('cat /sys/block/vda/serial'), /a-disk/);
    assert.match(await ask('cat /sys/block/vda/queue/physical_block_size'), /4096/);
    assert.match(await ask('cat /proc/interrupts'), /PCI-MSI.*virtio0-req\.0/);
    await ask('dd if=/dev/urandom of=/tmp/a bs=1M count=24');
    await ask('dd if=/tmp/a of=/dev/vda bs=1M seek=8 conv=fsync');
    await ask('echo 3 > /proc/sys/vm/drop_caches');
    assert.match(
      await ask('dd if=/dev/vda bs=1M skip=8 count=24 | cmp - /tmp/a && echo equal'),
      /\nequal/,
    );
    const some = new Uint8Array(16);
    await disk.read(8 << 20, some);
    assert.ok(
      some.some((byte) => byte !== 0),
      'the host sees it too',
    );
    await disk.resize(128 << 20);
    assert.match(await ask('sleep 0.2; cat /sys/block/vda/size'), /\b262144\b/);
    assert.match(await ask('cat /sys/class/misc/hw_random/rng_current'), /virtio_rng/);
    assert.match(await ask('dd if=/dev/hwrng bs=64 count=1 | wc -c'), /\b64\b/);
    await end();
  },
);
