/** The JIT on single cases: each one's code becomes a region, many of them one module. */
import type { CodeMode } from '#src/cpu/isa/decode.js';
import { type CodeView, discover, type Region } from '#src/cpu/jit/region.js';
import { translate } from '#src/cpu/jit/translate.js';
import * as L from '#src/cpu/state/layout.js';
import { CPU, type RawCpu, tables } from './raw-cpu.js';

/** A case's code, where it stands in its page, and what the vCPU is when it runs it. */
export interface CaseCode {
  readonly bytes: Uint8Array;
  readonly offset: number;
  /** CODE_KEY. */
  readonly key: number;
}

/** Runs until the region is left; undefined: the code is for the interpreter. */
export type Translated = (() => number) | undefined;

/** Translates each case as it would stand in the page at `place`, INT3 around it. */
export function translateCases(
  cpu: RawCpu,
  place: number,
  cases: readonly CaseCode[],
): Translated[] {
  const found: Translated[] = new Array(cases.length).fill(undefined);
  for (const key of new Set(cases.map((one) => one.key))) {
    if (!(key & L.KEY_CODE)) continue;
    const regions: Region[] = [];
    const indices: number[] = [];
    cases.forEach((one, i) => {
      const region = one.key === key && regionOf(cpu, place, one);
      if (!region) return;
      regions.push(region);
      indices.push(i);
    });
    if (regions.length === 0) continue;
    // Both ways to do LOCK are tried.
    const target = { cpu: CPU, key, alone: cases.length % 2 === 0 };
    const module = new WebAssembly.Module(translate(regions, target));
    const env = { ...cpu.env, guest_call: cpu.interp.guest_call };
    const { exports } = new WebAssembly.Instance(module, { env, rt: cpu.rt });
    indices.forEach((index, n) => {
      found[index] = exports[`r${n}`] as () => number;
    });
  }
  return found;
}

function regionOf(cpu: RawCpu, place: number, { bytes, offset, key }: CaseCode): Region | null {
  cpu.bytes.set(bytes, place + offset);
  const view: CodeView = {
    bytesOfPage: (at) => cpu.bytes.subarray(at, at + 4096),
    mode: (key & 3) as CodeMode,
    placeOfPage: (delta) => (delta === 0 ? place : 0),
    generation: () => 0,
    wasRun: () => true,
    followed: () => [],
    mark() {},
  };
  const region = discover(tables.decoder, view, offset);
  cpu.bytes.fill(0xcc, place + offset, place + offset + bytes.length);
  return region;
}
