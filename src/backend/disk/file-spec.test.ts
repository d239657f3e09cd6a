import assert from 'node:assert/strict';
import test from 'node:test';
import { parseFileSpec } from './file-spec.js';

test('a file is its path, its format and what else is said', () => {
  assert.deepEqual(parseFileSpec('a.raw,format=raw'), {
    path: 'a.raw',
    format: 'raw',
    direct: false,
    unlocked: false,
  });
  const text =
    'dir/a,,b.qcow2,format=qcow2,backing=c,,d,backing-format=raw,data-file=e,cache=direct,lock=off';
  assert.deepEqual(parseFileSpec(text), {
    path: 'dir/a,b.qcow2',
    format: 'qcow2',
    backing: 'c,d',
    backingFormat: 'raw',
    dataFile: 'e',
    direct: true,
    unlocked: true,
  });
});

for (const [text, message] of [
  ['a.raw', /found no format, wanted FILE,format=raw or FILE,format=qcow2: it is never guessed/],
  ['a,format=vmdk', /format: found "vmdk", wanted raw or qcow2/],
  [',format=raw', /found no file name/],
  ['a,format=raw,format=raw', /format is given twice/],
  ['a,format=raw,colour=red', /found "colour=red", wanted KEY=VALUE with one of format,/],
  ['a,format=raw,backing=', /backing: found "", wanted a file/],
  ['a,raw', /found "raw", wanted KEY=VALUE/],
] as const) {
  test(`"${text}" is refused`, () => {
    assert.throws(() => parseFileSpec(text), { code: 'usage', message });
  });
}
