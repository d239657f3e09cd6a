/**
 * The interpreter's `run`: looks for events, finds the block at RIP, decodes it where it is new, and
 * calls the handlers of its records, one after the other, until one says that the block has ended.
 */
import { FunctionBuilder, type Label, type Value, type Var } from '../emit/function-builder.js';
import type { Bytes, WasmModule } from '../emit/module.js';
import { GP } from '../isa/sem.js';
import * as H from '../jit/region-hash.js';
import * as L from '../state/layout.js';
import { HANDLER } from './handler-builder.js';
import * as R from './record.js';

/** A run that starts this many blocks comes back, whatever the budget. */
const MAX_BLOCKS_PER_RUN = 1 << 20;

/** Not canonical: RIP is never there. */
const NOWHERE = 1n << 63n;

/** Code in 64-bit mode has no limit to check. */
const MODE_64 = 2;

const CS_PLACE = L.SEGMENTS + L.CS * L.SEGMENT_SIZE;

/** Type of `run_until` and `guest_call`. */
export const RUN_UNTIL = { params: ['i64'], results: ['i32'] } as const;

/** Guest calls that are calls here: beyond them the stack of the host might end. */
const MAX_DEPTH = 96;

/** run(): EXIT_*. Comes back when the runtime says so or ICOUNT reaches ICOUNT_LIMIT. */
export function buildRun(module: WasmModule): Bytes {
  const b = new FunctionBuilder(module, []);
  const cpu = b.cpuGlobal();
  b.effect('i32.store', [cpu, b.i32(0)], L.JIT_DEPTH);
  const status = b.variable('i32');
  b.loop((again) => {
    b.set(status, b.call('run_until', [b.i64(NOWHERE)], 'i32'));
    b.brIf(again, b.eqz(b.get(status)));
  });
  b.return(b.get(status));
  return b.finish();
}

/** run_until(rip): the same, and 0 when RIP is `rip` between two blocks. */
export function buildRunUntil(module: WasmModule): Bytes {
  const b = new RunBuilder(module);
  b.build();
  return b.finish();
}

/**
 * guest_call(until): runs from RIP, which a translated region has called, until its return address is
 * reached. 0: perhaps it was, perhaps not; else what `run` is to return.
 */
export function buildGuestCall(module: WasmModule): Bytes {
  const b = new FunctionBuilder(module, RUN_UNTIL.params);
  const cpu = b.cpuGlobal();
  const depth = b.load('i32.load', cpu, L.JIT_DEPTH);
  b.if(b.geU(depth, b.i32(MAX_DEPTH)), () => b.return(b.i32(0)));
  b.effect('i32.store', [cpu, b.addC(depth, 1)], L.JIT_DEPTH);
  const status = b.call('run_until', [b.param(0)], 'i32');
  b.effect('i32.store', [cpu, depth], L.JIT_DEPTH);
  b.return(status);
  return b.finish();
}

class RunBuilder extends FunctionBuilder {
  private readonly cpu: Value;
  /** 1: exactly one instruction is to be run, then `after_step`. */
  private readonly step: Var;
  /** The record to run next. */
  private readonly rec: Var;
  /** Where the targets of the block that was run before are kept; 0: nowhere. */
  private readonly before: Var;

  constructor(module: WasmModule) {
    super(module, RUN_UNTIL.params);
    this.cpu = this.cpuGlobal();
    this.step = this.variable('i32');
    this.rec = this.variable('i32');
    this.before = this.variable('i32', this.i32(0));
  }

