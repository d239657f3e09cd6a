import { blockEntry, generationOf } from '../../cpu/interp/block-place.js';
import {
  B_NEXT,
  H_GENERATION,
  H_MODE,
  H_PLACE,
  H_RECORD,
  RECORD_SIZE,
} from '../../cpu/interp/record.js';
import type { CodeMode } from '../../cpu/isa/decode.js';
import { CheckedRegion, isUnchecked } from '../../cpu/jit/checked-region.js';
import { type CodeView, discover, type Region } from '../../cpu/jit/region.js';
import { RegionBuilder } from '../../cpu/jit/region-builder.js';
import {
  J_FUNCTION,
  J_GENERATION,
  J_KEY,
  J_PLACE,
  J_SIZE,
  REGION_SLOTS,
} from '../../cpu/jit/region-hash.js';
import { TracedRegion } from '../../cpu/jit/traced-region.js';
import { translate } from '../../cpu/jit/translate.js';
import * as layout from '../../cpu/state/layout.js';
import type { JitTrace } from './jit-trace.js';
import type { RegionChecker } from './region-checker.js';
import type { SoftCode, WasmImports, WasmTable } from './soft-code.js';
import type { SoftVm } from './soft-vm.js';
import type { StateView } from './state-view.js';

/** Translating a block costs what the interpreter needs to run it some thousand times. */
const DEFAULT_THRESHOLD = 8000;
/** Guest instructions that are worth a module of their own, and regions that share one. */
const BATCH_INSTRUCTIONS = 300;
const BATCH_REGIONS = 8;
/** Bytes of WebAssembly that stay; the host's code for them is several times as large. */
const DEFAULT_CODE_BYTES = 24 << 20;
/** Code of a page that became stale so often within this time is left to the interpreter for the rest of it. */
const RESTLESS_TIMES = 16;
const RESTLESS_NS = 1e9;
const PAGE = 4096;

/** A region that waits for its module. */
interface Pending {
  readonly place: number;
  readonly key: number;
  readonly generation: number;
  readonly region: Region;
}

/** Regions that were translated together, and go together. */
interface Batch {
  readonly stamp: number;
  readonly bytes: number;
  readonly regions: readonly Translated[];
}

interface Translated {
  readonly place: number;
  readonly key: number;
  readonly generation: number;
  readonly slot: number;
}

/** What the JIT did so far. */
export interface JitStatistics {
  /** Regions that can be run now, and their WebAssembly's bytes. */
  regions: number;
  bytes: number;
  translated: number;
  evicted: number;
  /** Guest instructions that were translated. */
  instructions: number;
  /** Time that the guest stood still for translation, in ms: in all, and the longest at once. */
  translateMs: number;
  longestMs: number;
}

/** Makes regions of one vCPU's hot code, finds them again and drops the oldest. */
export class RegionCache {
  readonly statistics: JitStatistics = {
    regions: 0,
    bytes: 0,
    translated: 0,
    evicted: 0,
    instructions: 0,
    translateMs: 0,
    longestMs: 0,
  };
  private readonly known = new Map<number, Translated>();
  private readonly batches = new Set<Batch>();
  private readonly freeSlots: number[] = [];
  private nextSlot = 1;
  private nextStamp = 0;
  private readonly freeStamps: number[] = [];
  private pending: Pending[] = [];
  private pendingInstructions = 0;
  private readonly waiting = new Set<number>();
  private readonly covered = new Set<number>();
  private readonly rewrites = new Map<number, { times: number; sinceNs: number }>();
  private readonly memory: DataView;
  private readonly batchInstructions: number;
  private readonly codeBytes: number;

  constructor(
    private readonly vm: SoftVm,
    private readonly state: StateView,
    private readonly code: SoftCode,
    private readonly imports: WasmImports,
    private readonly table: WasmTable,
    private readonly mark: (place: number, length: number) => void,
    private readonly checker?: RegionChecker,
    private readonly trace?: JitTrace,
  ) {
    const { jitThreshold = DEFAULT_THRESHOLD, jitCodeBytes = DEFAULT_CODE_BYTES } = vm.jit ?? {};
    this.memory = new DataView(vm.wasmMemory.buffer);
    state.setU32(layout.JIT_THRESHOLD, jitThreshold);
    // Who asks for code at once gets it at once.
    this.batchInstructions = jitThreshold < DEFAULT_THRESHOLD ? 0 : BATCH_INSTRUCTIONS;
    this.codeBytes = jitCodeBytes;
  }

