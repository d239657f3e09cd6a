import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cpioArchive } from '../tools/lib/cpio.mjs';
import { root } from '../tools/lib/paths.mjs';
import { run, StepError } from '../tools/lib/step.mjs';

const sources = join(root, 'bench/guest');
const target = join(root, 'dist/bench');

// Freestanding: no C library, no start files and no libgcc, so that the compiler alone is enough for
// 32 bits too, and the program is the same few instructions whatever is installed.
const flags = [
  ...['-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-ffreestanding', '-nostdlib', '-static'],
  ...['-no-pie', '-fno-pic', '-fno-stack-protector', '-fno-asynchronous-unwind-tables'],
  // A square root is the instruction alone, and loops stay loops: there is no library to call.
  ...['-fno-math-errno', '-fno-tree-loop-distribute-patterns', '-fcf-protection=none'],
];

/** Builds the benchmark's guest program for 64 or 32 bits; resolves to its path. */
export async function buildGuestProgram(bits) {
  await mkdir(target, { recursive: true });
  const output = join(target, `guest-${bits}`);
  const files = (await readdir(sources)).filter((name) => name.endsWith('.c')).sort();
  const fresh = `${output}.${process.pid}`;
  const command = [`-m${bits}`, ...flags, '-o', fresh, ...files.map((f) => join(sources, f))];
  try {
    await run('gcc', command, { quiet: true });
  } catch (error) {
    const packages = bits === 32 ? 'gcc and gcc-multilib' : 'gcc';
    throw new StepError(
      `the ${bits}-bit guest program could not be built (on Debian: apt-get install ${packages}): ` +
        error.message,
    );
  }
  await rename(fresh, output);
  return output;
}

/** An initramfs whose init is the guest program; resolves to its path. */
export async function buildGuestInitramfs(bits) {
  const program = await readFile(await buildGuestProgram(bits));
  const file = join(target, `guest-${bits}.cpio`);
  const archive = cpioArchive([
    { path: 'dev', kind: 'directory', mode: 0o755 },
    { path: 'dev/console', kind: 'device', mode: 0o600, major: 5, minor: 1 },
    { path: 'init', kind: 'file', mode: 0o755, data: program },
  ]);
  await writeFile(`${file}.${process.pid}`, archive);
  await rename(`${file}.${process.pid}`, file);
  return file;
}
