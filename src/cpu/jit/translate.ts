/** Several regions as one WebAssembly module. */
import { type Signature, WasmModule } from '../emit/module.js';
import { runtimeSignature } from '../isa/sem.js';
import type { Region } from './region.js';
import { RegionBuilder, type Target } from './region-builder.js';
import { REGION } from './region-hash.js';
import { structure } from './structure.js';

/** What regions import beside the runtime. */
const HOST: Readonly<Record<string, Signature>> = {
  guest_call: { params: ['i64'], results: ['i32'] },
  log_store: { params: ['i32', 'i32'], results: [] },
};

/** A module that exports a function `r0`, `r1`, ... for each region. */
export function translate(
  regions: readonly Region[],
  target: Target,
  Builder: typeof RegionBuilder = RegionBuilder,
): Uint8Array {
  const module = new WasmModule();
  const builders = regions.map((region) => {
    const builder = new Builder(module, target);
    structure(region.entry);
    builder.build(region.entry);
    return builder;
  });
  const callees = new Set(builders.flatMap((builder) => [...builder.callees]));
  for (const name of callees) {
    const host = HOST[name];
    if (host) module.importFunction('env', name, host);
    else {
      const { params, result } = runtimeSignature(name);
      module.importFunction('rt', name, { params, results: result ? [result] : [] });
    }
  }
  builders.forEach((_, i) => {
    module.declare(`r${i}`, REGION);
    module.export(`r${i}`);
  });
  builders.forEach((builder, i) => {
    module.define(`r${i}`, builder.finish());
  });
  return module.build();
}
