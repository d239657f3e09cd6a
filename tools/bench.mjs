// `npm run bench`: tables of speed, with QEMU TCG in the same run. Arguments choose among the tables.
import { cpus } from 'node:os';
import { benchBoot } from '../bench/boot.mjs';
import { benchIdle } from '../bench/idle.mjs';
import { benchInterpBuild } from '../bench/interp-build.mjs';
import { benchMips } from '../bench/mips.mjs';
import { build } from './lib/build.mjs';
import { ensureGuests, guestOrigins } from './lib/guests.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { main, run, StepError, say } from './lib/step.mjs';

const benches = { mips: benchMips, boot: benchBoot, idle: benchIdle, build: benchInterpBuild };

await main(async () => {
  const chosen = process.argv.slice(2);
  const unknown = chosen.find((name) => !Object.hasOwn(benches, name));
  if (unknown) throw new StepError(`no table "${unknown}"; there are ${Object.keys(benches)}`);
  await ensureInstalled();
  await build();
  await ensureGuests();
  const qemu = await qemuVersion();
  if (!qemu) {
    say('warning: no QEMU to compare with; on Debian: apt-get install qemu-system-x86');
  }
  console.log(`host: ${cpus().length} x ${cpus()[0]?.model}, Node ${process.version}`);
  console.log(`qemu: ${qemu ?? 'not there'}`);
  console.log(`kernel: ${(await guestOrigins())['vmlinuz-cloud-amd64'] ?? 'the user’s own'}`);
  let failed = 0;
  for (const [name, bench] of Object.entries(benches)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    try {
      console.log(`\n${await bench({ qemu: qemu !== undefined })}`);
    } catch (error) {
      failed++;
      console.log(`\n${name}: ${error.message}`);
    }
  }
  return failed === 0 ? 0 : 1;
});

async function qemuVersion() {
  try {
    const text = await run('qemu-system-x86_64', ['--version'], { quiet: true });
    return text.split('\n')[0];
  } catch {
    return undefined;
  }
}
