import { ratios } from './guest-table.mjs';
import { geometricMean, median, table } from './table.mjs';

const atLeast = (must, goal) => ({ must, goal, holds: (value, bound) => value >= bound });
const atMost = (must, goal) => ({ must, goal, holds: (value, bound) => value <= bound });

function guestRatios(tables, bits, other) {
  const width = tables.guest?.find((one) => one.bits === bits);
  return width && ratios(width, other)?.map(({ ratio }) => ratio);
}

function bootRatio(tables, bits) {
  return tables.boot?.find((one) => one.bits === bits && one.name === 'chassis')?.ratio;
}

function memoryRatio(tables) {
  const [ours, theirs] = ['chassis', 'qemu'].map((name) =>
    tables.memory?.find((one) => one.name === name),
  );
  return ours && theirs && ours.dirty / theirs.dirty;
}

/** What is asked of the `soft` engine, each with how it is had from the tables. */
const asked = [
  {
    name: '64-bit kernels against QEMU TCG, geometric mean, x as fast',
    ...atLeast(1, 2),
    value: (tables) => withSome(guestRatios(tables, 64, 'qemu'), geometricMean),
  },
  {
    name: 'the slowest of them, x as fast',
    ...atLeast(0.5),
    value: (tables) => withSome(guestRatios(tables, 64, 'qemu'), (all) => Math.min(...all)),
  },
  {
    name: '32-bit kernels against v86, geometric mean, x as fast',
    ...atLeast(4, 8),
    value: (tables) => withSome(guestRatios(tables, 32, 'v86'), geometricMean),
  },
  {
    name: 'boot of the cloud kernel, x QEMU TCG’s time',
    ...atMost(2, 1),
    value: (tables) => bootRatio(tables, 64),
  },
  {
    name: 'boot of the 686 kernel, x v86’s time',
    ...atMost(1 / 3, 1 / 5),
    value: (tables) => bootRatio(tables, 32),
  },
  {
    name: 'instructions per dispatch, the least of the compute kernels',
    ...atLeast(200),
    value: (tables) =>
      withSome(
        tables.dispatch?.map(({ each }) => each),
        (all) => Math.min(...all),
      ),
  },
  {
    name: 'memory beyond guest RAM, x QEMU TCG’s',
    ...atMost(1.5, 1),
    value: memoryRatio,
  },
  {
    name: 'a loop of mixed integer code, million instructions a second',
    ...atLeast(50),
    value: (tables) => withSome(tables.mips?.chassis, median),
  },
  {
    name: 'idle guest at its prompt, % of a core',
    ...atMost(2),
    value: (tables) => tables.idle?.percent,
  },
  {
    name: 'start to the login prompt of Debian, x QEMU TCG’s time',
    ...atMost(2, 1),
    value: (tables) => tables.debian?.[0]?.ratio,
  },
  ...[
    ['out', 'guest to host'],
    ['in', 'host to guest'],
  ].map(([direction, words]) => ({
    name: `iperf3 ${words} through the NAT, x slirp`,
    ...atLeast(1, 2),
    value: ({ net, 'debian-io': debian }) =>
      (
        net?.find((one) => one.direction === direction) ??
        debian?.find((one) => one.what === `iperf3 ${words}`)
      )?.ratio,
  })),
  ...['fio sequential read', 'fio sequential write', 'fio random 4 KiB read'].map((what) => ({
    name: `${what} in Debian, x QEMU TCG`,
    ...atLeast(0.7, 1),
    value: (tables) => tables['debian-io']?.find((one) => one.what === what)?.ratio,
  })),
  {
    name: 'qcow2 sequential write on the host side, x qemu-img bench',
    ...atLeast(0.5, 1),
    value: ({ disk }) =>
      disk && disk.qemu.length > 0 ? median(disk.qemu) / median(disk.ours) : undefined,
  },
];

function withSome(values, work) {
  return values?.length > 0 ? work(values) : undefined;
}

/** The figures that the tables of a run allow: `{ name, value, must, goal, met }`. */
export function figures(tables) {
  return asked.flatMap(({ name, must, goal, holds, value: from }) => {
    const value = from(tables);
    if (value === undefined) return [];
    const met =
      goal !== undefined && holds(value, goal) ? 'goal' : holds(value, must) ? 'must' : 'no';
    return [{ name, value, must, goal, met }];
  });
}

/** Rows of text for a table of figures. */
export function figureRows(tables) {
  const shown = (value) => (value === undefined ? '' : String(Number(value.toPrecision(3))));
  return figures(tables).map(({ name, value, must, goal, met }) => [
    name,
    shown(value),
    shown(must),
    shown(goal),
    met,
  ]);
}

export const figureHeader = ['asked of the soft engine', 'measured', 'must', 'goal', 'met'];

/** The figures as a table, or nothing when no table that ran has any. */
export function figureTable(tables) {
  const rows = figureRows(tables);
  return rows.length === 0 ? undefined : table(figureHeader, rows);
}
