import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import type { SoftCode } from '../../engine/soft/soft-code.js';
import { startTranslator } from './translator-thread.js';

/**
 * The soft engine's way to WebAssembly under Node: modules compiled from what the build put into dist/cpu.
 */
export async function loadSoftCode(): Promise<SoftCode> {
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
  // From here on whoever makes a module compiles it, not who runs it.
  setFlagsFromString('--no-wasm-lazy-compilation');
  return {
    createMemory: (pages: number) =>
      new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
    instantiateBytes: (bytes, imports) =>
      new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports,
    instantiateModule: (module, imports) =>
      new WebAssembly.Instance(module as WebAssembly.Module, imports).exports,
    startTranslator,
    instantiate: (module, imports) => new WebAssembly.Instance(modules[module], imports).exports,
  };
}

async function compile(path: string): Promise<WebAssembly.Module> {
  return new WebAssembly.Module(await readFile(new URL(path, import.meta.url)));
}
