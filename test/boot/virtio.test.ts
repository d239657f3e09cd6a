import assert from 'node:assert/strict';
import test from 'node:test';
import { MemoryChar } from '#src/backend/char/char.js';
import { MemoryDisk } from '#src/backend/disk/memory-disk.js';
import { loadMachine } from '#src/machine/snapshot.js';
import { VirtioBalloon } from '#src/virtio/balloon/balloon.js';
import type { NetGuest, NetLink } from '#src/virtio/net/net.js';
import { testHost } from '../machine/rig.js';
import { boot, engine, options, use } from './virtio-guest.js';

/** A host at 10.0.2.2 that answers ARP and ping. */
class PingHost implements NetLink {
  readonly offloads = true;
  pings = 0;
  private guest: NetGuest | undefined;

  connect(guest: NetGuest): void {
    this.guest = guest;
  }

  resume(): void {}

  send(frame: Uint8Array): void {
    const type = frame[12]! * 256 + frame[13]!;
    const answer = frame.slice();
    answer.copyWithin(0, 6, 12);
    answer.set([2, 0, 0, 0, 0, 2], 6);
    if (type === 0x0806 && frame[21] === 1 && frame[41] === 2) {
      answer[21] = 2;
      answer.set([2, 0, 0, 0, 0, 2, 10, 0, 2, 2], 22);
      answer.set(frame.subarray(22, 32), 32);
    } else if (type === 0x0800 && frame[23] === 1 && frame[34] === 8) {
      this.pings++;
      answer.copyWithin(26, 30, 34);
      answer.set(frame.subarray(26, 30), 30);
      // From request to answer takes 8 off the first byte, which the checksum gets.
      const sum = frame[36]! + 8;
      answer[34] = 0;
      answer[36] = sum & 0xff;
      answer[37] = frame[37]! + (sum >> 8);
    } else return;
    this.guest?.receive(answer);
  }
}

test(
  'Linux drives disks of both rings and transports, network card, console and entropy device',
  options,
  async (t) => {
    const disk = new MemoryDisk(64 << 20);
    const packed = new MemoryDisk(64 << 20);
    const onMmio = new MemoryDisk(32 << 20);
    const link = new PingHost();
    const [console, channel] = [new MemoryChar(), new MemoryChar()];
    const { ask, end } = await boot(
      t,
      [
        {
          name: 'virtio-blk',
          options: { disk: 'a', serial: 'a-disk', queues: '2', ring: 'split' },
        },
        { name: 'virtio-blk', options: { disk: 'b', ring: 'packed', block: '4096' } },
        { name: 'virtio-blk', options: { disk: 'c', transport: 'mmio' } },
        { name: 'virtio-net', options: { net: 'ping', mtu: '1400' } },
        { name: 'virtio-console', options: { ports: 'org.chassis.test' } },
        { name: 'virtio-rng', options: {} },
      ],
      { disks: [disk, packed, onMmio], nets: [link], ports: [console, channel] },
    );
    assert.match(await ask('cat /sys/block/vda/size'), /\b131072\b/);
    assert.match(await ask('cat /sys/block/vda/serial'), /a-disk/);
    assert.match(await ask('cat /sys/block/vd?/queue/physical_block_size'), /4096\s+4096\s+4096/);
    assert.match(await ask('cat /proc/interrupts'), /PCI-MSI.*virtio0-req\.0/);
    // Bit 34 of the features that driver and device agreed on.
    assert.match(await ask('cut -c35 /sys/block/vd?/device/features'), /\n0\s+1\s+1\s/);
    assert.match(await ask('cat /proc/interrupts'), /IO-APIC +16-fasteoi +virtio\d/);
    await ask('dd if=/dev/urandom of=/tmp/a bs=256k count=16');
    for (const name of ['vda', 'vdb', 'vdc']) {
      await ask(`dd if=/tmp/a of=/dev/${name} bs=256k seek=8 conv=fsync`);
      await ask('echo 3 > /proc/sys/vm/drop_caches');
      const compare = `dd if=/dev/${name} bs=256k skip=8 count=16 | cmp - /tmp/a && echo equal`;
      assert.match(await ask(compare), /\nequal/);
    }
    const [one, two] = [new Uint8Array(4 << 20), new Uint8Array(4 << 20)];
    await disk.read(2 << 20, one);
    await packed.read(2 << 20, two);
    assert.deepEqual(one, two);
    await disk.resize(128 << 20);
    assert.match(await ask('sleep 0.2; cat /sys/block/vda/size'), /\b262144\b/);

    assert.match(await ask('cat /sys/class/misc/hw_random/rng_current'), /virtio_rng/);
    assert.match(await ask('dd if=/dev/hwrng bs=64 count=1 | wc -c'), /\b64\b/);

    assert.match(await ask('ifconfig eth0 10.0.2.15 && cat /sys/class/net/eth0/mtu'), /\b1400\b/);
    assert.match(
      await ask('ping -c 3 -i 0.1 -s 1000 10.0.2.2'),
      /3 packets received, 0% packet loss/,
    );
    assert.equal(link.pings, 3);

    await ask('echo to-the-host > /dev/hvc0; echo out | tee /dev/vport*p1');
    assert.match(console.text, /to-the-host/);
    assert.match(channel.text, /out/);
    channel.type('in\n');
    assert.match(await ask('cat /sys/class/virtio-ports/vport*p1/name'), /org\.chassis\.test/);
    assert.match(await ask('head -n 1 /dev/vport*p1'), /\nin\b/);

    // The same again as a driver of before VIRTIO 1.0.
    const drivers = 'virtio_blk virtio_rng virtio_console virtio_net virtio_balloon virtio_pci';
    await ask(`for m in ${drivers}; do rmmod $m; done`);
    await ask('insmod /modules/virtio_pci.ko force_legacy=1; insmod /modules/virtio_blk.ko');
    assert.match(await ask('cat /proc/ioports'), /virtio-pci-legacy/);
    // The one over MMIO comes first now.
    assert.match(await ask('cut -c33 /sys/block/vd?/device/features'), /\n1\s+0\s+0\s/);
    await ask('dd if=/tmp/a of=/dev/vdb bs=256k seek=32 oflag=direct');
    const legacy =
      'dd if=/dev/vdb bs=256k skip=32 count=16 iflag=direct | cmp - /tmp/a && echo equal';
    assert.match(await ask(legacy), /\nequal/);
    await end();
  },
);

