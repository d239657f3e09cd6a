// Writes docs/performance.md from what `npm run bench -- --json FILE` kept: all but its notes.
// usage: node bench/performance-page.mjs FILE...
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../tools/lib/paths.mjs';
import { main, StepError } from '../tools/lib/step.mjs';
import { figureHeader, figureRows } from './figures.mjs';
import { ratios, rounds } from './guest-table.mjs';
import { kvmHeader, kvmRows } from './kvm.mjs';
import { geometricMean, median, spread } from './table.mjs';

const page = join(root, 'docs/performance.md');

/** From here on the page is written by hand and stays. */
const notesTitle = '## Notes';

const titles = {
  native: 'native',
  qemu: 'QEMU TCG',
  chassis: 'Chassis',
  interpreter: 'interpreter',
  v86: 'v86',
};

/** A table in Markdown; all columns but the first to the right. */
function markdown(header, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const rule = header.map((_, i) => (i === 0 ? '---' : '---:'));
  return [header, rule, ...rows].map(line).join('\n');
}

/** A median with how far the widest round was from it. */
function figure(values, digits) {
  return `${median(values).toFixed(digits)} ± ${spread(values).toFixed(0)} %`;
}

function guestSection(result) {
  const { bits, peers, kernels } = result;
  const others = peers.map(({ name }) => name).filter((name) => name !== 'chassis');
  const against = Object.fromEntries(others.map((name) => [name, ratios(result, name) ?? []]));
  const compared = others.filter((name) => against[name].length > 0);
  const rows = kernels.map((kernel, i) => [
    kernel.name,
    ...peers.map((peer) => {
      const us = rounds(kernel, peer).map((ns) => ns / 1000);
      return figure(us, median(us) < 100 ? 1 : 0);
    }),
    ...compared.map((name) => against[name][i].ratio.toPrecision(2)),
  ]);
  rows.push([
    'geometric mean',
    ...peers.map(() => ''),
    ...compared.map((name) =>
      geometricMean(against[name].map(({ ratio }) => ratio)).toPrecision(2),
    ),
  ]);
  const header = [
    'microseconds a pass',
    ...peers.map(({ name }) => titles[name]),
    ...compared.map((name) => `x ${titles[name]}`),
  ];
  const clocks = peers
    .filter(({ clock }) => clock === 'host')
    .map(
      ({ name, drift }) =>
        `The clock of the guest under ${titles[name]} was ${(drift * 100).toFixed(1)} % off: its figures are by the host's.`,
    );
  return [`## The guest program, ${bits}-bit`, markdown(header, rows), ...clocks].join('\n\n');
}

function bootSection(boot) {
  const rows = boot.map(({ kernel, name, other, seconds, ratio }) => [
    `${kernel}, ${titles[name]}`,
    figure(seconds, 2),
    seconds.map((value) => value.toFixed(2)).join(' '),
    ratio === undefined ? '' : `${ratio.toFixed(2)} x ${titles[other]}`,
  ]);
  const header = ['seconds', 'median', 'rounds', 'time'];
  return `## From the command to the first user process\n\n${markdown(header, rows)}`;
}

function memorySection(memory) {
  const rows = memory.map(({ name, dirty, resident }) => [
    titles[name],
    (dirty / 1024).toFixed(1),
    (resident / 1024).toFixed(1),
  ]);
  return [
    '## Memory of the process beyond guest RAM, after boot',
    'Of `/proc/PID/smaps`, everything but the guest’s RAM: for QEMU the mapping that is the RAM; for Chassis, whose RAM follows the engine’s state in one WebAssembly memory, that mapping less the state’s pages. "Written" is `Private_Dirty` and `Shared_Dirty`, what only this process needs; "resident" counts pages of programs and libraries too.',
    markdown(['MiB', 'written', 'resident'], rows),
  ].join('\n\n');
}

function dispatchSection(dispatch) {
  const rows = dispatch.map(({ kernel, each }) => [kernel, each.toFixed(0)]);
  return `## Instructions per dispatch\n\n${markdown(['kernel', 'instructions'], rows)}`;
}

function otherSection({ mips, idle, build }) {
  const rows = [];
  for (const [name, values] of Object.entries(mips ?? {})) {
    if (values.length === 0) continue;
    const what = `million instructions a second, a loop of mixed integer code, ${titles[name]}`;
    rows.push([what, figure(values, 0)]);
  }
  if (idle) rows.push(['idle guest at its prompt, % of a core', idle.percent.toFixed(1)]);
  for (const { name, seconds } of build ?? []) {
    rows.push([`seconds to build the ${name}`, seconds.toFixed(1)]);
  }
  return rows.length > 0 && `## Other figures\n\n${markdown(['figure', 'measured'], rows)}`;
}

function kvmSection(kvm) {
  return `## The kvm engine\n\n${markdown(kvmHeader, kvmRows(kvm))}`;
}

/** One report of several runs; what was measured last stands. */
async function readReports(files) {
  const reports = await Promise.all(
    files.map(async (file) => JSON.parse(await readFile(file, 'utf8'))),
  );
  const differ = reports.find(({ machine: { date: _, ...machine } }) =>
    Object.keys(machine).some((what) => machine[what] !== reports[0].machine[what]),
  );
  if (differ)
    throw new StepError(`${files}: measured on different machines or with different tools`);
  const tables = Object.assign({}, ...reports.map((report) => report.tables));
  return { machine: reports.at(-1).machine, tables };
}

await main(async () => {
  const files = process.argv.slice(2);
  if (files.length === 0) throw new StepError('no file given that npm run bench -- --json wrote');
  const { machine, tables } = await readReports(files);
  const before = await readFile(page, 'utf8').catch(() => '');
  const notes = before.indexOf(notesTitle);
  const sections = [
    '# Performance',
    'Written by `node bench/performance-page.mjs FILE` from what `npm run bench -- --json FILE` measured on one machine. Peers take turns round by round; figures are medians, and ± is how far the widest round was from it; "x QEMU TCG" is how many times as fast as it Chassis is. [bench/README.md](../bench/README.md) says what is measured and how.',
    markdown(['machine', ''], Object.entries(machine)),
    `## What is asked, and what was measured\n\n${markdown(figureHeader, figureRows(tables))}`,
    ...(tables.guest ?? []).map(guestSection),
    tables.boot && bootSection(tables.boot),
    tables.memory && memorySection(tables.memory),
    tables.dispatch && dispatchSection(tables.dispatch),
    otherSection(tables),
    tables.kvm && kvmSection(tables.kvm),
    notes >= 0 && before.slice(notes).trimEnd(),
  ];
  await writeFile(page, `${sections.filter(Boolean).join('\n\n')}\n`);
});
