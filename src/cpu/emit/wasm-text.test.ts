import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';
import { FunctionBuilder } from './function-builder.js';
import { WasmModule } from './module.js';
import { wasmText } from './wasm-text.js';

test('a small module as text', () => {
  const module = new WasmModule();
  module.importFunction('env', 'noise', { params: ['i32'], results: [] });
  const b = new FunctionBuilder(module, ['i32']);
  b.loop((again) => {
    b.call('noise', [b.i32(-5)], null);
    b.brIf(again, b.load('i32.load8_u', b.param(0), 77));
  });
  b.return(b.i64(1n << 40n));
  module.declare('work', { params: ['i32'], results: ['i64'] });
  module.define('work', b.finish());
  module.export('work');
  assert.deepEqual(
    wasmText(module.build())
      .trimEnd()
      .split('\n')
      .filter((line) => !/local\.(set|tee)/.test(line)),
    [
      'work: locals 1 i32',
      '  loop',
      '    i32.const -5',
      '    call noise',
      '    local.get 0',
      '    i32.load8_u 77',
      '    local.get 1',
      '    br_if 0',
      '  end',
      '  i64.const 1099511627776',
      '  return',
      '  unreachable',
      'end',
    ],
  );
});

test('all of the interpreter can be shown', async () => {
  const bytes = await readFile(new URL('../interp/interp.wasm', import.meta.url));
  const text = wasmText(bytes);
  assert.ok(text.split('\n').length > 100_000);
  assert.match(text, /^run: locals/m);
  assert.match(text, /call_indirect/);
});
