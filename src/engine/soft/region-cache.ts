import { generationOf } from '../../cpu/interp/block-place.js';
import {
  J_FUNCTION,
  J_GENERATION,
  J_KEY,
  J_PLACE,
  J_SIZE,
  REGION_SLOTS,
} from '../../cpu/jit/region-hash.js';
import * as layout from '../../cpu/state/layout.js';
import type { CodePlace } from './code-view.js';
import type { JitTrace } from './jit-trace.js';
import type { RegionChecker } from './region-checker.js';
import type {
  SoftCode,
  TranslatorThread,
  WasmExports,
  WasmImports,
  WasmTable,
} from './soft-code.js';
import type { SoftVm } from './soft-vm.js';
import type { StateView } from './state-view.js';
import { type FoundRegion, type PageCode, type RegionKind, Translation } from './translation.js';

/** Translating a block costs what the interpreter needs to run it some thousand times. */
const DEFAULT_THRESHOLD = 8000;
/** Code that a thread may be asked for before it has answered. */
const MOST_WAITING = 200;
/** Bytes of WebAssembly that stay; the host's code for them is several times as large. */
const DEFAULT_CODE_BYTES = 24 << 20;
/** Code of a page that became stale so often within this time is left to the interpreter for the rest of it. */
const RESTLESS_TIMES = 16;
const RESTLESS_NS = 1e9;
const PAGE = 4096;

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

