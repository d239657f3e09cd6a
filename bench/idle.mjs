import { readFile } from 'node:fs/promises';
import { bootPeer } from './boot.mjs';
import { table } from './table.mjs';

const settleSeconds = 10;
const measureSeconds = 10;
const ticksPerSecond = 100; // USER_HZ, the same on every Linux [proc(5)]

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Seconds of CPU time a process has used, all its threads together. */
async function cpuSeconds(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The second field is the name in brackets and may hold spaces; utime and stime are 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** What a guest costs the host, in % of a core, once it has printed `ready` and settled. */
export async function idlePercent(guest, ready) {
  try {
    await guest.waitFor(ready);
    await sleep(settleSeconds);
    const before = await cpuSeconds(guest.pid);
    await sleep(measureSeconds);
    return ((await cpuSeconds(guest.pid)) - before) * (100 / measureSeconds);
  } finally {
    await guest.stop();
  }
}

/** What a guest that waits at its prompt costs the host. */
export async function benchIdle({ node, flags = {} }) {
  const guest = await bootPeer('chassis', 64, { node, jit: flags.jit });
  const percent = await idlePercent(guest, '/root # ');
  const rows = [['chassis soft', percent.toFixed(1)]];
  return { text: table(['idle at a prompt', '% of a core'], rows), data: { percent } };
}
