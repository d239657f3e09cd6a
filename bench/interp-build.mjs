import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../tools/lib/paths.mjs';
import { run, StepError } from '../tools/lib/step.mjs';
import { table } from './table.mjs';

const steps = [
  ['cpu runtime (AssemblyScript)', 'tools/gen-runtime.mjs', 'dist/cpu/runtime/runtime.wasm'],
  ['interpreter (instruction table)', 'tools/gen-interp.mjs', 'dist/cpu/interp/interp.wasm'],
];

/** How long the generated parts take to make, from compiled TypeScript on. */
export async function benchInterpBuild() {
  const data = [];
  for (const [name, script, output] of steps) {
    if (!existsSync(join(root, script))) throw new StepError(`${script} is not there`);
    const from = performance.now();
    await run(process.execPath, [join(root, script)], { quiet: true });
    const seconds = (performance.now() - from) / 1000;
    data.push({ name, seconds, bytes: statSync(join(root, output)).size });
  }
  const rows = data.map(({ name, seconds, bytes }) => [
    name,
    seconds.toFixed(1),
    (bytes / 1024).toFixed(0),
  ]);
  return { text: table(['build', 'seconds', 'KiB'], rows), data };
}
