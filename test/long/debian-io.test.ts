import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { hostTools } from '#src/cli/image/host-tools.js';
import { ChassisProcess, chassis } from '../cli/chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-debian-io-'));
after(() => rmSync(folder, { recursive: true }));
const image = 'debian-bench';
const packages = 'fio,iperf3,ethtool,rng-tools5,pciutils,strace,sqlite3';

/** Every way to carry a disk, each of them a disk of its own that is named by it. */
const modes = ['mmio', 'pci'].flatMap((transport) =>
  ['split', 'packed'].flatMap((ring) =>
    ['1', '2'].map((queues) => ({
      name: `${transport}-${ring}-${queues}`,
      flags: `transport=${transport},ring=${ring},queues=${queues}`,
      queues,
      isPacked: ring === 'packed',
    })),
  ),
);
/** Linux finds the disks that the command line's firmware tells of before those of PCI. */
const rootDisk = '/dev/vde1';

function whatIsMissing(): string | false {
  try {
    hostTools();
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Kernel, initramfs and disk of the image; made where there is none. */
async function findImage(): Promise<{ kernel: string; initrd: string; disk: string }> {
  const found = await chassis('image', 'inspect', image, '--json');
  if (found.status === 0) return JSON.parse(found.out);
  const build = ['image', 'build', 'debian', '--name', image, '--packages', packages];
  const built = await chassis(...build);
  assert.equal(built.status, 0, built.err);
  return JSON.parse((await chassis('image', 'inspect', image, '--json')).out);
}

test('fio, ethtool and rngtest find nothing wrong with the devices of a Debian', {
  skip: whatIsMissing(),
  timeout: 900_000,
}, async (t) => {
  const { kernel, initrd, disk } = await findImage();
  const overlay = join(folder, 'disk.qcow2');
  const spec = `${overlay},format=qcow2`;
  await chassis('disk', 'create', `${spec},backing=${disk},backing-format=qcow2`);
  const scratch = modes.flatMap(({ name, flags }) => {
    const path = join(folder, name);
    writeFileSync(path, '');
    truncateSync(path, 32 << 20);
    return ['--disk', `${path},format=raw,serial=${name},${flags}`];
  });
  const guest = new ChassisProcess([
    ...['run', '--engine', 'soft', '--memory', '512M', '--disk', spec, ...scratch, '--rng'],
    ...['--net', 'user', '--net', 'user,ring=split,transport=mmio'],
    ...['--kernel', kernel, '--initrd', initrd],
    // A processor that is never there has Linux take a second queue.
    ...['--append', `root=${rootDisk} rw console=ttyS0 loglevel=3 possible_cpus=2 init=/bin/sh`],
  ]);
  t.after(() => guest.signal('SIGKILL'));
  await guest.printed('\n# ');
  const ask = async (command: string) => {
    const from = guest.out.length;
    guest.type(`${command}; echo "done"-\n`);
    await guest.printed('done-', from);
    return guest.out.slice(guest.out.indexOf('\n', from), guest.out.lastIndexOf('done-'));
  };
  await ask('stty cols 500; modprobe -a virtio_net virtio_rng; mount -t tmpfs none /tmp; cd /tmp');
  const disks = await ask(
    'for d in /sys/block/vd*; do echo "=$(cat $d/serial)=$d=$(ls $d/mq | wc -l)=$(cut -c29,30,35 $d/device/features)="; done',
  );
  for (const { name, queues, isPacked } of modes) {
    const [, path, found, features] = new RegExp(`=${name}=(\\S+)=(\\d)=(\\d+)=`).exec(disks)!;
    assert.equal(found, queues, `queues of ${name}`);
    assert.equal(features, isPacked ? '111' : '110', `indirect, event index, packed: ${name}`);
    await t.test(`fio --verify=crc32c on ${name}`, async () => {
      const said = await ask(
        `fio --name=x --filename=/dev/${path!.split('/').at(-1)} --ioengine=libaio --direct=1 ` +
          '--iodepth=16 --rw=randwrite --bsrange=512-128k --size=8M ' +
          '--verify=crc32c --verify_fatal=1 --minimal; echo status $?',
      );
      assert.match(said, /status 0\r?\n/);
      // Terse version 3: KiB that were read back, by all that were written.
      assert.match(said, /3;fio-[^;]+;x;0;0;(819[0-9]|[1-9]\d{4,});/);
    });
  }
  await t.test('ethtool -k', async () => {
    for (const name of ['eth0', 'eth1']) {
      const said = await ask(`ethtool -k ${name}`);
      for (const feature of [
        'rx-checksumming',
        'tx-checksumming',
        'scatter-gather',
        'tcp-segmentation-offload',
        'tx-tcp-segmentation',
        'tx-tcp-ecn-segmentation',
        'tx-tcp6-segmentation',
        'rx-gro-hw',
        'tx-gso-robust',
        'rx-vlan-filter',
      ]) {
        assert.match(said, new RegExp(`\\b${feature}: on`), name);
      }
    }
  });
  await t.test('rngtest', async () => {
    assert.match(await ask('cat /sys/class/misc/hw_random/rng_current'), /virtio_rng/);
    const said = await ask('rngtest -c 200 < /dev/hwrng');
    // One block in some 1250 of true random numbers fails FIPS 140-2.
    assert.match(said, /FIPS 140-2 successes: (19[6-9]|200)\r?\n/);
  });
});
