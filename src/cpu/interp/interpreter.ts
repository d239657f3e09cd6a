/**
 * Generates the interpreter as one WebAssembly module: a handler for each variant in the table,
 * three handlers that are not instructions, and `run` (see run-loop.ts), which calls them.
 */
import { FunctionBuilder, type Value } from '../emit/function-builder.js';
import { type Bytes, WasmModule } from '../emit/module.js';
import { RUNTIME_FUNCTIONS } from '../isa/runtime-imports.js';
import { GP, runtimeSignature, UD } from '../isa/sem.js';
import type { Entry } from '../isa/table.js';
import { REGION_SLOTS } from '../jit/region-hash.js';
import * as L from '../state/layout.js';
import { HANDLER, HandlerBuilder } from './handler-builder.js';
import { HandlerIndex } from './handler-index.js';
import * as R from './record.js';
import { buildGuestCall, buildRun, buildRunUntil, RUN_UNTIL } from './run-loop.js';

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
  module.importFunction('env', 'hot', { params: ['i32'], results: [] });

  const index = new HandlerIndex(table);
  // In the order of the numbers in records: 0, HANDLER_UD, HANDLER_TOO_LONG, FIRST_HANDLER.
  const names = ['end', 'invalid', 'too_long', ...index.variants.map((_, i) => `h${i}`)];
  module.declare('sync', { params: HANDLER.params, results: [] });
  module.declare('run', { params: [], results: ['i32'] });
  module.declare('run_until', RUN_UNTIL);
  module.declare('guest_call', RUN_UNTIL);
  for (const name of names) module.declare(name, HANDLER);

  module.define('sync', buildSync(module));
  module.define('end', buildEnd(module));
  module.define('invalid', buildFault(module, UD, false));
  module.define('too_long', buildFault(module, GP, true));
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
  module.define('run', buildRun(module));
  module.table(names);
  module.define('run_until', buildRunUntil(module));
  module.define('guest_call', buildGuestCall(module));
  module.exportTable('regions', REGION_SLOTS);
  module.export('run');
  module.export('guest_call');
  return module.build();
}

/** A function that gets what a handler gets. */
class RecordFunction extends FunctionBuilder {
  readonly cpu = this.param(0);
  readonly record = this.param(1);

  constructor(module: WasmModule) {
    super(module, HANDLER.params);
  }

  /** RIP of the record's instruction. */
  rip(): Value {
    const base = this.load('i64.load', this.cpu, L.IP_BASE);
    return this.add(base, this.load('i64.load16_u', this.record, R.R_OFFSET));
  }

  store64(offset: number, value: Value): void {
    this.effect('i64.store', [this.cpu, value], offset);
  }

  /** Of the instructions counted when the block was entered, these have not run. */
  takeBack(unrun: Value): void {
    this.store64(L.ICOUNT, this.sub(this.load('i64.load', this.cpu, L.ICOUNT), unrun));
  }

  /** This record's instruction and those after it in the block; 256 in a record that ends one. */
  remainingFromHere(): Value {
    return this.addC(this.load('i64.load8_u', this.record, R.R_REMAINING), 1);
  }
}

/** Before a call to the runtime: where we are. */
function buildSync(module: WasmModule): Bytes {
  const b = new RecordFunction(module);
  const rip = b.rip();
  b.store64(L.RIP, rip);
  b.store64(L.NEXT_RIP, b.add(rip, b.load('i64.load8_u', b.record, R.R_LENGTH)));
  b.effect('i32.store', [b.cpu, b.record], L.BLOCK_REC);
  b.return();
  return b.finish();
}

/** The record after a block's last instruction, or one that was overwritten when code changed. */
function buildEnd(module: WasmModule): Bytes {
  const b = new RecordFunction(module);
  b.store64(L.RIP, b.rip());
  b.takeBack(b.andC(b.remainingFromHere(), 0xff));
  b.return(b.i32(0));
  return b.finish();
}

/** Bytes that are no instruction. */
function buildFault(module: WasmModule, vector: number, hasError: boolean): Bytes {
  const b = new RecordFunction(module);
  b.call('sync', [b.cpu, b.record], null);
  b.call('set_fault', [b.i32(vector), b.i32(hasError ? 1 : 0), b.i32(0)], null);
  b.takeBack(b.remainingFromHere());
  b.return(b.i32(0));
  return b.finish();
}
