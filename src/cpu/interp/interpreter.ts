/**
 * Generates the interpreter as one WebAssembly module: a handler for each variant in the table,
 * and `run`, which finds the block at RIP and starts its first record.
 */
import { FunctionBuilder, type Label, type Value, type Var } from '../emit/function-builder.js';
import { WasmModule } from '../emit/module.js';
import { variantsOf } from '../isa/operands.js';
import { RUNTIME_FUNCTIONS } from '../isa/runtime-imports.js';
import { runtimeSignature, type Variant } from '../isa/sem.js';
import type { Entry } from '../isa/table.js';
import * as L from '../state/layout.js';
import { HANDLER, HandlerBuilder } from './handler-builder.js';
import * as R from './record.js';

/** Finds a variant's handler number: the same for the generator and for who writes records. */
export class HandlerIndex {
  readonly variants: Variant[] = [];
  /** By entry, size, form, lock and rep; 0 where there is none. */
  private readonly numbers: Uint16Array;

  constructor(table: readonly Entry[]) {
    this.numbers = new Uint16Array(table.length * 128);
    for (const entry of table) {
      for (const variant of variantsOf(entry)) {
        this.numbers[slot(variant)] = R.FIRST_HANDLER + this.variants.length;
        this.variants.push(variant);
      }
    }
  }

  of(variant: Variant): number {
    const exact = this.numbers[slot(variant)]!;
    // REPNE before a string instruction that does not compare repeats like REP.
    return exact || variant.rep !== 2 ? exact : this.numbers[slot({ ...variant, rep: 3 })]!;
  }
}

function slot({ entry, size, form, lock, rep }: Variant): number {
  const sizeIndex = size === 16 ? 0 : size === 32 ? 1 : 2;
  const formIndex = form === 'reg' ? 0 : form === 'mem' ? 1 : 2;
  return entry.index * 128 + (((sizeIndex * 3 + formIndex) * 2 + (lock ? 1 : 0)) * 4 + rep);
}

/** The interpreter's bytes. Imports: rt.* (the runtime), env.decode_* (decode-block.ts). */
export function generateInterpreter(table: readonly Entry[]): Uint8Array {
  const module = new WasmModule();
  for (const name of Object.keys(RUNTIME_FUNCTIONS)) {
    const { params, result } = runtimeSignature(name);
    module.importFunction('rt', name, { params, results: result ? [result] : [] });
  }
  module.importFunction('env', 'decode_block', { params: ['i32', 'i32'], results: ['i32'] });
  module.importFunction('env', 'decode_single', { params: ['i32', 'i32'], results: ['i32'] });
  const crossing = { params: ['i32', 'i32', 'i32'], results: ['i32'] } as const;
  module.importFunction('env', 'decode_crossing', crossing);

  const index = new HandlerIndex(table);
  const names = ['end', 'invalid', 'too_long', ...index.variants.map((_, i) => `h${i}`)];
  module.declare('sync', { params: ['i32', 'i32'], results: [] });
  module.declare('run', { params: [], results: ['i32'] });
  for (const name of names) module.declare(name, HANDLER);

  defineSync(module);
  defineEnd(module);
  defineFault(module, 'invalid', 6, false);
  defineFault(module, 'too_long', 13, true);
  index.variants.forEach((variant, i) => {
    try {
      const builder = new HandlerBuilder(module, variant);
      builder.build();
      module.define(`h${i}`, builder.finish());
    } catch (cause) {
      const { entry, size, form } = variant;
      const what = `${entry.family}: ${entry.pattern} ${entry.mnemonic} (${size}, ${form})`;
      throw new Error(`${what}: ${(cause as Error).message}`, { cause });
    }
  });
  defineRun(module);
  module.table(names);
  module.export('run');
  return module.build();
}

/** Before a call to the runtime: where we are. */
function defineSync(module: WasmModule): void {
  const b = new FunctionBuilder(module, HANDLER.params);
  const [cpu, record] = [b.param(0), b.param(1)];
  const base = b.load('i64.load', cpu, L.IP_BASE);
  const rip = b.add(base, b.load('i64.load16_u', record, R.R_OFFSET));
  b.effect('i64.store', [cpu, rip], L.RIP);
  b.effect('i64.store', [cpu, b.add(rip, b.load('i64.load8_u', record, R.R_LENGTH))], L.NEXT_RIP);
  b.effect('i32.store', [cpu, record], L.BLOCK_REC);
  b.return();
  module.define('sync', b.finish());
}

