// `npm test`: installs, builds and fetches what is missing, then runs every test in dist/. With
// --long also those that take minutes; other arguments are parts of the paths of tests to run.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from './lib/build.mjs';
import { ensureGuests } from './lib/guests.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { root } from './lib/paths.mjs';
import { main, StepError, say } from './lib/step.mjs';

const long = process.argv.includes('--long') || process.env.CHASSIS_LONG === '1';
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));

await main(async () => {
  await ensureInstalled();
  await build();
  await fetchForTests();
  const files = (await readdir(join(root, 'dist'), { recursive: true }))
    .filter((file) => file.endsWith('.test.js'))
    .filter((file) => long || !file.startsWith(join('test', 'long')))
    .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
    .map((file) => join('dist', file))
    .sort();
  if (files.length === 0) throw new StepError(`no test's path contains ${wanted.join(' or ')}`);
  const options = [
    '--enable-source-maps',
    '--test',
    '--test-reporter=spec',
    '--test-concurrency=2',
  ];
  // The same random cases in every run, so that a change is judged by what it changed; the long tests
  // and whoever sets another seed look for new ones.
  const seed = process.env.CHASSIS_FUZZ_SEED ?? (long ? randomInt(2 ** 28) : 20_261_122);
  say(`seed of the random tests: CHASSIS_FUZZ_SEED=${seed}`);
  const env = {
    ...process.env,
    CHASSIS_FUZZ_SEED: String(seed),
    ...(long ? { CHASSIS_LONG: '1' } : {}),
  };
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...options, ...files], {
      cwd: root,
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.on('close', (status) => resolve(status ?? 1));
  });
});

/** Without guest files the tests that boot them skip and say so; CI must not pass that way. */
async function fetchForTests() {
  try {
    await ensureGuests({ all: true });
  } catch (error) {
    if (!(error instanceof StepError) || process.env.CI) throw error;
    say(`warning: tests that boot a guest are skipped: ${error.message}`);
  }
}
