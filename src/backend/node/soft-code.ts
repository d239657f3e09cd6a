import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';

/**
 * The soft engine's way to WebAssembly under Node, of the shape that engine/soft/soft-code.ts asks
 * for: modules compiled from what the build put into dist/cpu.
 */
export async function loadSoftCode() {
  // What is translated is hot already: V8 may optimise it much sooner than it would by itself, in the
  // background, while the guest keeps a core for itself (docs/decisions.md).
  setFlagsFromString('--wasm-tiering-budget=30000');
  const tasks = Math.max(1, availableParallelism() - 1);
  setFlagsFromString(`--wasm-num-compilation-tasks=${tasks}`);
  const [runtime, interp] = await Promise.all([
    compile('../../cpu/runtime/runtime.wasm'),
    compile('../../cpu/interp/interp.wasm'),
  ]);
  const modules = { runtime, interp };
  return {
    createMemory: (pages: number) =>
      new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
    instantiateBytes: (
      bytes: Uint8Array,
      imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
    ) => new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports,
    instantiate: (
      module: 'runtime' | 'interp',
      imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
    ) => new WebAssembly.Instance(modules[module], imports).exports,
  };
}

async function compile(path: string): Promise<WebAssembly.Module> {
  return new WebAssembly.Module(await readFile(new URL(path, import.meta.url)));
}
