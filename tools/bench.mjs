// `npm run bench`: tables of speed, with QEMU TCG in the same run. Arguments choose among the tables;
// `--json FILE` keeps what they were made from, `--node current` runs Chassis with a Node of today.
import { writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { benchBoot } from '../bench/boot.mjs';
import { benchDebian } from '../bench/debian.mjs';
import { benchDebianIo } from '../bench/debian-io.mjs';
import { benchDisk } from '../bench/disk.mjs';
import { benchDispatch } from '../bench/dispatch.mjs';
import { figureTable } from '../bench/figures.mjs';
import { benchGuest, guestFlags } from '../bench/guest.mjs';
import { benchIdle } from '../bench/idle.mjs';
import { benchInterpBuild } from '../bench/interp-build.mjs';
import { benchKvm } from '../bench/kvm.mjs';
import { benchMemory } from '../bench/memory.mjs';
import { benchMips } from '../bench/mips.mjs';
import { benchNet } from '../bench/net.mjs';
import { benchTcpNat } from '../bench/tcp-nat.mjs';
import { build } from './lib/build.mjs';
import { nodeProgram } from './lib/current-node.mjs';
import { ensureGuests, guestOrigins } from './lib/guests.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { main, run, StepError, say } from './lib/step.mjs';

const benches = {
  mips: benchMips,
  boot: benchBoot,
  memory: benchMemory,
  idle: benchIdle,
  build: benchInterpBuild,
  guest: benchGuest,
  dispatch: benchDispatch,
  kvm: benchKvm,
  disk: benchDisk,
  debian: benchDebian,
  'debian-io': benchDebianIo,
  net: benchNet,
  tcp: benchTcpNat,
};

const flagTable = { ...guestFlags, json: { type: 'string' } };

await main(async () => {
  const { values: flags, positionals: chosen } = readArguments();
  const unknown = chosen.find((name) => !Object.hasOwn(benches, name));
  if (unknown) throw new StepError(`no table "${unknown}"; there are ${Object.keys(benches)}`);
  await ensureInstalled();
  await build();
  await ensureGuests({ all: true });
  const qemu = await qemuVersion();
  if (!qemu) {
    say('warning: no QEMU to compare with; on Debian: apt-get install qemu-system-x86');
  }
  const node = await nodeProgram(flags.node);
  const report = { machine: await machine({ qemu, node }), tables: {} };
  for (const [what, value] of Object.entries(report.machine)) console.log(`${what}: ${value}`);
  let failed = 0;
  for (const [name, bench] of Object.entries(benches)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    try {
      const result = await bench({ qemu: qemu !== undefined, flags, node });
      console.log(`\n${result.text}`);
      report.tables[name] = result.data;
      failed += result.failures?.length ?? 0;
    } catch (error) {
      failed++;
      console.log(`\n${name}: ${error.message}`);
    }
  }
  const summary = figureTable(report.tables);
  if (summary) console.log(`\n${summary}`);
  if (flags.json) await writeFile(flags.json, `${JSON.stringify(report, null, 2)}\n`);
  return failed === 0 ? 0 : 1;
});

function readArguments() {
  try {
    return parseArgs({ options: flagTable, allowPositionals: true });
  } catch (error) {
    throw new StepError(`${error.message}; the flags are --${Object.keys(flagTable).join(', --')}`);
  }
}

/** What the figures were measured on and with. */
async function machine({ qemu, node }) {
  const origins = await guestOrigins();
  return {
    host: `${cpus().length} x ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: (await run(node, ['--version'], { quiet: true })).trim(),
    qemu: qemu ?? 'not there',
    kernel: origins['vmlinuz-cloud-amd64'] ?? 'the user’s own',
    'kernel (32-bit)': origins['vmlinuz-686'] ?? 'the user’s own',
    date: new Date().toISOString().slice(0, 10),
  };
}

async function qemuVersion() {
  try {
    const text = await run('qemu-system-x86_64', ['--version'], { quiet: true });
    return text.split('\n')[0];
  } catch {
    return undefined;
  }
}
