import { H_GENERATION, H_MODE, H_PLACE, H_SIZE } from '../../cpu/interp/record.js';
import type { CodeMode } from '../../cpu/isa/decode.js';
import { CheckedRegion, isUnchecked } from '../../cpu/jit/checked-region.js';
import { type CodeView, discover } from '../../cpu/jit/region.js';
import { RegionBuilder } from '../../cpu/jit/region-builder.js';
import {
  J_FUNCTION,
  J_GENERATION,
  J_KEY,
  J_PLACE,
  J_SIZE,
  REGION_SLOTS,
} from '../../cpu/jit/region-hash.js';
import { translate } from '../../cpu/jit/translate.js';
import * as layout from '../../cpu/state/layout.js';
import type { RegionChecker } from './region-checker.js';
import type { SoftCode, WasmImports, WasmTable } from './soft-code.js';
import type { SoftVm } from './soft-vm.js';
import type { StateView } from './state-view.js';

const DEFAULT_THRESHOLD = 1000;
const PAGE = 4096;

/** A region that was translated. */
interface Translated {
  readonly place: number;
  readonly key: number;
  readonly generation: number;
  readonly slot: number;
}

/** Makes regions of one vCPU's hot code and finds them again. */
export class RegionCache {
  private readonly regions = new Map<number, Translated>();
  private nextSlot = 1;

  constructor(
    private readonly vm: SoftVm,
    private readonly state: StateView,
    private readonly code: SoftCode,
    private readonly imports: WasmImports,
    private readonly table: WasmTable,
    private readonly mark: (place: number, length: number) => void,
    private readonly checker?: RegionChecker,
  ) {
    state.setU32(layout.JIT_THRESHOLD, vm.jit?.jitThreshold ?? DEFAULT_THRESHOLD);
  }

  /** The block at `place`, where RIP is now, has been run often. */
  hot(place: number): void {
    const { checker } = this;
    if (checker?.busy) return;
    const key = this.state.u32(layout.CODE_KEY);
    if (!(key & layout.KEY_CODE)) return;
    const id = place * 1024 + key;
    const known = this.regions.get(id);
    const memory = new DataView(this.vm.wasmMemory.buffer);
    const generation = generationOf(memory, place);
    if (known?.generation === generation) {
      this.enter(memory, known);
      return;
    }
    const region = discover(this.vm.tables.decoder, this.view(memory, place, key), place % PAGE);
    if (!region || this.nextSlot === REGION_SLOTS) return;
    const target = { cpu: this.state.base, key, alone: this.vm.vcpuCount === 1 };
    const bytes = translate([region], target, checker ? CheckedRegion : RegionBuilder);
    const { r0 } = this.code.instantiateBytes(bytes, this.imports);
    const slot = this.nextSlot++;
    this.table.set(slot, checker ? checker.wrap(region, r0) : r0);
    const translated = { place, key, generation, slot };
    this.regions.set(id, translated);
    this.enter(memory, translated);
  }

  private enter(memory: DataView, region: Translated): void {
    const { place } = region;
    const hash = (place ^ (place >>> 11)) & (layout.JIT_HASH_ENTRIES - 1);
    const entry = this.state.base + layout.JIT_HASH + hash * J_SIZE;
    memory.setInt32(entry + J_PLACE, place, true);
    memory.setInt32(entry + J_KEY, region.key, true);
    memory.setInt32(entry + J_GENERATION, region.generation, true);
    memory.setInt32(entry + J_FUNCTION, region.slot, true);
  }

  private view(memory: DataView, place: number, key: number): CodeView {
    const { state } = this;
    const mode = (key & 3) as CodeMode;
    const first = state.u64(layout.RIP) & ~0xfffn;
    const bytes = new Uint8Array(memory.buffer);
    return {
      bytes,
      mode,
      placeOfPage: (delta) => {
        if (delta === 0) return place - (place % PAGE);
        const linear = BigInt.asUintN(mode === 2 ? 64 : 32, first + BigInt(delta) * 4096n);
        const index = Number(linear >> 12n) & (layout.TLB_ENTRIES - 1);
        const entry = state.u32(layout.TLB_BASE) + index * layout.TLB_ENTRY_SIZE;
        if (memory.getBigUint64(entry + layout.TLB_FETCH, true) !== linear) return 0;
        return (
          (Number(linear & 0xffff_ffffn) + memory.getInt32(entry + layout.TLB_ADDEND, true)) >>> 0
        );
      },
      generation: (at) => generationOf(memory, at),
      wasRun: (at) => {
        const hash = (at ^ (at >>> 11)) & (layout.BLOCK_HASH_ENTRIES - 1);
        const entry = state.base + layout.BLOCK_HASH + hash * H_SIZE;
        return (
          memory.getUint32(entry + H_PLACE, true) === at &&
          memory.getInt32(entry + H_MODE, true) === mode &&
          memory.getInt32(entry + H_GENERATION, true) === generationOf(memory, at)
        );
      },
      mark: this.mark,
      ...(this.checker ? { leaves: isUnchecked } : {}),
    };
  }
}

function generationOf(memory: DataView, place: number): number {
  return memory.getInt32(
    layout.CODE_PAGES + Math.floor(place / PAGE) * layout.CODE_PAGE_SIZE,
    true,
  );
}
