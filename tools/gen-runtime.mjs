// Compiles src/cpu/runtime (AssemblyScript) to dist/cpu/runtime/runtime.wasm. The numbers of
// cpu/state/layout.ts become constants of the same names in src/cpu/runtime/generated-layout.ts.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { performance } from 'node:perf_hooks';
import asc from 'assemblyscript/asc';
import { root } from './lib/paths.mjs';

const layout = await import(join(root, 'dist/cpu/state/layout.js'));
const source = join(root, 'src/cpu/runtime');
const out = join(root, 'dist/cpu/runtime');
const generated = join(source, 'generated-layout.ts');
/** Pages up to the first vCPU's area: what the module may assume to exist. */
const leastPages = layout.VCPU_AREA / 0x1_0000;

const lines = Object.entries(layout)
  .filter(([, value]) => typeof value === 'number')
  .map(
    ([name, value]) => `export const ${name}: i32 = ${value > 0x7fff_ffff ? value | 0 : value};`,
  );
const text = `// Generated from cpu/state/layout.ts by tools/gen-runtime.mjs.\n${lines.join('\n')}\n`;
if ((await readFile(generated, 'utf8').catch(() => '')) !== text) await writeFile(generated, text);
await mkdir(out, { recursive: true });

const started = performance.now();
const { error, stdout, stderr } = await asc.main([
  relative(process.cwd(), join(source, 'index.ts')),
  ...['--outFile', relative(process.cwd(), join(out, 'runtime.wasm'))],
  ...['--textFile', relative(process.cwd(), join(out, 'runtime.wat'))],
  ...['--runtime', 'stub', '--use', 'abort=', '--noAssert'],
  ...['--optimizeLevel', '3', '--shrinkLevel', '0', '--converge'],
  ...['--importMemory', '--sharedMemory', '--noExportMemory'],
  ...['--initialMemory', String(leastPages), '--maximumMemory', '65536'],
  ...['--memoryBase', String(layout.RUNTIME_DATA)],
  ...['--enable', 'threads', '--enable', 'simd', '--enable', 'bulk-memory'],
]);
process.stdout.write(stdout.toString());
process.stderr.write(stderr.toString());
if (error) {
  process.stderr.write(`gen-runtime: ${error.message}\n`);
  process.exit(1);
}
const seconds = ((performance.now() - started) / 1000).toFixed(1);
process.stdout.write(`runtime.wasm compiled in ${seconds} s\n`);
