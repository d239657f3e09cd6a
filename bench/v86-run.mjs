// Runs v86 as a program: a Linux kernel and an initramfs given as files, the console of the guest on
// standard input and output.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { V86 } from 'v86';

const text = { type: 'string' };
const { values: flags } = parseArgs({
  options: { bios: text, 'vga-bios': text, kernel: text, initrd: text, append: text, memory: text },
});

const file = (path) => {
  const { buffer, byteOffset, byteLength } = readFileSync(path);
  return { buffer: buffer.slice(byteOffset, byteOffset + byteLength) };
};

const emulator = new V86({
  wasm_path: join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm'),
  memory_size: Number(flags.memory) * 2 ** 20,
  vga_memory_size: 2 * 2 ** 20,
  bios: file(flags.bios),
  vga_bios: file(flags['vga-bios']),
  bzimage: file(flags.kernel),
  initrd: file(flags.initrd),
  cmdline: flags.append,
  autostart: true,
  fastboot: true,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
});

let line = [];
emulator.add_listener('serial0-output-byte', (byte) => {
  line.push(byte);
  if (byte !== 10) return;
  process.stdout.write(Buffer.from(line));
  line = [];
});
process.stdin.on('data', (bytes) => emulator.serial_send_bytes(0, bytes));
