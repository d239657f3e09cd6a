import { join } from 'node:path';
import { guestFile } from '../tools/lib/guests.mjs';
import { firstLine } from '../tools/lib/initramfs.mjs';
import { root } from '../tools/lib/paths.mjs';
import { startGuest } from './guest-run.mjs';
import { median, table } from './table.mjs';

const kernel = ['vmlinuz-cloud-amd64', 'initramfs-amd64.cpio'].map(guestFile);
const append = 'console=ttyS0';

export const chassisArgs = [
  ...[join(root, 'bin/chassis'), 'run', '--memory', '512M'],
  ...['--kernel', kernel[0], '--initrd', kernel[1], '--append', append],
];

const qemuArgs = [
  ...['-accel', 'tcg', '-m', '512', '-nographic', '-no-reboot', '-nic', 'none'],
  ...['-kernel', kernel[0], '-initrd', kernel[1], '-append', append],
];

/** Seconds from the start of the process to the first line of the first user process. */
async function bootSeconds(command, args) {
  const guest = startGuest(command, args);
  try {
    return await guest.waitFor(firstLine);
  } finally {
    await guest.stop();
  }
}

/** Debian's cloud kernel to its first user process, the two taking turns in one run. */
export async function benchBoot({ rounds = 3, qemu }) {
  const seconds = { chassis: [], qemu: [] };
  for (let round = 0; round < rounds; round++) {
    seconds.chassis.push(await bootSeconds(process.execPath, chassisArgs));
    if (qemu) seconds.qemu.push(await bootSeconds('qemu-system-x86_64', qemuArgs));
  }
  const row = (name, values) => {
    const shown = values.map((value) => value.toFixed(2)).join(' ');
    const ratio = qemu ? (median(values) / median(seconds.qemu)).toFixed(2) : '-';
    return [name, shown, median(values).toFixed(2), ratio];
  };
  const rows = [row('chassis soft', seconds.chassis)];
  if (qemu) rows.push(row('qemu -accel tcg', seconds.qemu));
  return table(['boot to first user process, s', 'rounds', 'median', 'x QEMU'], rows);
}