  build(): void {
    // Instructions that fault do not count as run: this bounds a guest that does nothing but fault.
    const blocks = this.variable('i32', this.i32(MAX_BLOCKS_PER_RUN));
    this.loop((again) => {
      this.cached(again);
      this.set(blocks, this.addC(this.get(blocks), -1));
      this.if(this.eqz(this.get(blocks)), () => this.return(this.i32(L.EXIT_BUDGET)));
      this.events();
      this.if(this.geU(this.load64(L.ICOUNT), this.load64(L.ICOUNT_LIMIT)), () =>
        this.return(this.i32(L.EXIT_BUDGET)),
      );
      const rip = this.load64(L.RIP);
      // An armed single step is for the instruction at RIP: it runs here.
      this.if(this.eqz(this.get(this.step)), () => this.reached(rip));
      const linear = this.and(this.add(rip, this.load64(L.CODE_BASE)), this.load64(L.LINEAR_MASK));
      const place = this.fetch(again, rip, linear);
      const mode = this.load32(L.CODE_MODE);
      this.if(
        this.get(this.step),
        () => this.set(this.rec, this.call('decode_single', [place, mode], 'i32')),
        () => {
          this.region(again, place);
          this.findBlock(place, mode);
          this.remember(rip);
        },
      );
      this.if(this.eqz(this.get(this.rec)), () =>
        this.decodeCrossing(again, rip, linear, place, mode),
      );
      this.checkLimit(again, rip, place, mode);
      this.enterBlock(rip);
      this.runBlock();
      this.if(this.get(this.step), () => this.call('after_step', [], null));
      this.br(again);
    });
    this.return(this.i32(0));
  }

  private load32(offset: number): Value {
    return this.load('i32.load', this.cpu, offset);
  }
  private load64(offset: number): Value {
    return this.load('i64.load', this.cpu, offset);
  }
  private store64(offset: number, value: Value): void {
    this.effect('i64.store', [this.cpu, value], offset);
  }

  /** One load sees ATTENTION and EVENT; what is there is for the runtime. */
  private events(): void {
    const { step } = this;
    this.set(step, this.i32(0));
    this.if(this.ne(this.load64(L.ATTENTION), this.i64(0)), () => {
      this.set(step, this.call('handle_events', [], 'i32'));
      const leave = this.gtU(this.get(step), this.i32(1));
      this.if(leave, () => this.return(this.load32(L.EXIT_REASON)));
    });
  }

  /** CS's limit comes before the page: a fetch beyond it is #GP(0), whether or not a page is there. */
  private refuseBeyondLimit(again: Label, offset: Value): void {
    this.if(this.limited(this.load32(L.CODE_MODE)), () => {
      this.if(this.gtU(offset, this.codeLimit()), () => {
        this.call('set_fault', [this.i32(GP), this.i32(1), this.i32(0)], null);
        this.br(again);
      });
    });
  }

  private limited(mode: Value): Value {
    const checked = this.load32(CS_PLACE + L.SEG_CHECK);
    return this.and(this.ne(checked, this.i32(0)), this.ne(mode, this.i32(MODE_64)));
  }

  private codeLimit(): Value {
    return this.load('i64.load32_u', this.cpu, CS_PLACE + L.SEG_LIMIT);
  }

  /** Where the next instruction stands in this memory: the last fetch's page is remembered. */
  private fetch(again: Label, rip: Value, linear: Value): Value {
    const page = this.andC(linear, -4096);
    this.if(this.ne(page, this.load64(L.CODE_TAG)), () => {
      this.store64(L.NEXT_RIP, rip);
      this.refuseBeyondLimit(again, rip);
      const found = this.call('fetch_probe', [linear], 'i32');
      this.brIf(again, this.eqz(found));
      this.store64(L.CODE_TAG, page);
      const addend = this.sub(found, this.wrap(linear));
      this.effect('i32.store', [this.cpu, addend], L.CODE_ADDEND);
    });
    return this.add(this.wrap(linear), this.load32(L.CODE_ADDEND));
  }

  /** Runs the translated region that starts here, if there is one. */
  private region(again: Label, place: Value): void {
    this.if(
      this.load32(L.JIT_SKIP),
      () => this.effect('i32.store', [this.cpu, this.i32(0)], L.JIT_SKIP),
      () => {
        const hash = this.andC(this.xor(place, this.shrUC(place, 11)), L.JIT_HASH_ENTRIES - 1);
        const entry = this.add(this.cpu, this.shlC(hash, 4));
        const at = (offset: number): Value => this.load('i32.load', entry, L.JIT_HASH + offset);
        const generation = this.generation(place);
        const key = this.load32(L.CODE_KEY);
        const same = this.and(this.eq(at(H.J_PLACE), place), this.eq(at(H.J_KEY), key));
        this.if(this.and(same, this.eq(at(H.J_GENERATION), generation)), () => {
          const rip = this.load64(L.RIP);
          const cache = this.cacheEntry(rip);
          this.effect('i64.store', [cache, rip], L.JIT_CACHE + H.V_RIP);
          this.effect('i32.store', [cache, this.load32(L.CODE_EPOCH)], L.JIT_CACHE + H.V_EPOCH);
          this.effect('i32.store', [cache, at(H.J_FUNCTION)], L.JIT_CACHE + H.V_FUNCTION);
          this.enterRegion(again, at(H.J_FUNCTION));
        });
      },
    );
  }