  /** The block at `place`, where RIP is now, has been run often. */
  hot(place: number): void {
    const key = this.state.u32(layout.CODE_KEY);
    if (!(key & layout.KEY_CODE) || this.checker?.busy) return;
    const id = idOf(place, key);
    if (this.waiting.has(id)) return;
    // Part of what waits: most often it will not be entered here any more. If it is, it comes again.
    if (this.covered.has(id)) return;
    const known = this.known.get(id);
    const generation = generationOf(this.memory, place);
    if (known?.generation === generation) {
      this.enter(known);
      return;
    }
    const from = this.vm.clock.nowNs();
    if (known && this.isRestless(place, from)) return;
    const region = discover(this.vm.tables.decoder, this.view(place, key), place % PAGE);
    if (!region) return;
    this.trace?.found(region);
    this.pending.push({ place, key, generation, region });
    this.pendingInstructions += region.instructions;
    this.waiting.add(id);
    for (const at of region.leaders) this.covered.add(idOf(at, key));
    if (
      this.pendingInstructions > this.batchInstructions ||
      this.pending.length === BATCH_REGIONS ||
      this.pending[0]!.key !== key
    ) {
      this.translatePending(from);
    } else {
      this.paused(from);
    }
  }

  /** Whether translations of a page's code became stale so often lately that one more is not worth it. */
  private isRestless(place: number, nowNs: number): boolean {
    const page = Math.floor(place / PAGE);
    const seen = this.rewrites.get(page);
    if (!seen || nowNs - seen.sinceNs > RESTLESS_NS) {
      this.rewrites.set(page, { times: 1, sinceNs: nowNs });
      return false;
    }
    return ++seen.times > RESTLESS_TIMES;
  }

  /** Between two runs: what has come together is translated. */
  flush(): void {
    this.state.setU32(layout.JIT_CLOCK, this.state.u32(layout.JIT_CLOCK) + 1);
    if (this.pending.length > 0) this.translatePending(this.vm.clock.nowNs());
  }

  private translatePending(from: number): void {
    const { pending, statistics, checker } = this;
    const { key } = pending[0]!;
    const same = pending.filter((one) => one.key === key);
    this.pending = [];
    this.pendingInstructions = 0;
    this.waiting.clear();
    this.covered.clear();
    const stamp = this.freeStamps.pop() ?? this.nextStamp++;
    if (stamp >= layout.JIT_STAMPS_MAX) return;
    const target = {
      cpu: this.state.base,
      key,
      alone: this.vm.vcpuCount === 1,
      stamp: layout.JIT_STAMPS + stamp * 4,
    };
    const bytes = translate(
      same.map(({ region }) => region),
      target,
      checker ? CheckedRegion : this.trace ? TracedRegion : RegionBuilder,
    );
    const translated = this.vm.clock.nowNs();
    const exports = this.code.instantiateBytes(bytes, this.imports);
    const regions: Translated[] = [];
    same.forEach(({ place, generation, region }, i) => {
      const slot = this.freeSlots.pop() ?? this.nextSlot++;
      if (slot >= REGION_SLOTS) return;
      const run = exports[`r${i}`];
      this.table.set(slot, checker ? checker.wrap(region, run) : run);
      const translated = { place, key, generation, slot };
      this.known.set(idOf(place, key), translated);
      this.enter(translated);
      regions.push(translated);
    });
    this.batches.add({ stamp, bytes: bytes.length, regions });
    this.state.setU32(layout.JIT_STAMPS + stamp * 4, this.state.u32(layout.JIT_CLOCK));
    statistics.regions += regions.length;
    statistics.translated += regions.length;
    statistics.bytes += bytes.length;
    for (const { region } of same) statistics.instructions += region.instructions;
    const compileNs = this.vm.clock.nowNs() - translated;
    this.trace?.translated(same, bytes.length, translated - from, compileNs);
    if (statistics.bytes > this.codeBytes) this.evict();
    this.paused(from);
  }

