import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../tools/lib/paths.mjs';
import { run, say } from '../tools/lib/step.mjs';
import { startGuest } from './guest-run.mjs';
import { median, spread, table } from './table.mjs';

const chassis = join(root, 'bin/chassis');
const image = 'debian-bookworm';
const loginPrompt = 'login: ';
/** Systemd has said `login:` once all that goes before it is up. */
const append = 'root=/dev/vda1 ro console=ttyS0 console=hvc0 loglevel=4';
const memory = 1024;

/** Kernel, initramfs and disk of an image, made where there is none, with `packages` in it. */
export async function findImage(name, packages = []) {
  const listed = JSON.parse(await run(chassis, ['image', 'list', '--json'], { quiet: true }));
  if (!listed.some((one) => one.name === name)) {
    say(`building the image ${name} ...`);
    const more = packages.length === 0 ? [] : ['--packages', packages.join()];
    await run(chassis, ['image', 'build', 'debian', '--name', name, ...more], { quiet: true });
  }
  return JSON.parse(await run(chassis, ['image', 'inspect', name, '--json'], { quiet: true }));
}

export const overlay = (path, backing) =>
  run(chassis, ['disk', 'create', `${path},format=qcow2,backing=${backing},backing-format=qcow2`], {
    quiet: true,
  });

/** A disk whose first start, with its keys and its cloud-init, is over. */
async function settle(folder, node) {
  const data = join(folder, 'data');
  const env = { ...process.env, XDG_DATA_HOME: data };
  const args = [chassis, 'run', 'debian', '--engine', 'soft', '--image', image, '--name', 'bench'];
  const guest = startGuest(node, args, 600, env);
  await guest.waitFor(loginPrompt);
  guest.type('debian\n');
  await guest.waitFor('Password: ');
  guest.type('debian\n');
  await guest.waitFor('$ ');
  guest.type('sudo systemctl is-system-running --wait; sudo poweroff\n');
  const status = await guest.ended;
  if (status !== 0) throw new Error(`the first start of Debian ended with ${status}`);
  return join(data, 'chassis', 'vms', 'bench', 'disk.qcow2');
}

const commands = {
  chassis: ({ node, jit, kernel, initrd, disk }) => [
    node,
    [
      ...[chassis, 'run', '--engine', 'soft', '--memory', `${memory}M`, '--serial', 'none'],
      ...(jit === undefined ? [] : ['--jit', jit]),
      ...['--console', 'stdio', '--disk', `${disk},format=qcow2`, '--rng'],
      ...['--kernel', kernel, '--initrd', initrd, '--append', append],
    ],
  ],
  qemu: ({ kernel, initrd, disk }) => [
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg', '-m', String(memory), '-display', 'none', '-no-reboot', '-nic', 'none'],
      ...['-serial', 'null', '-monitor', 'none', '-device', 'virtio-serial-pci'],
      ...['-chardev', 'stdio,id=c,signal=off', '-device', 'virtconsole,chardev=c'],
      ...['-drive', `file=${disk},format=qcow2,if=virtio`, '-device', 'virtio-rng-pci'],
      ...['-kernel', kernel, '-initrd', initrd, '-append', append],
    ],
  ],
};

/** Debian with systemd, from the command to its login prompt, Chassis and QEMU taking turns. */
export async function benchDebian({ rounds = 3, qemu, node, flags = {} }) {
  const { kernel, initrd } = await findImage(image);
  const folder = await mkdtemp(join(tmpdir(), 'chassis-debian-'));
  try {
    const settled = await settle(folder, node);
    const names = qemu ? ['chassis', 'qemu'] : ['chassis'];
    const seconds = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        const disk = join(folder, `${name}-${round}.qcow2`);
        await overlay(disk, settled);
        const files = { node, jit: flags.jit, kernel, initrd, disk };
        const guest = startGuest(...commands[name](files));
        try {
          seconds[name].push(await guest.waitFor(loginPrompt));
        } finally {
          await guest.stop();
        }
        await rm(disk);
      }
    }
    const ratio = seconds.qemu && median(seconds.chassis) / median(seconds.qemu);
    const data = names.map((name) => ({ name, seconds: seconds[name], ratio }));
    const rows = data.map(({ name }) => [
      name,
      seconds[name].map((value) => value.toFixed(1)).join(' '),
      median(seconds[name]).toFixed(1),
      spread(seconds[name]).toFixed(0),
      name === 'chassis' && ratio ? `${ratio.toFixed(2)} x qemu` : '-',
    ]);
    const header = ['Debian 12 to its login prompt, s', 'rounds', 'median', '+-%', 'time'];
    return { text: table(header, rows), data };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
