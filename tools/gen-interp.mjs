// Generates the interpreter from the compiled instruction table: dist/cpu/interp/interp.wasm.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { instructionTable } = await import(join(root, 'dist/cpu/isa/index.js'));
const { generateInterpreter } = await import(join(root, 'dist/cpu/interp/interpreter.js'));
const { HandlerIndex } = await import(join(root, 'dist/cpu/interp/handler-index.js'));

const started = performance.now();
const bytes = generateInterpreter(instructionTable);
if (!WebAssembly.validate(bytes)) {
  // Compiling says what is wrong, and where.
  await WebAssembly.compile(bytes);
}
const folder = join(root, 'dist/cpu/interp');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'interp.wasm'), bytes);
const handlers = new HandlerIndex(instructionTable).variants.length;
const ms = Math.round(performance.now() - started);
console.log(
  `interpreter: ${instructionTable.length} encodings, ${handlers} handlers, ${bytes.length} bytes in ${ms} ms`,
);
