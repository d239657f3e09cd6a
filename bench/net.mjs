import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpioArchive } from '../tools/lib/cpio.mjs';
import { guestFile } from '../tools/lib/guests.mjs';
import { root } from '../tools/lib/paths.mjs';
import { run } from '../tools/lib/step.mjs';
import { freePort } from './free-port.mjs';
import { startGuest } from './guest-run.mjs';
import { median, table } from './table.mjs';

const prompt = '/root # ';
const append = 'console=ttyS0 quiet cryptomgr.notests';
const seconds = 5;
/** The first of each direction only warms up translations and windows. */
const perGuest = 3;

/** The initramfs with the host's iperf3 and what it is linked with; undefined where the host has none. */
async function initramfs(folder) {
  const links = await run('ldd', ['/usr/bin/iperf3'], { quiet: true }).catch(() => undefined);
  if (links === undefined) return undefined;
  const paths = ['/usr/bin/iperf3', ...links.match(/\/lib\S+/g)];
  const parents = ['lib', 'lib64', 'lib/x86_64-linux-gnu', 'usr', 'usr/bin'];
  const files = paths.map(async (path) => ({
    path: path.slice(1),
    kind: 'file',
    mode: 0o755,
    data: await readFile(path),
  }));
  const lease =
    '#!/bin/sh\n[ -n "$ip" ] || exit 0\nifconfig eth0 $ip netmask $subnet\nroute add default gw $router\n';
  const more = cpioArchive([
    ...parents.map((path) => ({ path, kind: 'directory', mode: 0o755 })),
    ...(await Promise.all(files)),
    { path: 'lease', kind: 'file', mode: 0o755, data: lease },
  ]);
  const whole = join(folder, 'initramfs.cpio');
  await writeFile(whole, Buffer.concat([await readFile(guestFile('initramfs-virtio.cpio')), more]));
  return whole;
}

const commands = {
  chassis: ({ node, jit, kernel, initrd }) => [
    node,
    [
      ...[join(root, 'bin/chassis'), 'run', '--engine', 'soft', '--memory', '512M'],
      ...(jit === undefined ? [] : ['--jit', jit]),
      ...['--net', 'user', '--kernel', kernel, '--initrd', initrd, '--append', append],
    ],
  ],
  qemu: ({ kernel, initrd }) => [
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg', '-m', '512', '-nographic', '-no-reboot'],
      ...['-nic', 'user,model=virtio-net-pci'],
      ...['-kernel', kernel, '-initrd', initrd, '-append', append],
    ],
  ],
};

/** Megabits a second that arrived, by direction. */
async function measure(command, port) {
  const guest = startGuest(...command);
  try {
    await guest.waitFor(prompt);
    guest.type('ifconfig eth0 up; udhcpc -i eth0 -n -q -s /lease; echo has-"lease"\n');
    await guest.waitFor('has-lease');
    const rates = { out: [], in: [] };
    for (let i = 0; i < perGuest; i++) {
      for (const direction of ['out', 'in']) {
        const reverse = direction === 'in' ? '-R' : '';
        guest.type(`/usr/bin/iperf3 -c 10.0.2.2 -p ${port} -t ${seconds} -f m ${reverse}\n`);
        const { match } = await guest.takeLine(/([\d.]+) Mbits\/sec +receiver|iperf3: (error.*)/);
        if (match[2] !== undefined) throw new Error(match[2]);
        if (i > 0) rates[direction].push(Number(match[1]));
      }
    }
    return rates;
  } finally {
    await guest.stop();
  }
}

/** iperf3 from the guest to the host and back through the NAT that needs no rights; QEMU's is slirp. */
export async function benchNet({ rounds = 2, qemu, node, flags = {} }) {
  const folder = await mkdtemp(join(tmpdir(), 'chassis-net-'));
  const port = await freePort();
  const serving = ['-s', '-p', `${port}`, '-B', '127.0.0.1'];
  const server = spawn('iperf3', serving, { stdio: 'ignore' });
  server.on('error', () => {});
  try {
    const initrd = await initramfs(folder);
    if (initrd === undefined) throw new Error('no iperf3 here; on Debian: apt-get install iperf3');
    const files = { node, jit: flags.jit, kernel: guestFile('vmlinuz-cloud-amd64'), initrd };
    const names = qemu ? ['chassis', 'qemu'] : ['chassis'];
    const rates = Object.fromEntries(names.map((name) => [name, { out: [], in: [] }]));
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        const found = await measure(commands[name](files), port);
        for (const direction of ['out', 'in']) rates[name][direction].push(...found[direction]);
      }
    }
    const data = ['out', 'in'].map((direction) => ({
      direction,
      chassis: rates.chassis[direction],
      qemu: rates.qemu?.[direction],
      ratio: rates.qemu && median(rates.chassis[direction]) / median(rates.qemu[direction]),
    }));
    const rows = data.map(({ direction, chassis, qemu: slirp, ratio }) => [
      direction === 'out' ? 'guest to host' : 'host to guest',
      chassis.map((rate) => rate.toFixed(0)).join(' '),
      median(chassis).toFixed(0),
      slirp === undefined ? '-' : median(slirp).toFixed(0),
      ratio === undefined ? '-' : ratio.toFixed(2),
    ]);
    const header = ['iperf3 through the NAT, Mbit/s', 'rounds', 'median', 'slirp', 'x slirp'];
    return { text: table(header, rows), data };
  } finally {
    server.kill();
    await rm(folder, { recursive: true, force: true });
  }
}