  /** Where nothing waits and the region at RIP was found before, that is all there is to look at. */
  private cached(again: Label): void {
    const waits = this.or(
      this.load64(L.ATTENTION),
      this.load('i64.load32_u', this.cpu, L.JIT_SKIP),
    );
    const rip = this.load64(L.RIP);
    const more = this.ltU(this.load64(L.ICOUNT), this.load64(L.ICOUNT_LIMIT));
    this.if(this.and(this.eqz(waits), more), () => {
      this.reached(rip);
      const cache = this.cacheEntry(rip);
      const same = this.eq(this.load('i64.load', cache, L.JIT_CACHE + H.V_RIP), rip);
      const epoch = this.load('i32.load', cache, L.JIT_CACHE + H.V_EPOCH);
      this.if(this.and(same, this.eq(epoch, this.load32(L.CODE_EPOCH))), () =>
        this.enterRegion(again, this.load('i32.load', cache, L.JIT_CACHE + H.V_FUNCTION)),
      );
    });
  }

  /** Where a guest call was to come back; the outermost run goes on whatever RIP is. */
  private reached(rip: Value): void {
    this.if(this.eq(rip, this.param(0)), () => {
      this.if(this.load32(L.JIT_DEPTH), () => this.return(this.i32(0)));
    });
  }

  private cacheEntry(rip: Value): Value {
    const hash = this.wrap(this.xor(rip, this.shrUC(rip, 12)));
    return this.add(this.cpu, this.shlC(this.andC(hash, L.JIT_CACHE_ENTRIES - 1), 4));
  }

  private enterRegion(again: Label, index: Value): void {
    this.set(this.before, this.i32(0));
    this.store64(L.JIT_ENTRIES, this.addC(this.load64(L.JIT_ENTRIES), 1));
    const status = this.callIndirect(this.module.type(H.REGION), [index], 'i32', 1);
    this.if(status, () => this.return(status));
    this.br(again);
  }

  /** Which block follows which: what the JIT takes for the targets of an indirect branch. */
  private remember(rip: Value): void {
    const before = this.get(this.before);
    this.if(before, () => {
      // The first slot that is free or has it already; where all have others, the last.
      const slot = this.variable('i32', before);
      const last = this.addC(before, (R.T_SLOTS - 1) * 8);
      this.loop((next) => {
        const kept = this.load('i64.load', this.get(slot), R.T_TARGETS);
        const mine = this.or(this.eqz(kept), this.eq(kept, rip));
        this.if(this.and(this.eqz(mine), this.ne(this.get(slot), last)), () => {
          this.set(slot, this.addC(this.get(slot), 8));
          this.br(next);
        });
      });
      this.effect('i64.store', [this.get(slot), rip], R.T_TARGETS);
    });
    const header = this.addC(this.get(this.rec), -R.RECORD_SIZE);
    this.set(this.before, this.i32(0));
    this.if(this.get(this.rec), () =>
      this.set(this.before, this.load('i32.load', header, R.B_TARGETS)),
    );
  }

  private generation(place: Value): Value {
    return this.load('i32.load', this.shlC(this.shrUC(place, 12), 4), L.CODE_PAGES);
  }