/** A module's regions on their way into the cache. */
interface Arrival {
  readonly found: readonly FoundRegion[];
  readonly stamp: number;
  readonly wasmBytes: number;
  readonly translateNs: number;
  readonly compileNs: number;
  instantiate(): WasmExports;
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
  /** Time that another thread has spent. */
  backgroundMs: number;
  /** Modules that came too late: their code had changed. */
  late: number;
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
    backgroundMs: 0,
    late: 0,
  };
  private readonly known = new Map<number, Translated>();
  private readonly batches = new Set<Batch>();
  private readonly freeSlots: number[] = [];
  private nextSlot = 1;
  private nextStamp = 0;
  private readonly freeStamps: number[] = [];
  private readonly waiting = new Set<number>();
  private thread: TranslatorThread | undefined;
  private seen = 0;
  private readonly rewrites = new Map<number, { times: number; sinceNs: number }>();
  private readonly memory: DataView;
  private readonly bytes: Uint8Array;
  private readonly codeBytes: number;
  /** Who asks for code at once gets it at once; what is checked is checked where it is made. */
  private background: boolean;
  private readonly kind: RegionKind;

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
    this.bytes = new Uint8Array(vm.wasmMemory.buffer);
    this.codeBytes = jitCodeBytes;
    this.kind = checker ? 'checked' : trace ? 'traced' : 'plain';
    this.background =
      code.startTranslator !== undefined &&
      (vm.jit?.jitBeside ?? jitThreshold >= DEFAULT_THRESHOLD) &&
      !checker;
  }

  /** The block at `place`, where RIP is now, has been run often. */
  hot(place: number): void {
    const key = this.state.u32(layout.CODE_KEY);
    if (!(key & layout.KEY_CODE) || this.checker?.busy) return;
    const id = idOf(place, key);
    if (this.waiting.has(id) || this.waiting.size >= MOST_WAITING) return;
    const known = this.known.get(id);
    if (known?.generation === generationOf(this.memory, place)) {
      this.enter(known);
      return;
    }
    const from = this.vm.clock.nowNs();
    if (known && this.isRestless(place, from)) return;
    const stamp = this.freeStamps.pop() ?? this.nextStamp++;
    if (stamp >= layout.JIT_STAMPS_MAX) return;
    const rip = this.state.u64(layout.RIP);
    if (this.background) {
      const { waiting, seen } = this;
      waiting.add(id);
      this.thread ??= this.code.startTranslator!({ ...this.setup(), memory: this.vm.wasmMemory });
      this.thread.request({ place, rip, key, stamp, seen });
    } else {
      this.translate({ place, rip, key }, stamp, from);
    }
    this.paused(from);
  }

  private setup(): { cpu: number; alone: boolean; kind: RegionKind } {
    return { cpu: this.state.base, alone: this.vm.vcpuCount === 1, kind: this.kind };
  }

  /** Translates while the guest waits. */
  private translate(place: CodePlace, stamp: number, from: number): void {
    const setup = { ...this.setup(), memory: this.memory };
    const translation = new Translation(this.vm.tables.decoder, setup);
    if (!translation.add(place)) {
      this.freeStamps.push(stamp);
      return;
    }
    const wasm = translation.module(layout.JIT_STAMPS + stamp * 4);
    const translated = this.vm.clock.nowNs();
    const exports = this.code.instantiateBytes(wasm, this.imports);
    const [region] = translation.regions;
    const { checker } = this;
    this.install({
      found: translation.found,
      stamp,
      wasmBytes: wasm.length,
      translateNs: translated - from,
      compileNs: this.vm.clock.nowNs() - translated,
      instantiate: () => (checker ? { r0: checker.wrap(region!, exports.r0) } : exports),
    });
  }

  /** Between two runs: what a thread has finished comes in. */
  arrive(): void {
    this.state.setU32(layout.JIT_CLOCK, this.state.u32(layout.JIT_CLOCK) + 1);
    for (;;) {
      const finished = this.waiting.size === 0 ? undefined : this.thread?.take();
      if (finished === undefined) break;
      const from = this.vm.clock.nowNs();
      const { jobs, stamp, module, translateNs, compileNs } = finished;
      for (const job of jobs) {
        this.waiting.delete(idOf(job.place, job.key));
        if (job.stamp !== stamp || module === undefined) this.freeStamps.push(job.stamp);
      }
      if (module === undefined) continue;
      this.seen++;
      this.statistics.backgroundMs += (translateNs + compileNs) / 1e6;
      const instantiate = () => this.code.instantiateModule(module, this.imports);
      this.install({ ...finished, instantiate });
      this.paused(from);
    }
    const failure = this.background ? this.thread?.failure : undefined;
    if (failure === undefined) return;
    this.trace?.failed(failure);
    this.background = false;
    this.waiting.clear();
  }

  close(): void {
    this.thread?.close();
  }

  private install({ found, stamp, wasmBytes, instantiate, ...times }: Arrival): void {
    const { statistics } = this;
    const fresh = found.map(({ pages }) => pages.every((page) => this.isFresh(page)));
    if (!fresh.includes(true)) {
      statistics.late++;
      this.freeStamps.push(stamp);
      return;
    }
    const exports = instantiate();
    const regions: Translated[] = [];
    found.forEach(({ place, key, pages, instructions }, i) => {
      if (!fresh[i]) return;
      const slot = this.freeSlots.pop() ?? this.nextSlot++;
      if (slot >= REGION_SLOTS) return;
      this.table.set(slot, exports[`r${i}`]);
      const translated = { place, key, generation: pages[0]!.generation, slot };
      this.known.set(idOf(place, key), translated);
      this.enter(translated);
      regions.push(translated);
      statistics.instructions += instructions;
    });
    this.batches.add({ stamp, bytes: wasmBytes, regions });
    this.state.setU32(layout.JIT_STAMPS + stamp * 4, this.state.u32(layout.JIT_CLOCK));
    statistics.regions += regions.length;
    statistics.translated += regions.length;
    statistics.bytes += wasmBytes;
    this.trace?.translated(found, wasmBytes, times.translateNs, times.compileNs);
    if (statistics.bytes > this.codeBytes) this.evict();
  }

  /** From now on stores to this code are noticed; until now there was none. */
  private isFresh({ place, generation, bytes, ranges }: PageCode): boolean {
    for (const { start, end } of ranges) {
      this.mark(place + start, end - start);
      for (let i = start; i < end; i++) if (this.bytes[place + i] !== bytes[i]) return false;
    }
    return generationOf(this.memory, place) === generation;
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
}

function idOf(place: number, key: number): number {
  return place * 1024 + key;
}
