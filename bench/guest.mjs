import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nodeProgram } from '../tools/lib/current-node.mjs';
import { main, StepError, say } from '../tools/lib/step.mjs';
import { buildGuestInitramfs } from './guest-build.mjs';
import { startGuest } from './guest-run.mjs';
import { guestTable } from './guest-table.mjs';
import { peers } from './peers.mjs';
import { median } from './table.mjs';

export const guestFlags = {
  only: { type: 'string' }, // kernels, by name
  peer: { type: 'string' }, // peers, by name
  bits: { type: 'string' }, // 64, 32 or both
  rounds: { type: 'string' }, // how often each peer has its turn at each kernel
  seconds: { type: 'string' }, // about what a kernel takes in one round
  jit: { type: 'string' }, // passed on to Chassis
  node: { type: 'string' }, // the Node that runs Chassis and v86: a program, or "current"
};

/**
 * The kernel's self-tests of its ciphers are half of a boot and nothing to a benchmark; the same words
 * for every peer.
 */
const append = 'console=ttyS0 quiet cryptomgr.notests';

/** A clock that goes this much faster or slower than the host's is not believed ... */
const driftLimit = 0.02;
/** ... beyond what a line on its way through a console may take, in seconds, for each of two. */
const consoleSeconds = 0.005;

/** Starts a peer's guest and waits until the program in it takes commands. */
async function startPeer(name, bits, options) {
  const initrd = await buildGuestInitramfs(bits);
  const [command, args] = await peers[name].command(bits, { ...options, initrd, append });
  const guest = startGuest(command, args, 3600);
  const { seconds } = await guest.takeLine(/bench ready/);
  return { name, guest, bootSeconds: seconds, hostSeconds: 0, guestSeconds: 0, lines: 0 };
}

/** Has a peer run a kernel so many times; seconds by the guest's clock and by the host's. */
async function measure(peer, kernel, passes) {
  peer.guest.type(`run ${kernel} ${passes}\n`);
  const { seconds: from } = await peer.guest.takeLine(new RegExp(`<${kernel}$`));
  const answer = await peer.guest.takeLine(new RegExp(`=${kernel} (\\d+) (\\S+) (\\d+)$`));
  const [, done, checksum, ns] = answer.match;
  if (Number(done) !== passes || checksum === 'varies') {
    throw new StepError(`${peer.name}: ${kernel} answered "${answer.line}"`);
  }
  const host = answer.seconds - from;
  peer.lines += 2;
  peer.hostSeconds += host;
  peer.guestSeconds += Number(ns) / 1e9;
  return { checksum, host, guest: Number(ns) / 1e9 };
}

/** Finds how many passes of a kernel take about so many seconds; warms up on the way. */
async function calibrate(peer, kernel, seconds) {
  for (let passes = 1; ; ) {
    const { host, checksum } = await measure(peer, kernel, passes);
    const perPass = host / passes;
    if (host > seconds / 4) {
      return { passes: Math.max(1, Math.round(seconds / perPass)), checksum };
    }
    passes = Math.ceil(passes * Math.min(20, Math.max(2, (seconds * 0.4) / host)));
  }
}

/** One kernel on all peers in turns; seconds of each round by both clocks, and the checksum. */
async function runKernel(kernel, running, { rounds, seconds }) {
  const plans = new Map();
  for (const peer of running) plans.set(peer, await calibrate(peer, kernel, seconds));
  const sums = new Set([...plans.values()].map((plan) => plan.checksum));
  if (sums.size !== 1) {
    const each = running.map((peer) => `${peer.name} ${plans.get(peer).checksum}`);
    throw new StepError(`${kernel}: the checksums differ: ${each.join(', ')}`);
  }
  const result = { name: kernel, checksum: [...sums][0], peers: {} };
  for (const peer of running) {
    result.peers[peer.name] = { passes: plans.get(peer).passes, guestNs: [], hostNs: [] };
  }
  for (let round = 0; round < rounds; round++) {
    for (const peer of running) {
      const { passes, checksum } = plans.get(peer);
      const spent = await measure(peer, kernel, passes);
      if (spent.checksum !== checksum) throw new StepError(`${peer.name}: ${kernel} varies`);
      result.peers[peer.name].guestNs.push((spent.guest / passes) * 1e9);
      result.peers[peer.name].hostNs.push((spent.host / passes) * 1e9);
    }
  }
  return result;
}

