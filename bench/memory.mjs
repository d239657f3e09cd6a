import { open, readFile } from 'node:fs/promises';
import { bootPeer } from './boot.mjs';
import { ramMib } from './peers.mjs';
import { table } from './table.mjs';

const settleMs = 3000;
const pageBytes = 4096;
const kib = 1024;
const ramKib = ramMib * kib;

/**
 * The mappings of a process [proc(5), smaps]: addresses as numbers, sizes in KiB. `dirty` is what no
 * file can give back: pages written by this process, its own or shared.
 */
async function mappingsOf(pid) {
  const text = await readFile(`/proc/${pid}/smaps`, 'utf8');
  const mappings = [];
  for (const line of text.split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) /.exec(line);
    if (head) {
      const [from, to] = [head[1], head[2]].map((digits) => Number.parseInt(digits, 16));
      mappings.push({ from, to, access: head[3], resident: 0, dirty: 0 });
      continue;
    }
    const field = /^(Rss|Private_Dirty|Shared_Dirty): +(\d+) kB$/.exec(line);
    if (!field) continue;
    mappings.at(-1)[field[1] === 'Rss' ? 'resident' : 'dirty'] += Number(field[2]);
  }
  return mappings;
}

/** KiB of an address range that have pages behind them [Documentation/admin-guide/mm/pagemap.rst]. */
async function presentKib(pid, from, bytes) {
  const entries = Buffer.alloc((bytes / pageBytes) * 8);
  const file = await open(`/proc/${pid}/pagemap`);
  try {
    await file.read(entries, 0, entries.length, (from / pageBytes) * 8);
  } finally {
    await file.close();
  }
  let pages = 0;
  for (let at = 7; at < entries.length; at += 8) if (entries[at] & 0x80) pages++;
  return (pages * pageBytes) / kib;
}

/** QEMU maps the guest's memory by itself. */
async function beyondQemuRam(pid) {
  const mappings = await mappingsOf(pid);
  const size = ({ from, to }) => (to - from) / kib;
  const ram = mappings.find((one) => size(one) === ramKib && one.access === 'rw-p');
  if (!ram) throw new Error(`no mapping of ${ramMib} MiB in QEMU's process`);
  return sum(mappings.filter((one) => one !== ram));
}

/** Chassis's guest memory follows the engine's state in one WebAssembly memory: the state counts. */
async function beyondChassisRam(pid) {
  const { VCPU_AREA, VCPU_STRIDE } = await import('#src/cpu/state/layout.js');
  const stateKib = (VCPU_AREA + VCPU_STRIDE) / kib;
  const mappings = await mappingsOf(pid);
  const memory = mappings.find(({ from, to, access }) => {
    const rest = (to - from) / kib - stateKib - ramKib;
    return access.startsWith('rw') && rest >= 0 && rest <= 2 * kib; // ROM, rounding
  });
  if (!memory) throw new Error(`no mapping of ${ramMib} MiB and the state in Chassis's process`);
  const state = await presentKib(pid, memory.from, stateKib * kib);
  const others = sum(mappings.filter((one) => one !== memory));
  return { resident: others.resident + state, dirty: others.dirty + state };
}

function sum(mappings) {
  const add = (field) => mappings.reduce((total, one) => total + one[field], 0);
  return { resident: add('resident'), dirty: add('dirty') };
}

/** What a process with a booted guest has in memory beyond the guest's own, in KiB. */
async function measure(name, beyondRam, options) {
  const guest = await bootPeer(name, 64, options);
  try {
    await guest.waitFor('/root # ');
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    return { name, ...(await beyondRam(guest.pid)) };
  } finally {
    await guest.stop();
  }
}

/** Memory beyond guest RAM after a boot of the cloud kernel, by the same rule for both. */
export async function benchMemory({ qemu, node, flags = {} }) {
  const data = [await measure('chassis', beyondChassisRam, { node, jit: flags.jit })];
  if (qemu) data.push(await measure('qemu', beyondQemuRam, {}));
  const against = data.find(({ name }) => name === 'qemu');
  const mib = (value) => (value / kib).toFixed(1);
  const rows = data.map(({ name, resident, dirty }) => [
    name,
    mib(dirty),
    against ? (dirty / against.dirty).toFixed(2) : '-',
    mib(resident),
    against ? (resident / against.resident).toFixed(2) : '-',
  ]);
  const header = ['beyond guest RAM', 'written, MiB', 'x QEMU', 'resident, MiB', 'x QEMU'];
  return { text: table(header, rows), data };
}
