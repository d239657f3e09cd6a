import type { Value } from '../emit/function-builder.js';
import type { Entry } from '../isa/table.js';
import * as L from '../state/layout.js';
import { RegionBuilder } from './region-builder.js';

/** Instructions whose runtime procedures write memory, touch the outside, or answer otherwise each time. */
const UNCHECKED =
  /^(in|rdmsr|rdtscp?|rdpmc|rdrand|rdseed|monitor|f[nx]?(save|rstor)|f(ld|nst)env|xsave.*|xrstor)$/;

/** For {@link CheckedRegion} a region ends before this instruction. */
export function isUnchecked({ family, mnemonic }: Entry): boolean {
  return family === 'strings' || UNCHECKED.test(mnemonic);
}

/** Translated code that says what it is about to overwrite: `log_store(pointer, bytes)`. */
export class CheckedRegion extends RegionBuilder {
  override pointerAt(
    linear: Value,
    segment: Value | null,
    bytes: number,
    access: number,
    readToo: boolean,
  ): Value {
    const pointer = super.pointerAt(linear, segment, bytes, access, readToo);
    if (access === L.ACCESS_WRITE) this.call('log_store', [pointer, this.i32(bytes)], null);
    return pointer;
  }
}
