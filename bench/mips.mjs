import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../tools/lib/paths.mjs';
import { median, table } from './table.mjs';

/** mips.S as bytes; the count of rounds stands at {@link roundsAt}. */
const program = Buffer.from(
  [
    'ArCtGwAAAQD+T1HkAAAQAAAAEAA+ARAAPgEQACQAEABAQg8AvAAAGADHBQAAEQADEBEAxwUAEBEAAyARADHJicjB4B',
    'UNgwAAAIkEzQAgEQBBgfkAAgAAdea4AAARAA8i2A8g4IPIIA8i4LmAAADADzINAAEAAA8wDyDADQAAAIAPIsCLLSAA',
    'EAAPARU4ARAA6pcAEAAIALgQAAAAjtiO0L4AABQAuLl5N54x2zHS6xBIa9IfSI1UQgfDjbYAAAAASInBSMHpDUgxyE',
    'jBwAdIAdiJx4Hn+A8AAEyLBD5JAcBMiQQ+QYH4////f3IDSP/DRA+2yEQpyk0Z0kwJ01Dorf///1ipAQAAAEEPlMP/',
    'zXWvMcBmuvQA7vSNtCYAAAAAAAAAAAAAAAD//wAAAJuvAP//AAAAk88AFwAgARAA',
  ].join(''),
  'base64',
);
const roundsAt = 0x20;

/** Instructions in one round: 23 always, 3 in the called leaf, and one skipped in half of the rounds. */
const instructionsPerRound = 26.5;

/** Seconds to run the program with so many rounds, all of the start included. */
function seconds(folder, rounds, command, args) {
  const image = Buffer.from(program);
  image.writeUInt32LE(rounds, roundsAt);
  const file = join(folder, 'mips.bin');
  writeFileSync(file, image);
  const from = performance.now();
  const { status, stderr } = spawnSync(command, args(file), { encoding: 'utf8', timeout: 300_000 });
  if (status !== 1) throw new Error(`${command} ended with ${status}, wanted 1: ${stderr.trim()}`);
  return (performance.now() - from) / 1000;
}

/** Millions of instructions a second: the difference of a long and a short run, so no start-up. */
function rate(folder, short, long, command, args) {
  const spent = seconds(folder, long, command, args) - seconds(folder, short, command, args);
  return ((long - short) * instructionsPerRound) / spent / 1e6;
}

const chassis = (jit) => (file) => [
  ...[join(root, 'bin/chassis'), 'run', '--memory', '64M', '--serial', 'none'],
  ...(jit === undefined ? [] : ['--jit', jit]),
  ...['--device', 'isa-debug-exit', '--kernel', file],
];

const qemu = (file) => [
  ...['-accel', 'tcg', '-m', '64', '-display', 'none', '-nic', 'none'],
  ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-kernel', file],
];

/** The speed of the CPU alone, on a loop of mixed integer code that stays in 64-bit mode. */
export async function benchMips({ rounds = 3, qemu: withQemu, node = process.execPath, flags }) {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-bench-'));
  try {
    const rates = { chassis: [], qemu: [] };
    for (let round = 0; round < rounds; round++) {
      rates.chassis.push(rate(folder, 1e6, 11e6, node, chassis(flags?.jit)));
      if (withQemu) rates.qemu.push(rate(folder, 10e6, 110e6, 'qemu-system-x86_64', qemu));
    }
    const row = (name, values) => [
      name,
      values.map((value) => value.toFixed(0)).join(' '),
      median(values).toFixed(0),
    ];
    const rows = [row('chassis soft', rates.chassis)];
    if (withQemu) rows.push(row('qemu -accel tcg', rates.qemu));
    const header = ['million instructions a second', 'rounds', 'median'];
    return { text: table(header, rows), data: rates };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
