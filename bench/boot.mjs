import { guestFile } from '../tools/lib/guests.mjs';
import { firstLine } from '../tools/lib/initramfs.mjs';
import { startGuest } from './guest-run.mjs';
import { peers } from './peers.mjs';
import { median, spread, table } from './table.mjs';

const initramfs = { 64: 'initramfs-amd64.cpio', 32: 'initramfs-i386.cpio' };

/** The kernel whose boot is timed, and the peer that Chassis is compared with there. */
const boots = [
  { bits: 64, kernel: 'cloud kernel', other: 'qemu' },
  { bits: 32, kernel: '686 kernel', other: 'v86' },
];

/** Starts a peer with Debian's kernel and a busybox shell. */
export async function bootPeer(name, bits, { node = process.execPath, jit } = {}) {
  const initrd = guestFile(initramfs[bits]);
  const options = { node, jit, initrd, append: 'console=ttyS0' };
  return startGuest(...(await peers[name].command(bits, options)));
}

/** Seconds from the start of the process to the first line of the first user process. */
async function bootSeconds(name, bits, options) {
  const guest = await bootPeer(name, bits, options);
  try {
    return await guest.waitFor(firstLine);
  } finally {
    await guest.stop();
  }
}

/** Debian's kernels to their first user process, Chassis and its peer taking turns in one run. */
export async function benchBoot({ rounds = 3, qemu, node, flags = {} }) {
  const data = [];
  for (const { bits, kernel, other } of boots) {
    const names = other === 'qemu' && !qemu ? ['chassis'] : ['chassis', other];
    const seconds = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        seconds[name].push(await bootSeconds(name, bits, { node, jit: flags.jit }));
      }
    }
    for (const name of names) {
      const ratio = seconds[other] && median(seconds[name]) / median(seconds[other]);
      data.push({ kernel, bits, name, other, seconds: seconds[name], ratio });
    }
  }
  const rows = data.map(({ kernel, name, other, seconds, ratio }) => [
    `${kernel}, ${name}`,
    seconds.map((value) => value.toFixed(2)).join(' '),
    median(seconds).toFixed(2),
    spread(seconds).toFixed(0),
    ratio === undefined ? '-' : `${ratio.toFixed(2)} x ${other}`,
  ]);
  const header = ['boot to first user process, s', 'rounds', 'median', '+-%', 'time'];
  return { text: table(header, rows), data };
}
