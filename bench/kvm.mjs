import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guestFile } from '../tools/lib/guests.mjs';
import { root } from '../tools/lib/paths.mjs';
import { run, StepError } from '../tools/lib/step.mjs';
import { startGuest } from './guest-run.mjs';
import { idlePercent } from './idle.mjs';
import { median, table } from './table.mjs';

const turns = 7;
const exitsPerRound = 20_000;
const machines = 9;

/** Seven turns of the C program and Chassis on the same guest; the first round of each warms up. */
async function exitRoundTrips(node) {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-bench-'));
  try {
    const program = join(folder, 'kvm-exits');
    await run('gcc', ['-O2', '-o', program, join(root, 'bench/kvm-exits.c')], { quiet: true });
    const counts = ['3', `${exitsPerRound}`];
    const us = async (command, args) => {
      const lines = (await run(command, args, { quiet: true })).trim().split('\n');
      return median(lines.slice(1).map(Number)) / 1000;
    };
    const c = [];
    const chassis = [];
    for (let turn = 0; turn < turns; turn++) {
      c.push(await us(program, counts));
      chassis.push(await us(node, [join(root, 'bench/kvm-exits.mjs'), ...counts]));
    }
    return { c, chassis, ratio: chassis.map((value, i) => value / c[i]) };
  } finally {
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
function idle(node) {
  const guest = startGuest(node, [
    ...[join(root, 'bin/chassis'), 'run', '--engine', 'kvm', '--memory', '64M', '--serial', 'none'],
    ...['--firmware', guestFile('bios-256k.bin'), '--debugcon', '/dev/stdout'],
  ]);
  return idlePercent(guest, 'No bootable device');
}

/** Engine `kvm`: what a guest's ways out to us and back cost, with the musts and goals beside. */
export async function benchKvm({ node }) {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    throw new StepError('no /dev/kvm that this user may open; bin/chassis doctor says more');
  }
  const exits = await exitRoundTrips(node);
  const machine = await figures(node, join(root, 'bench/kvm-machine.mjs'), `${machines}`);
  const data = [
    { name: 'port exit in C, us', values: exits.c },
    { name: 'port exit in chassis, us', values: exits.chassis },
    { name: 'port exit, chassis by C', values: exits.ratio, must: 1.25, goal: 1.1 },
    { name: 'port exit to a device of a machine, us', values: machine.exit },
    { name: 'idle guest, % of a core', values: [await idle(node)], must: 2, goal: 0.5 },
    { name: 'pause, ms', values: machine.pause, must: 10, goal: 2 },
    { name: 'resume, ms', values: machine.resume, must: 10, goal: 2 },
  ];
  const header = ['engine kvm', 'median', 'spread', 'must', 'goal', 'met'];
  return { text: table(header, data.map(row)), data };
}

/** The most that a figure may be is what is asked of it, or nothing is. */
function row({ name, values, must, goal }) {
  const middle = median(values);
  const spread = `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
  const met = middle <= goal ? 'goal' : middle <= must ? 'must' : 'no';
  const verdict = must === undefined && goal === undefined ? '' : met;
  return [name, middle.toFixed(2), spread, must ?? '', goal ?? '', verdict];
}
