import { join } from 'node:path';
import { guestFile } from '../tools/lib/guests.mjs';
import { root } from '../tools/lib/paths.mjs';
import { buildGuestInitramfs, buildGuestProgram } from './guest-build.mjs';

const kernels = { 64: 'vmlinuz-cloud-amd64', 32: 'vmlinuz-686' };

/**
 * The kernel's self-tests of its ciphers are half of a boot and nothing to a benchmark; the same words
 * for every peer.
 */
export const append = 'console=ttyS0 quiet cryptomgr.notests';

const ramMib = 512;

/**
 * Everything that can run the guest program: how to start it with its console on standard input and
 * output. `node` is the program that runs Chassis and v86; `jit` is `on`, `off` or undefined.
 */
export const peers = {
  native: {
    bits: [64, 32],
    start: async (bits) => [await buildGuestProgram(bits), []],
  },
  qemu: {
    bits: [64, 32],
    start: async (bits) => [
      bits === 64 ? 'qemu-system-x86_64' : 'qemu-system-i386',
      [
        ...['-accel', 'tcg', '-m', String(ramMib), '-nographic', '-no-reboot', '-nic', 'none'],
        ...(await linux(bits)),
      ],
    ],
  },
  chassis: {
    bits: [64, 32],
    start: async (bits, { node, jit }) => [
      node,
      [
        ...[join(root, 'bin/chassis'), 'run', '--memory', `${ramMib}M`],
        ...(jit === undefined ? [] : ['--jit', jit]),
        ...(await linux(bits, '--')),
      ],
    ],
  },
};

async function linux(bits, dashes = '-') {
  return [
    ...[`${dashes}kernel`, guestFile(kernels[bits])],
    ...[`${dashes}initrd`, await buildGuestInitramfs(bits)],
    ...[`${dashes}append`, append],
  ];
}
