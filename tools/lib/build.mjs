import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { root } from './paths.mjs';
import { run, timed } from './step.mjs';

/**
 * What is generated after the TypeScript is compiled, in order. A script runs when the content of
 * its inputs (folders or files) is not what it was the last time, or an output is missing.
 */
const generated = [
  {
    script: 'tools/gen-runtime.mjs',
    inputs: ['src/cpu/runtime', 'dist/cpu/state', 'dist/cpu/interp/record.js', 'package-lock.json'],
    outputs: ['dist/cpu/runtime/runtime.wasm'],
  },
  {
    script: 'tools/gen-interp.mjs',
    inputs: ['dist/cpu', 'package-lock.json'],
    outputs: ['dist/cpu/interp/interp.wasm'],
  },
];

/** Compiles, generates and removes what has no source any more. Quick when all is up to date. */
export async function build({ quiet = false } = {}) {
  const step = quiet ? (_what, work) => work() : timed;
  await step('removing what lost its source', removeOrphans);
  await step('TypeScript (tsc -b)', () => run(join(root, 'node_modules/.bin/tsc'), ['-b']));
  for (const { script, inputs, outputs } of generated) {
    if (!(await exists(join(root, script)))) continue;
    const stamp = join(root, 'dist/.build', script.replaceAll('/', '-'));
    const before = await contentHash([script, ...inputs], outputs);
    const made = await Promise.all(outputs.map((output) => exists(join(root, output))));
    if (made.every(Boolean) && (await readFile(stamp, 'utf8').catch(() => '')) === before) continue;
    await timed(script, () => run(process.execPath, [join(root, script)]));
    await mkdir(join(root, 'dist/.build'), { recursive: true });
    await writeFile(stamp, await contentHash([script, ...inputs], outputs));
  }
}

async function exists(path) {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** A hash over the content of all files below `paths`; outputs, maps, types and tests left out. */
async function contentHash(paths, outputs) {
  const hash = createHash('sha256');
  for (const path of paths) {
    for (const file of await filesBelow(join(root, path))) {
      const name = relative(root, file);
      if (outputs.includes(name) || /\.(map|d\.ts|test\.js|tsbuildinfo)$/.test(name)) continue;
      hash.update(`${name}\0`).update(await readFile(file));
    }
  }
  return hash.digest('hex');
}

async function filesBelow(path) {
  const info = await stat(path).catch(() => undefined);
  if (!info) return [];
  if (!info.isDirectory()) return [path];
  const names = (await readdir(path)).sort();
  return (await Promise.all(names.map((name) => filesBelow(join(path, name))))).flat();
}

/** A test whose source was deleted or moved would otherwise run for ever from dist. */
async function removeOrphans() {
  for (const map of await filesBelow(join(root, 'dist'))) {
    if (!map.endsWith('.js.map')) continue;
    const inDist = relative(join(root, 'dist'), map).slice(0, -'.js.map'.length);
    const outsideSrc = ['test', 'examples'].some((folder) => inDist.startsWith(folder + sep));
    const source = outsideSrc ? inDist : join('src', inDist);
    if (await exists(join(root, `${source}.ts`))) continue;
    const stem = map.slice(0, -'.js.map'.length);
    for (const end of ['.js', '.js.map', '.d.ts']) await rm(stem + end, { force: true });
  }
}