/** The record after a block's last instruction, or one that was overwritten when code changed. */
function defineEnd(module: WasmModule): void {
  const b = new FunctionBuilder(module, HANDLER.params);
  const [cpu, record] = [b.param(0), b.param(1)];
  const base = b.load('i64.load', cpu, L.IP_BASE);
  const rip = b.add(base, b.load('i64.load16_u', record, R.R_OFFSET));
  b.effect('i64.store', [cpu, rip], L.RIP);
  const unrun = b.andC(b.addC(b.load('i64.load8_u', record, R.R_REMAINING), 1), 0xff);
  b.effect('i64.store', [cpu, b.sub(b.load('i64.load', cpu, L.ICOUNT), unrun)], L.ICOUNT);
  b.return(b.i32(0));
  module.define('end', b.finish());
}

function defineFault(module: WasmModule, name: string, vector: number, hasError: boolean): void {
  const b = new FunctionBuilder(module, HANDLER.params);
  const [cpu, record] = [b.param(0), b.param(1)];
  b.call('sync', [cpu, record], null);
  b.call('set_fault', [b.i32(vector), b.i32(hasError ? 1 : 0), b.i32(0)], null);
  const unrun = b.addC(b.load('i64.load8_u', record, R.R_REMAINING), 1);
  b.effect('i64.store', [cpu, b.sub(b.load('i64.load', cpu, L.ICOUNT), unrun)], L.ICOUNT);
  b.return(b.i32(0));
  module.define(name, b.finish());
}

/** A run that starts this many blocks comes back, whatever the budget. */
const MAX_BLOCKS_PER_RUN = 1 << 20;

/** run(): EXIT_*. Comes back when the runtime says so or ICOUNT reaches ICOUNT_LIMIT. */
function defineRun(module: WasmModule): void {
  const b = new FunctionBuilder(module, []);
  const cpu = b.cpuGlobal();
  const load64 = (offset: number): Value => b.load('i64.load', cpu, offset);
  const load32 = (offset: number): Value => b.load('i32.load', cpu, offset);
  const step = b.variable('i32');
  const rec = b.variable('i32');
  // Instructions that fault do not count as run: this bounds a guest that does nothing but fault.
  const blocks = b.variable('i32', b.i32(MAX_BLOCKS_PER_RUN));
  b.loop((again) => {
    b.set(blocks, b.addC(b.get(blocks), -1));
    b.if(b.eqz(b.get(blocks)), () => b.return(b.i32(L.EXIT_BUDGET)));
    b.set(step, b.i32(0));
    b.if(b.ne(load64(L.ATTENTION), b.i64(0)), () => {
      b.set(step, b.call('handle_events', [], 'i32'));
      b.if(b.gtU(b.get(step), b.i32(1)), () => b.return(load32(L.EXIT_REASON)));
    });
    b.if(b.geU(load64(L.ICOUNT), load64(L.ICOUNT_LIMIT)), () => b.return(b.i32(L.EXIT_BUDGET)));
    // Where the next instruction stands in this memory.
    const rip = load64(L.RIP);
    const linear = b.and(b.add(rip, load64(L.CODE_BASE)), load64(L.LINEAR_MASK));
    const page = b.andC(linear, -4096);
    b.if(b.ne(page, load64(L.CODE_TAG)), () => {
      b.effect('i64.store', [cpu, rip], L.NEXT_RIP);
      const found = b.call('fetch_probe', [linear], 'i32');
      b.brIf(again, b.eqz(found));
      b.effect('i64.store', [cpu, page], L.CODE_TAG);
      b.effect('i32.store', [cpu, b.sub(found, b.wrap(linear))], L.CODE_ADDEND);
    });
    const place = b.add(b.wrap(linear), load32(L.CODE_ADDEND));
    const mode = load32(L.CODE_MODE);
    const cs = L.SEGMENTS + L.CS * L.SEGMENT_SIZE;
    b.if(
      b.get(step),
      () => {
        b.set(rec, b.call('decode_single', [place, mode], 'i32'));
      },
      () => {
        findBlock(b, cpu, place, mode, rec);
      },
    );
    b.if(b.eqz(b.get(rec)), () => decodeCrossing(b, cpu, again, linear, place, mode, rec));
    // Outside 64-bit code a limited CS is checked by block; a block that would run past the limit
    // is run one instruction at a time.
    b.if(load32(cs + L.SEG_CHECK), () => {
      b.if(b.ne(mode, b.i32(2)), () => {
        checkLimit(
          b,
          cpu,
          again,
          rip,
          place,
          mode,
          rec,
          b.load('i64.load32_u', cpu, cs + L.SEG_LIMIT),
        );
      });
    });
    const record = b.get(rec);
    const remaining = b.load('i64.load8_u', record, R.R_REMAINING);
    b.effect('i64.store', [cpu, b.add(load64(L.ICOUNT), b.addC(remaining, 1))], L.ICOUNT);
    const offset = b.load('i64.load16_u', record, R.R_OFFSET);
    b.effect('i64.store', [cpu, b.sub(rip, offset)], L.IP_BASE);
    runBlock(b, cpu, rec);
    b.if(b.get(step), () => b.call('after_step', [], null));
    b.br(again);
  });
  b.return(b.i32(0));
  module.define('run', b.finish());
}

