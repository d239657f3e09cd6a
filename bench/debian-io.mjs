import { spawn } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../tools/lib/paths.mjs';
import { findImage, overlay } from './debian.mjs';
import { freePort } from './free-port.mjs';
import { startGuest } from './guest-run.mjs';
import { median, spread, table } from './table.mjs';

const chassis = join(root, 'bin/chassis');
const image = 'debian-bench';
const packages = ['fio', 'iperf3', 'ethtool', 'rng-tools5', 'pciutils', 'strace', 'sqlite3'];
/** A shell and nothing else: no service disturbs. */
const append = 'root=/dev/vda1 rw console=ttyS0 loglevel=3 cryptomgr.notests init=/bin/bash';
const prompt = ':/# ';
const memory = 1024;
const scratchBytes = 512 << 20;
const seconds = 8;
const setup = [
  'modprobe -a virtio_net virtio_blk',
  'ip link set lo up; ip link set eth0 up',
  'ip address add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2',
];

/** The fields of fio's terse version 3 that say KiB a second. */
const bandwidth = { read: 6, write: 47 };
const fio = (kind, mode, blockBytes) => ({
  what: `fio ${kind}`,
  unit: 'MiB/s',
  command: () =>
    `fio --name=x --filename=/dev/vdb --ioengine=libaio --direct=1 --iodepth=32 --rw=${mode} ` +
    `--bs=${blockBytes} --time_based --ramp_time=2 --runtime=${seconds} --minimal`,
  pattern: /3;fio.*/,
  value: ({ match }) => Number(match[0].split(';')[bandwidth[mode.replace('rand', '')]]) / 1024,
});
const iperf = (direction, flag) => ({
  what: `iperf3 ${direction}`,
  unit: 'Mbit/s',
  command: (port) => `iperf3 -c 10.0.2.2 -p ${port} -t ${seconds} -O 2 -f m ${flag}`,
  pattern: /([\d.]+) Mbits\/sec +receiver|iperf3: error.*/,
  value: ({ match }) => Number(match[1]),
});
const loads = [
  fio('sequential read', 'read', 256 << 10),
  fio('sequential write', 'write', 256 << 10),
  fio('random 4 KiB read', 'randread', 4 << 10),
  iperf('guest to host', ''),
  iperf('host to guest', '-R'),
];

const commands = {
  chassis: ({ node, jit, kernel, initrd, disk, scratch }) => [
    node,
    [
      ...[chassis, 'run', '--engine', 'soft', '--memory', `${memory}M`],
      ...(jit === undefined ? [] : ['--jit', jit]),
      ...['--disk', `${disk},format=qcow2`, '--disk', `${scratch},format=raw`, '--net', 'user'],
      ...['--kernel', kernel, '--initrd', initrd, '--append', append],
    ],
  ],
  qemu: ({ kernel, initrd, disk, scratch }) => [
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg', '-m', String(memory), '-nographic', '-no-reboot'],
      ...['-drive', `file=${disk},format=qcow2,if=virtio`],
      ...['-drive', `file=${scratch},format=raw,if=virtio`],
      ...['-nic', 'user,model=virtio-net-pci'],
      ...['-kernel', kernel, '-initrd', initrd, '-append', append],
    ],
  ],
};

/** A file without holes, which the host has in memory from here on: not its disk is measured. */
async function fill(path) {
  const file = await open(path, 'w');
  const piece = Buffer.alloc(1 << 20, 0xa5);
  for (let done = 0; done < scratchBytes; done += piece.length) await file.write(piece);
  await file.close();
}

async function boot(command) {
  const guest = startGuest(...command, 1800);
  await guest.waitFor(prompt);
  guest.type(`${[...setup, 'echo is-"ready"'].join('; ')}\n`);
  await guest.waitFor('is-ready');
  return guest;
}

async function measure(guest, { command, pattern, value }, port) {
  guest.type(`${command(port)}\n`);
  const found = value(await guest.takeLine(pattern));
  if (!(found > 0)) throw new Error(`a guest found no rate with ${command(port)}`);
  return found;
}

/** Disk and network of a booted Debian: both guests wait at a shell, and take turns. */
export async function benchDebianIo({ rounds = 3, qemu, node, flags = {}, only }) {
  const { kernel, initrd, disk: base } = await findImage(image, packages);
  const folder = await mkdtemp(join(tmpdir(), 'chassis-debian-io-'));
  const port = await freePort();
  const serving = ['-s', '-p', `${port}`, '-B', '127.0.0.1'];
  const server = spawn('iperf3', serving, { stdio: 'ignore' });
  server.on('error', () => {});
  const names = qemu ? ['chassis', 'qemu'] : ['chassis'];
  const guests = {};
  try {
    for (const name of names) {
      const [disk, scratch] = ['disk.qcow2', 'scratch.raw'].map((file) =>
        join(folder, name + file),
      );
      await Promise.all([overlay(disk, base), fill(scratch)]);
      const files = { node, jit: flags.jit, kernel, initrd, disk, scratch };
      guests[name] = await boot(commands[name](files));
    }
    const data = [];
    for (const load of loads.filter(({ what }) => only?.test(what) ?? true)) {
      const rates = Object.fromEntries(names.map((name) => [name, []]));
      for (let round = 0; round < rounds; round++) {
        for (const name of names) rates[name].push(await measure(guests[name], load, port));
      }
      const ratio = rates.qemu && median(rates.chassis) / median(rates.qemu);
      data.push({ what: load.what, unit: load.unit, ...rates, ratio });
    }
    const shown = (values) => (values ? median(values).toFixed(0) : '-');
    const rows = data.map(({ what, unit, chassis: ours, qemu: theirs, ratio }) => [
      `${what}, ${unit}`,
      shown(ours),
      spread(ours).toFixed(0),
      shown(theirs),
      theirs ? spread(theirs).toFixed(0) : '-',
      ratio === undefined ? '-' : ratio.toFixed(2),
    ]);
    const header = ['Debian 12', 'chassis', '+-%', 'qemu', '+-%', 'x qemu'];
    return { text: table(header, rows), data };
  } finally {
    server.kill();
    await Promise.all(Object.values(guests).map((guest) => guest.stop()));
    await rm(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  const only = process.argv[2] === undefined ? undefined : new RegExp(process.argv[2]);
  const [rounds, qemu] = [Number(process.argv[3] ?? 3), process.argv[4] !== 'alone'];
  const asked = { rounds, qemu, node: process.execPath, only };
  console.log((await benchDebianIo(asked)).text);
}
