import { buildGuestInitramfs } from './guest-build.mjs';
import { startGuest } from './guest-run.mjs';
import { peers } from './peers.mjs';
import { table } from './table.mjs';

/** Kernels that compute: no system calls, no page faults, no other processes. */
const compute = [
  ...['integer', 'mul64', 'branch', 'call', 'indirect', 'bytecode', 'chase', 'string', 'sort'],
  ...['copy-sse', 'copy-rep', 'hash', 'sha256', 'aes', 'fp-double', 'fp-single', 'fp-vector'],
  'sse-integer',
];
const append = 'console=ttyS0 quiet cryptomgr.notests';
/** About what a kernel takes. */
const nsPerKernel = 3e8;

/** What `--trace jit` counted so far: the line of JSON that SIGUSR2 asks for. */
async function statistics(guest) {
  const before = guest.errors().length;
  process.kill(guest.pid, 'SIGUSR2');
  for (;;) {
    const line = /jit: (\{.*\})\n/.exec(guest.errors().slice(before));
    if (line) return JSON.parse(line[1]);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function runKernel(guest, kernel, passes) {
  guest.type(`run ${kernel} ${passes}\n`);
  const { match } = await guest.takeLine(new RegExp(`=${kernel} (\\d+) (\\S+) (\\d+)$`));
  return Number(match[3]);
}

/** Instructions that the compute kernels run for each dispatch by the run loop. */
export async function benchDispatch({ node = process.execPath }) {
  const initrd = await buildGuestInitramfs(64);
  const [command, args] = await peers.chassis.command(64, { node, initrd, append });
  const guest = startGuest(command, [...args, '--engine', 'soft', '--trace', 'jit']);
  const data = [];
  try {
    await guest.takeLine(/bench ready/);
    for (const kernel of compute) {
      let [passes, ns] = [1, 0];
      // Until it is translated, and long enough to count.
      for (; ns < nsPerKernel / 2; passes = Math.ceil(passes * Math.min(10, nsPerKernel / ns))) {
        ns = await runKernel(guest, kernel, passes);
      }
      // A run twice as long, less a run: what prepares the kernel's memory falls out.
      const before = await statistics(guest);
      await runKernel(guest, kernel, passes);
      const between = await statistics(guest);
      await runKernel(guest, kernel, passes * 2);
      const after = await statistics(guest);
      const passesAlone = (count) => count(after) - 2 * count(between) + count(before);
      const dispatches = Math.max(
        1,
        passesAlone(({ entries }) => entries),
      );
      const instructions = passesAlone(({ retired }) => retired);
      data.push({ kernel, instructions, dispatches, each: instructions / dispatches });
    }
  } finally {
    await guest.stop();
  }
  const rows = data.map(({ kernel, instructions, dispatches, each }) => [
    kernel,
    (instructions / 1e6).toFixed(1),
    dispatches,
    each.toFixed(0),
  ]);
  const header = ['dispatches by the run loop', 'million instructions', 'dispatches', 'each'];
  return { text: table(header, rows), data };
}
