/** What a translator makes of a region, as data: for `chassis jit-dump`. */

import type { Value } from '../emit/function-builder.js';
import { wasmText } from '../emit/wasm-text.js';
import type { Decoder, Insn } from '../isa/decode.js';
import { type CodeView, discover } from './region.js';
import { RegionBuilder, type Target } from './region-builder.js';
import { type ListedBlock, listRegion } from './region-listing.js';
import { translate } from './translate.js';

export interface RegionDump {
  readonly instructions: number;
  readonly blocks: readonly ListedBlock[];
  readonly wasmBytes: number;
  readonly wasm: string;
}

/** The region that begins at `linear`; null where its first instruction is left to the interpreter. */
export function dumpRegion(
  decoder: Decoder,
  code: CodeView,
  linear: bigint,
  target: Target,
): RegionDump | null {
  const offset = Number(linear & 0xfffn);
  const region = discover(decoder, code, offset);
  if (!region) return null;
  const materialised = new Set<Insn>();
  class Dumped extends RegionBuilder {
    protected override setLazy(result: Value, aux: Value): void {
      super.setLazy(result, aux);
      materialised.add(this.insn);
    }
  }
  const wasm = translate([region], target, Dumped);
  const page = linear - BigInt(offset);
  return {
    instructions: region.instructions,
    blocks: listRegion(region, decoder, (place) => code.bytesOfPage(place), page, materialised),
    wasmBytes: wasm.length,
    wasm: wasmText(wasm),
  };
}
