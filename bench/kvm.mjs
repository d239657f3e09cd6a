import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { guestFile } from '../tools/lib/guests.mjs';
import { root } from '../tools/lib/paths.mjs';
import { run, StepError } from '../tools/lib/step.mjs';
import { startGuest } from './guest-run.mjs';
import { idlePercent } from './idle.mjs';
import { median, table } from './table.mjs';

/** Rounds of some 10 ms: what else the host does meets both. */
const rounds = 100;
const warmUp = 10;
const exitsPerRound = 1000;
const doorbells = 2000;
const machines = 9;
const bootLimitMs = 60_000;

/** A program that answers each line it gets with a number. */
function startRounds(command, args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async round() {
      child.stdin.write('\n');
      const { value, done } = await answers.next();
      if (done) throw new StepError(`${command} ${args.join(' ')} ended in the middle`);
      return Number(value);
    },
    stop: () => child.kill('SIGKILL'),
  };
}

/** The C program and Chassis on the same guest, round by round in turns; microseconds an exit. */
async function exitRoundTrips(node) {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-bench-'));
  const running = [];
  try {
    const program = join(folder, 'kvm-exits');
    await run('gcc', ['-O2', '-o', program, join(root, 'bench/kvm-exits.c')], { quiet: true });
    running.push(startRounds(program, [`${exitsPerRound}`]));
    running.push(startRounds(node, [join(root, 'bench/kvm-exits.mjs'), `${exitsPerRound}`]));
    const us = running.map(() => []);
    for (let round = -warmUp; round < rounds; round++) {
      for (const [i, one] of running.entries()) {
        const ns = await one.round();
        if (round >= 0) us[i].push(ns / 1000);
      }
    }
    const [c, chassis] = us;
    return { c, chassis, ratio: chassis.map((value, i) => value / c[i]) };
  } finally {
    for (const one of running) one.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Lines of `name value` that a script of bench/ prints, as lists by name. */
async function figures(node, script, ...args) {
  const found = {};
  for (const line of (await run(node, [script, ...args], { quiet: true })).trim().split('\n')) {
    const [name, value] = line.split(' ');
    found[name] ??= [];
    found[name].push(Number(value));
  }
  return found;
}

/** SeaBIOS that has found nothing to boot waits for a disk, with 18 timer interrupts a second. */
async function idle(node) {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-bench-'));
  const log = join(folder, 'seabios.log');
  const guest = startGuest(node, [
    ...[join(root, 'bin/chassis'), 'run', '--engine', 'kvm', '--memory', '64M', '--serial', 'none'],
    ...['--firmware', guestFile('bios-256k.bin'), '--debugcon', log],
  ]);
  const waitFor = async (text) => {
    const end = performance.now() + bootLimitMs;
    while (!existsSync(log) || !readFileSync(log, 'latin1').includes(text)) {
      if (performance.now() > end) throw new StepError(`SeaBIOS did not come to "${text}"`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  try {
    return await idlePercent({ ...guest, waitFor }, 'No bootable device');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Engine `kvm`: what a guest's ways out to us and back cost, with the musts and goals beside. */
export async function benchKvm({ node }) {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    throw new StepError('no /dev/kvm that this user may open; bin/chassis doctor says more');
  }
  const exits = await exitRoundTrips(node);
  const device = await figures(node, join(root, 'bench/kvm-doorbell.mjs'), `${doorbells}`);
  const machine = await figures(node, join(root, 'bench/kvm-machine.mjs'), `${machines}`);
  const data = [
    { name: 'port exit in C, us', values: exits.c },
    { name: 'port exit in chassis, us', values: exits.chassis },
    { name: 'port exit, chassis by C', values: exits.ratio, must: 1.25, goal: 1.1 },
    { name: 'port exit to a device of a machine, us', values: machine.exit },
    { name: 'ioeventfd to the device’s code, us', values: device.doorbell, goal: 20 },
    { name: 'irqfd back to the guest, us', values: device.irqfd, goal: 20 },
    { name: 'idle guest, % of a core', values: [await idle(node)], must: 2, goal: 0.5 },
    { name: 'pause, ms', values: machine.pause, must: 10, goal: 2 },
    { name: 'resume, ms', values: machine.resume, must: 10, goal: 2 },
  ];
  return { text: table(kvmHeader, kvmRows(data)), data };
}

export const kvmHeader = ['engine kvm', 'median', 'middle half', 'must', 'goal', 'met'];

/** Rows of text for the table, of what it was made from. */
export function kvmRows(data) {
  return data.map(row);
}

/** The middle half of the rounds is the spread; the most that a figure may be is what is asked. */
function row({ name, values, must, goal }) {
  const middle = median(values);
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => sorted[Math.floor((sorted.length - 1) * share)].toFixed(2);
  const least = must === undefined ? 'measured' : middle <= must ? 'must' : 'no';
  const verdict = goal === undefined ? '' : middle <= goal ? 'goal' : least;
  return [name, middle.toFixed(2), `${at(0.25)} to ${at(0.75)}`, must ?? '', goal ?? '', verdict];
}
