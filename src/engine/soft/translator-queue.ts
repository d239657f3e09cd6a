import type { Decoder } from '../../cpu/isa/decode.js';
import * as layout from '../../cpu/state/layout.js';
import type { CodePlace } from './code-view.js';
import { type FoundRegion, Translation, type TranslatorSetup } from './translation.js';

/** Code that a translator's thread is asked for. */
export interface Job extends CodePlace {
  /** Number of the stamp that its module may use [layout.ts, JIT_STAMPS]. */
  readonly stamp: number;
  /** How many modules had come from the thread when this was asked for. */
  readonly seen: number;
}

/** A module, or why there is none for jobs that have none. */
export interface Finished {
  /** All jobs that need not be waited for any more. */
  readonly jobs: readonly Job[];
  readonly found: readonly FoundRegion[];
  /** Compiled; undefined where nothing was found. */
  readonly module: unknown;
  readonly wasmBytes: number;
  readonly stamp: number;
  readonly translateNs: number;
  readonly compileNs: number;
}

const BATCH_REGIONS = 8;
const BATCH_INSTRUCTIONS = 300;

/** The work of a translator's thread: takes jobs in their order, a module's worth at a time. */
export class TranslatorQueue {
  private readonly jobs: Job[] = [];
  private made = 0;
  /** Modules that whoever asked may not have had yet, with their numbers. */
  private recent: { readonly number: number; readonly key: number; readonly of: Translation }[] =
    [];

  constructor(
    private readonly decoder: Decoder,
    private readonly setup: TranslatorSetup,
    private readonly compile: (wasm: Uint8Array) => unknown,
    private readonly nowNs: () => number,
  ) {}

  add(job: Job): void {
    this.jobs.push(job);
  }

  /** The next module; undefined: there is nothing to do. */
  next(): Finished | undefined {
    const first = this.jobs[0];
    if (!first) return undefined;
    const from = this.nowNs();
    const translation = new Translation(this.decoder, this.setup);
    const jobs: Job[] = [];
    // Modules of a thread before this one count.
    this.made = Math.max(this.made, first.seen);
    this.recent = this.recent.filter(({ number }) => number > first.seen);
    while (
      this.jobs[0]?.key === first.key &&
      translation.found.length < BATCH_REGIONS &&
      translation.instructions < BATCH_INSTRUCTIONS
    ) {
      const job = this.jobs.shift()!;
      jobs.push(job);
      // Most often it will not be entered there any more; if it is, it will be asked for again.
      const { place, rip, key } = job;
      if (!translation.covers(place) && !this.isComing(job)) translation.add({ place, rip, key });
    }
    const { found } = translation;
    const { stamp } = first;
    const nothing = { wasmBytes: 0, translateNs: 0, compileNs: 0 };
    if (found.length === 0) return { jobs, found, module: undefined, stamp, ...nothing };
    const wasm = translation.module(layout.JIT_STAMPS + stamp * 4);
    const translated = this.nowNs();
    const module = this.compile(wasm);
    this.recent.push({ number: ++this.made, key: first.key, of: translation });
    const [translateNs, compileNs] = [translated - from, this.nowNs() - translated];
    return { jobs, found, module, stamp, wasmBytes: wasm.length, translateNs, compileNs };
  }

  private isComing({ place, key, seen }: Job): boolean {
    return this.recent.some((one) => one.number > seen && one.key === key && one.of.covers(place));
  }
}