  /** A block that has been run often enough may be translated. */
  private count(place: Value): void {
    const header = this.addC(this.get(this.rec), -R.RECORD_SIZE);
    const count = this.addC(this.load('i32.load', header, R.B_COUNT), 1);
    this.effect('i32.store', [header, count], R.B_COUNT);
    this.if(this.eq(count, this.load32(L.JIT_THRESHOLD)), () => {
      this.effect('i32.store', [header, this.i32(0)], R.B_COUNT);
      this.call('hot', [place], null);
    });
  }

  /** Looks in the block hash, decodes on a miss; `rec` 0: the first instruction crosses its page. */
  private findBlock(place: Value, mode: Value): void {
    const hash = this.andC(this.xor(place, this.shrUC(place, 11)), L.BLOCK_HASH_ENTRIES - 1);
    const entry = this.add(this.cpu, this.shlC(hash, 4));
    const at = (offset: number): Value => this.load('i32.load', entry, L.BLOCK_HASH + offset);
    const generation = this.generation(place);
    const same = this.and(this.eq(at(R.H_PLACE), place), this.eq(at(R.H_GENERATION), generation));
    this.if(
      this.and(same, this.eq(at(R.H_MODE), mode)),
      () => {
        this.set(this.rec, at(R.H_RECORD));
        this.count(place);
      },
      () => this.set(this.rec, this.call('decode_block', [place, mode], 'i32')),
    );
  }

  /** The instruction goes on in the next linear page, which may fault, and may lie anywhere. */
  private decodeCrossing(again: Label, rip: Value, linear: Value, place: Value, mode: Value): void {
    const next = this.addC(this.andC(linear, -4096), 4096);
    const wrapped = this.and(next, this.load64(L.LINEAR_MASK));
    this.refuseBeyondLimit(again, this.add(rip, this.sub(next, linear)));
    const second = this.call('fetch_probe', [wrapped], 'i32');
    this.brIf(again, this.eqz(second));
    this.set(this.rec, this.call('decode_crossing', [place, second, mode], 'i32'));
  }

  /**
   * #GP(0) where the next instruction lies beyond CS's limit. Outside 64-bit code a limited CS is
   * checked by block; a block that might run past the limit is run one instruction at a time.
   */
  private checkLimit(again: Label, rip: Value, place: Value, mode: Value): void {
    this.if(this.limited(mode), () => {
      const { rec } = this;
      const limit = this.codeLimit();
      const count = this.addC(this.load('i64.load8_u', this.get(rec), R.R_REMAINING), 1);
      // No instruction is longer than 15 bytes: most blocks pass without adding up their lengths.
      const furthest = this.add(rip, this.mul(count, this.i64(15)));
      this.if(this.gtU(furthest, limit), () => {
        const length = this.load('i64.load8_u', this.get(rec), R.R_LENGTH);
        const last = this.addC(this.add(rip, length), -1);
        this.if(this.gtU(last, limit), () => {
          this.call('set_fault', [this.i32(GP), this.i32(1), this.i32(0)], null);
          this.br(again);
        });
        const single = this.call('decode_single', [place, mode], 'i32');
        this.if(single, () => this.set(rec, single));
      });
      this.effect('i32.store', [this.cpu, this.i32(0)], L.BLOCK_REC);
    });
  }

  /** Counts the whole block as run: who leaves it early takes back what has not been. */
  private enterBlock(rip: Value): void {
    const record = this.get(this.rec);
    const remaining = this.load('i64.load8_u', record, R.R_REMAINING);
    this.store64(L.ICOUNT, this.add(this.load64(L.ICOUNT), this.addC(remaining, 1)));
    const offset = this.load('i64.load16_u', record, R.R_OFFSET);
    this.store64(L.IP_BASE, this.sub(rip, offset));
  }

  /**
   * Calls handlers until one says that the block has ended. A loop, not handlers that tail-call each
   * other: V8 11.3 boots Linux in 0.79 of the time this way (docs/decisions.md).
   */
  private runBlock(): void {
    this.loop((next) => {
      const record = this.get(this.rec);
      const handler = this.load('i32.load16_u', record, R.R_HANDLER);
      const called = this.callIndirect(
        this.module.type(HANDLER),
        [this.cpu, record, handler],
        'i32',
      );
      this.set(this.rec, called);
      this.brIf(next, this.get(this.rec));
    });
  }
}
