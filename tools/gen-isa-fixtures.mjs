// Writes test/isa/fixtures/instructions.gz: cases of every encoding and what this machine's CPU did.
// Needs gcc and an x86-64 Linux on a CPU of Intel with all features that the table has.
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { build } from './lib/build.mjs';
import { root } from './lib/paths.mjs';
import { main, StepError, say } from './lib/step.mjs';

const seed = 20260101;
const each = 8;

await main(async () => {
  await build();
  const { makeFixture } = await import('../dist/test/isa/fixture.js');
  const { Host, hostCpu } = await import('../dist/test/isa/host.js');
  const { askOracle, buildOracle } = await import('../dist/test/isa/oracle.js');
  const oracle = buildOracle();
  if ('missing' in oracle) throw new StepError(oracle.missing);
  const host = new Host(hostCpu().flags);
  const file = await makeFixture(host, seed, each, (cases) => askOracle(oracle.path, cases));
  await rm(dirname(oracle.path), { recursive: true });
  await writeFile(join(root, 'test/isa/fixtures/instructions.gz'), file);
  say(`test/isa/fixtures/instructions.gz: ${file.length} bytes`);
});