test(
  'a Linux that writes to a disk is saved, and writes on where it was loaded',
  options,
  async (t) => {
    const disk = new MemoryDisk(32 << 20);
    let released = 0;
    const devices = [
      { name: 'virtio-blk', options: { disk: 'a' } },
      { name: 'virtio-balloon', options: {} },
    ];
    const releaseMemory = (pages: Uint8Array) => {
      pages.fill(0);
      released += pages.length;
    };
    const round = 'rm -f /tmp/rounds; until [ -s /tmp/rounds ]; do sleep 0.1; done';
    const before = await boot(t, devices, { disks: [disk], releaseMemory });
    await before.ask('dd if=/dev/urandom of=/tmp/r bs=64k count=32');
    const once =
      'dd if=/tmp/r of=/dev/vda bs=64k oflag=direct; ' +
      'dd if=/dev/vda bs=64k count=32 iflag=direct | cmp - /tmp/r || touch /tmp/differs; ' +
      'echo >> /tmp/rounds';
    await before.ask(`sh -c 'while :; do ${once}; done' 2> /dev/null & true`);
    await before.ask(round);
    await before.stop();
    const saved = before.machine.save();
    const { host, serial } = testHost(engine);
    const loaded = loadMachine(
      { name: 'saved', data: saved },
      { ...host, disks: [disk], releaseMemory },
    );
    const after = use(t, loaded, serial);
    await after.ask(`${round}; ${round}; kill %1`);
    assert.match(await after.ask('ls /tmp/differs'), /No such file/);

    const balloon = loaded.virtio[1];
    assert.ok(balloon instanceof VirtioBalloon);
    const free = async () =>
      Number(/MemFree:\s+(\d+)/.exec(await after.ask('cat /proc/meminfo'))?.[1]);
    const [freeBefore, releasedBefore] = [await free(), released];
    balloon.setTarget(32 << 20);
    await after.ask('sleep 1');
    assert.equal(balloon.actualBytes, 32 << 20);
    assert.ok(released - releasedBefore >= 32 << 20);
    assert.ok(freeBefore - (await free()) > 24 << 10);
    assert.ok(balloon.askStatistics());
    await after.ask('sleep 0.2');
    assert.ok((balloon.statistics.totalBytes ?? 0) > 100 << 20);
    await after.end();
  },
);