/**
 * Calls handlers until one says that the block has ended. A loop, not handlers that tail-call each
 * other: V8 11.3 boots Linux in 0.79 of the time this way (docs/decisions.md).
 */
function runBlock(b: FunctionBuilder, cpu: Value, rec: Var): void {
  b.loop((next) => {
    const record = b.get(rec);
    const handler = b.load('i32.load16_u', record, R.R_HANDLER);
    b.set(rec, b.callIndirect(b.module.type(HANDLER), [cpu, record, handler], 'i32'));
    b.brIf(next, b.get(rec));
  });
}

/** Looks in the block hash, decodes on a miss; `rec` 0: the first instruction crosses its page. */
function findBlock(b: FunctionBuilder, cpu: Value, place: Value, mode: Value, rec: Var): void {
  const hash = b.andC(b.xor(place, b.shrUC(place, 11)), L.BLOCK_HASH_ENTRIES - 1);
  const entry = b.add(cpu, b.shlC(hash, 4));
  const at = (offset: number): Value => b.load('i32.load', entry, L.BLOCK_HASH + offset);
  const page = b.shlC(b.shrUC(place, 12), 4);
  const generation = b.load('i32.load', page, L.CODE_PAGES);
  const same = b.and(b.eq(at(R.H_PLACE), place), b.eq(at(R.H_GENERATION), generation));
  const hit = b.and(same, b.eq(at(R.H_MODE), mode));
  b.if(
    hit,
    () => b.set(rec, at(R.H_RECORD)),
    () => b.set(rec, b.call('decode_block', [place, mode], 'i32')),
  );
}

function decodeCrossing(
  b: FunctionBuilder,
  cpu: Value,
  again: Label,
  linear: Value,
  place: Value,
  mode: Value,
  rec: Var,
): void {
  const next = b.addC(b.andC(linear, -4096), 4096);
  const wrapped = b.and(next, b.load('i64.load', cpu, L.LINEAR_MASK));
  const second = b.call('fetch_probe', [wrapped], 'i32');
  b.brIf(again, b.eqz(second));
  b.set(rec, b.call('decode_crossing', [place, second, mode], 'i32'));
}

/** #GP(0) where the next instruction lies beyond CS's limit. */
function checkLimit(
  b: FunctionBuilder,
  cpu: Value,
  again: Label,
  rip: Value,
  place: Value,
  mode: Value,
  rec: Var,
  limit: Value,
): void {
  const count = b.addC(b.load('i64.load8_u', b.get(rec), R.R_REMAINING), 1);
  // No instruction is longer than 15 bytes: most blocks pass without adding up their lengths.
  const furthest = b.add(rip, b.mul(count, b.i64(15)));
  b.if(b.gtU(furthest, limit), () => {
    const length = b.load('i64.load8_u', b.get(rec), R.R_LENGTH);
    const last = b.addC(b.add(rip, length), -1);
    b.if(b.gtU(last, limit), () => {
      b.call('set_fault', [b.i32(13), b.i32(1), b.i32(0)], null);
      b.br(again);
    });
    const single = b.call('decode_single', [place, mode], 'i32');
    b.if(single, () => b.set(rec, single));
  });
  b.effect('i32.store', [cpu, b.i32(0)], L.BLOCK_REC);
}
