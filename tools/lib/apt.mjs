import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { cacheDir } from './paths.mjs';
import { run, StepError, say, timed } from './step.mjs';

/**
 * Debian packages without root and without touching the machine's own package state: apt runs on
 * lists of its own under the cache, with the machine's sources and keyrings, so that signatures are
 * verified as ever. One such state an architecture, so that i386 packages can be had on any host.
 */

const listsAgeMs = 24 * 3600 * 1000;

function stateDir(arch) {
  return join(cacheDir, 'apt', arch);
}

function options(arch) {
  const dir = stateDir(arch);
  const settings = [
    `Dir::State=${dir}/state`,
    `Dir::State::status=${dir}/status`,
    `Dir::Cache=${dir}/cache`,
    `APT::Architecture=${arch}`,
    `APT::Architectures=${arch}`,
    'Acquire::Languages=none',
  ];
  // As root apt hands downloads to a user who may not write into root's cache.
  if (process.getuid?.() === 0) settings.push('APT::Sandbox::User=root');
  return settings.flatMap((setting) => ['-o', setting]);
}

/** Whether this machine has what {@link fetchFromPackage} needs. */
export async function aptMissing() {
  for (const command of ['apt-get', 'apt-cache', 'dpkg-deb']) {
    try {
      await run(command, ['--version'], { quiet: true });
    } catch {
      return command;
    }
  }
  return undefined;
}

async function updateLists(arch, { force }) {
  const dir = stateDir(arch);
  const stamp = join(dir, 'updated');
  const age = Date.now() - ((await stat(stamp).catch(() => undefined))?.mtimeMs ?? 0);
  if (age < listsAgeMs && !force) return;
  await mkdir(join(dir, 'state', 'lists', 'partial'), { recursive: true });
  await mkdir(join(dir, 'cache', 'archives', 'partial'), { recursive: true });
  await writeFile(join(dir, 'status'), '', { flag: 'a' });
  await timed(`package lists for ${arch}`, async () => {
    for (let tries = 1; ; tries++) {
      try {
        await run('apt-get', [...options(arch), 'update'], { quiet: true });
        return;
      } catch (error) {
        if (/Could not get lock/.test(error.message) && tries < 60) {
          await new Promise((resolve) => setTimeout(resolve, 2000));
          continue;
        }
        // One broken third-party source fails the whole update; what is needed may still be there.
        if ((await readdir(join(dir, 'state', 'lists'))).some((f) => f.includes('_Packages')))
          return;
        throw error;
      }
    }
  });
  await writeFile(stamp, '');
}

/** A meta package's concrete one: `linux-image-amd64` depends on `linux-image-6.1.0-40-amd64`. */
async function resolvePackage(arch, name) {
  if (!name.startsWith('linux-image-')) return name;
  const text = await run('apt-cache', [...options(arch), 'depends', name], { quiet: true });
  const found = /^\s*Depends: (linux-image-\S+)$/m.exec(text)?.[1];
  if (!found) throw new StepError(`${name}: apt-cache names no concrete kernel package`);
  return found;
}

/**
 * Downloads a package, unpacks it, and puts the first file matching `pattern` (a path inside the
 * package) at `target`, atomically; with `all` every one, into the folder `target`. Returns the
 * package's file name, which carries its version.
 */
export async function fetchFromPackage(wanted) {
  const fetched = await fetchWith({ ...wanted, force: false }).catch((error) => {
    // The lists may be older than the archive: a second try with fresh ones settles it.
    if (!(error instanceof StepError)) throw error;
    return fetchWith({ ...wanted, force: true });
  });
  return fetched;
}

async function fetchWith({ arch, name, pattern, target, all = false, force }) {
  await updateLists(arch, { force });
  await mkdir(dirname(target), { recursive: true });
  const work = await mkdtemp(join(cacheDir, 'fetch-'));
  try {
    const concrete = await resolvePackage(arch, name);
    say(`  downloading ${concrete} (${arch}) ...`);
    await run('apt-get', [...options(arch), 'download', concrete], { cwd: work, quiet: true });
    const deb = (await readdir(work)).find((file) => file.endsWith('.deb'));
    if (!deb) throw new StepError(`${concrete}: apt-get download left no .deb file`);
    const tree = join(work, 'tree');
    await run('dpkg-deb', ['-x', join(work, deb), tree], { quiet: true });
    const paths = await readdir(tree, { recursive: true });
    const matching = paths.sort().filter((candidate) => pattern.test(`/${candidate}`));
    if (matching.length === 0) throw new StepError(`${deb}: no file matches ${pattern}`);
    const partial = `${target}.${basename(work)}`;
    if (all) {
      await mkdir(partial);
      for (const path of matching) await copyFile(join(tree, path), join(partial, basename(path)));
      await rm(target, { recursive: true, force: true });
    } else await copyFile(join(tree, matching[0]), partial);
    await rename(partial, target);
    return deb;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
