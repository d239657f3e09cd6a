import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './paths.mjs';
import { run, say, timed } from './step.mjs';

/** Runs `npm ci` when node_modules is missing or is not what package-lock.json says. */
export async function ensureInstalled() {
  if (await installedMatchesLock()) return;
  say('Installing the development packages (npm ci) ...');
  await timed('npm ci', () => run('npm', ['ci', '--no-audit', '--no-fund'], { quiet: true }));
}

async function installedMatchesLock() {
  const wanted = await packagesOf(join(root, 'package-lock.json'));
  const found = await packagesOf(join(root, 'node_modules', '.package-lock.json'));
  if (!wanted || !found) return false;
  return Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.optional || found[path]?.version === entry.version,
  );
}

async function packagesOf(file) {
  try {
    return JSON.parse(await readFile(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}