  private paused(from: number): void {
    const ms = (this.vm.clock.nowNs() - from) / 1e6;
    this.statistics.translateMs += ms;
    this.statistics.longestMs = Math.max(this.statistics.longestMs, ms);
  }

  /** Drops the batches that were not run for longest, down to seven eighths of what may be. */
  private evict(): void {
    const age = ({ stamp }: Batch): number => this.state.u32(layout.JIT_STAMPS + stamp * 4);
    const oldest = [...this.batches].sort((a, b) => age(a) - age(b));
    for (const batch of oldest) {
      if (this.statistics.bytes <= (this.codeBytes / 8) * 7) break;
      this.drop(batch);
    }
    // Who looks by RIP looks again.
    this.state.setU32(layout.CODE_EPOCH, this.state.u32(layout.CODE_EPOCH) + 4);
  }

  private drop(batch: Batch): void {
    this.batches.delete(batch);
    this.statistics.bytes -= batch.bytes;
    this.statistics.regions -= batch.regions.length;
    this.statistics.evicted += batch.regions.length;
    this.freeStamps.push(batch.stamp);
    for (const region of batch.regions) {
      const id = idOf(region.place, region.key);
      if (this.known.get(id) === region) this.known.delete(id);
      const entry = this.entryOf(region.place);
      if (this.memory.getInt32(entry + J_FUNCTION, true) === region.slot) {
        this.memory.setInt32(entry + J_PLACE, 0, true);
      }
      this.table.set(region.slot, null);
      this.freeSlots.push(region.slot);
    }
  }

  private entryOf(place: number): number {
    const hash = (place ^ (place >>> 11)) & (layout.JIT_HASH_ENTRIES - 1);
    return this.state.base + layout.JIT_HASH + hash * J_SIZE;
  }

  private enter(region: Translated): void {
    const { memory } = this;
    const entry = this.entryOf(region.place);
    memory.setInt32(entry + J_PLACE, region.place, true);
    memory.setInt32(entry + J_KEY, region.key, true);
    memory.setInt32(entry + J_GENERATION, region.generation, true);
    memory.setInt32(entry + J_FUNCTION, region.slot, true);
  }

  /** First record of the interpreter's block at a place; 0: none. */
  private recordOf(place: number, mode: CodeMode): number {
    const { memory } = this;
    const entry = blockEntry(this.state.base, place);
    const same =
      memory.getUint32(entry + H_PLACE, true) === place &&
      memory.getInt32(entry + H_MODE, true) === mode &&
      memory.getInt32(entry + H_GENERATION, true) === generationOf(this.memory, place);
    return same ? memory.getInt32(entry + H_RECORD, true) : 0;
  }

  private view(place: number, key: number): CodeView {
    const { state, memory } = this;
    const mode = (key & 3) as CodeMode;
    const first = state.u64(layout.RIP) & ~0xfffn;
    return {
      bytes: new Uint8Array(memory.buffer),
      mode,
      placeOfPage: (delta) => {
        if (delta === 0) return place - (place % PAGE);
        const linear = BigInt.asUintN(mode === 2 ? 64 : 32, first + BigInt(delta) * 4096n);
        const index = Number((linear >> 12n) & BigInt(layout.TLB_ENTRIES - 1));
        const entry = state.u32(layout.TLB_BASE) + index * layout.TLB_ENTRY_SIZE;
        if (memory.getBigUint64(entry + layout.TLB_FETCH, true) !== linear) return 0;
        const addend = memory.getInt32(entry + layout.TLB_ADDEND, true);
        return (Number(linear & 0xffff_ffffn) + addend) >>> 0;
      },
      generation: (at) => generationOf(memory, at),
      wasRun: (at) => this.recordOf(at, mode) !== 0,
      followed: (at) => {
        const record = this.recordOf(at, mode);
        const rip = record === 0 ? 0n : memory.getBigUint64(record - RECORD_SIZE + B_NEXT, true);
        return rip === 0n ? null : Number(rip - first);
      },
      mark: this.mark,
      ...(this.checker ? { leaves: isUnchecked } : {}),
    };
  }
}

function idOf(place: number, key: number): number {
  return place * 1024 + key;
}
