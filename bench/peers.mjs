import { join } from 'node:path';
import { guestFile } from '../tools/lib/guests.mjs';
import { root } from '../tools/lib/paths.mjs';
import { buildGuestProgram } from './guest-build.mjs';

/** What every guest of the benchmarks has of memory. */
export const ramMib = 512;

const kernels = { 64: 'vmlinuz-cloud-amd64', 32: 'vmlinuz-686' };

/**
 * Everything that can run a guest, by name: the widths of code it is asked for, and `command`, a
 * program and its arguments, with the guest's console on its standard input and output. Linux boots
 * with `initrd` (a file) and `append` (its command line); `node` is the program that runs Chassis and
 * v86; `jit` is `on`, `off` or, for what Chassis does by itself, undefined. `onlyWhenAsked` keeps a
 * peer out of a run that names none.
 */
export const peers = {
  native: {
    bits: [64, 32],
    command: async (bits) => [await buildGuestProgram(bits), []],
  },
  qemu: {
    bits: [64, 32],
    command: async (bits, { initrd, append }) => [
      bits === 64 ? 'qemu-system-x86_64' : 'qemu-system-i386',
      [
        ...['-accel', 'tcg', '-m', String(ramMib), '-nographic', '-no-reboot', '-nic', 'none'],
        ...['-kernel', guestFile(kernels[bits]), '-initrd', initrd, '-append', append],
      ],
    ],
  },
  chassis: {
    bits: [64, 32],
    command: async (bits, { node, jit, ...boot }) => [
      node,
      [
        ...[join(root, 'bin/chassis'), 'run', '--memory', `${ramMib}M`],
        ...(jit === undefined ? [] : ['--jit', jit]),
        ...linux(bits, boot),
      ],
    ],
  },
  interpreter: {
    bits: [64, 32],
    onlyWhenAsked: true,
    command: (bits, options) => peers.chassis.command(bits, { ...options, jit: 'off' }),
  },
  v86: {
    bits: [32],
    command: async (bits, { node, ...boot }) => [
      node,
      [
        ...[join(root, 'bench/v86-run.mjs'), '--memory', String(ramMib)],
        ...['--bios', guestFile('bios-128k.bin'), '--vga-bios', guestFile('vgabios-stdvga.bin')],
        ...linux(bits, boot),
      ],
    ],
  },
};

function linux(bits, { initrd, append }) {
  return ['--kernel', guestFile(kernels[bits]), '--initrd', initrd, '--append', append];
}
