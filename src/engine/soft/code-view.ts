import { blockEntry, generationOf, targetsEntry } from '../../cpu/interp/block-place.js';
import {
  H_GENERATION,
  H_MODE,
  H_PLACE,
  T_PLACE,
  T_SLOTS,
  T_TARGETS,
} from '../../cpu/interp/record.js';
import type { CodeMode } from '../../cpu/isa/decode.js';
import type { Entry } from '../../cpu/isa/table.js';
import type { CodeView } from '../../cpu/jit/region.js';
import * as layout from '../../cpu/state/layout.js';

const PAGE = 4096;

/** Code that is to be translated. */
export interface CodePlace {
  /** Where its first byte is in the VM's memory, and RIP there. */
  readonly place: number;
  readonly rip: bigint;
  /** CODE_KEY [layout.ts]. */
  readonly key: number;
}

/** How a view reads code: from the memory itself, or from copies. */
export interface CodeReading {
  /** The 4,096 bytes of the page at this place. */
  page(place: number): Uint8Array;
  /** These bytes of it are being read. */
  mark(place: number, length: number): void;
  /** Regions end before such an instruction. */
  readonly leaves: ((entry: Entry) => boolean) | undefined;
}

/**
 * A vCPU's code as the translator sees it, all from the VM's memory: this works in any thread. What it
 * says of other pages may be out of date, which regions check when they run.
 *
 * @param cpu address of the vCPU's area
 */
export function codeView(
  memory: DataView,
  cpu: number,
  { place, rip, key }: CodePlace,
  reading: CodeReading,
): CodeView {
  const mode = (key & 3) as CodeMode;
  const first = rip & ~0xfffn;

  /** The interpreter has a block that starts there. */
  const wasRun = (at: number): boolean => {
    const entry = blockEntry(cpu, at);
    return (
      memory.getUint32(entry + H_PLACE, true) === at &&
      memory.getInt32(entry + H_MODE, true) === mode &&
      memory.getInt32(entry + H_GENERATION, true) === generationOf(memory, at)
    );
  };

  return {
    mode,
    bytesOfPage: (at) => reading.page(at),
    placeOfPage: (delta) => {
      if (delta === 0) return place - (place % PAGE);
      const linear = BigInt.asUintN(mode === 2 ? 64 : 32, first + BigInt(delta) * 4096n);
      const index = Number((linear >> 12n) & BigInt(layout.TLB_ENTRIES - 1));
      const base = memory.getUint32(cpu + layout.TLB_BASE, true);
      const entry = base + index * layout.TLB_ENTRY_SIZE;
      if (memory.getBigUint64(entry + layout.TLB_FETCH, true) !== linear) return 0;
      const addend = memory.getInt32(entry + layout.TLB_ADDEND, true);
      const at = (Number(linear & 0xffff_ffffn) + addend) >>> 0;
      // The vCPU may be changing the entry: what was read may belong to two.
      return at % PAGE === 0 && at + PAGE <= memory.byteLength ? at : 0;
    },
    generation: (at) => generationOf(memory, at),
    wasRun,
    followed: (at) => {
      const entry = targetsEntry(cpu, at);
      if (memory.getUint32(entry + T_PLACE, true) !== at) return [];
      const targets = Array.from({ length: T_SLOTS }, (_, i) =>
        memory.getBigUint64(entry + T_TARGETS + i * 8, true),
      );
      return targets.filter((rip) => rip !== 0n).map((rip) => Number(rip - first));
    },
    mark: (at, length) => reading.mark(at, length),
    ...(reading.leaves ? { leaves: reading.leaves } : {}),
  };
}