async function kernelNames(peer) {
  const names = [];
  peer.guest.type('list\n');
  for (;;) {
    const { match } = await peer.guest.takeLine(/kernel (\S+)$|done$/);
    if (match[1] === undefined) return names;
    names.push(match[1]);
  }
}

/** All kernels on all peers for one width of code; what `--json` holds of it. */
async function measureBits(bits, names, options) {
  const running = [];
  try {
    for (const name of names) {
      say(`  ${bits}-bit guest under ${name} ...`);
      running.push(await startPeer(name, bits, options));
    }
    const known = await kernelNames(running[0]);
    const unknown = options.only.find((name) => !known.includes(name));
    if (unknown) throw new StepError(`--only: no kernel "${unknown}"; there are ${known}`);
    const kernels = [];
    for (const name of known) {
      if (options.only.length > 0 && !options.only.includes(name)) continue;
      const kernel = await runKernel(name, running, options);
      const shown = Object.entries(kernel.peers).map(
        ([peer, { hostNs }]) => `${peer} ${(median(hostNs) / 1000).toFixed(1)} us`,
      );
      say(`  ${name}: ${shown.join(', ')}`);
      kernels.push(kernel);
    }
    return { bits, peers: running.map(summary), kernels };
  } finally {
    await Promise.all(running.map(({ guest }) => guest.stop()));
  }
}

/** What a peer's clock was worth, and which clock the figures are to be taken by. */
function summary({ name, bootSeconds, hostSeconds, guestSeconds, lines }) {
  const drift = guestSeconds / hostSeconds - 1;
  const allowed = driftLimit + (lines * consoleSeconds) / hostSeconds;
  const clock = Math.abs(drift) > allowed ? 'host' : 'guest';
  return { name, bootSeconds, hostSeconds, guestSeconds, drift, clock };
}

function words(text) {
  return text === undefined ? [] : text.split(',').filter((word) => word !== '');
}

function positive(flag, text, otherwise) {
  const value = text === undefined ? otherwise : Number(text);
  if (value > 0 && value < 1000) return value;
  throw new StepError(`--${flag}: found "${text}", wanted a number above 0`);
}

/** The guest program's kernels under every peer that runs them, side by side. */
export async function benchGuest({ flags = {}, node = process.execPath, qemu = true }) {
  const options = {
    node,
    jit: flags.jit,
    only: words(flags.only),
    rounds: Math.ceil(positive('rounds', flags.rounds, 3)),
    seconds: positive('seconds', flags.seconds, 0.6),
  };
  const asked = words(flags.peer);
  const unknown = asked.find((name) => !Object.hasOwn(peers, name));
  if (unknown) throw new StepError(`--peer: no peer "${unknown}"; there are ${Object.keys(peers)}`);
  const widths = { 64: [64], 32: [32], both: [64, 32] }[flags.bits ?? 'both'];
  if (!widths) throw new StepError(`--bits: found "${flags.bits}", wanted 64, 32 or both`);
  const namesOf = (bits) =>
    Object.keys(peers).filter(
      (name) =>
        peers[name].bits.includes(bits) &&
        (asked.length === 0 ? !peers[name].onlyWhenAsked : asked.includes(name)) &&
        (name !== 'qemu' || qemu),
    );
  const able = widths.filter((bits) => namesOf(bits).length > 0);
  if (able.length === 0) throw new StepError(`none of ${asked} runs ${widths}-bit code here`);
  const results = [];
  const failures = [];
  for (const bits of able) {
    try {
      results.push(await measureBits(bits, namesOf(bits), options));
    } catch (error) {
      failures.push(`${bits}-bit: ${error.message}`);
    }
  }
  return { text: [...results.map(guestTable), ...failures].join('\n\n'), data: results, failures };
}

// `node bench/guest.mjs --only sort --peer chassis,qemu` skips what `npm run bench` sees to first
// (installing, building, fetching) and is for 64 bits unless told.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    const { values } = parseArgs({ options: guestFlags });
    const node = await nodeProgram(values.node);
    const { text, failures } = await benchGuest({ flags: { bits: '64', ...values }, node });
    console.log(text);
    return failures.length === 0 ? 0 : 1;
  });
}
