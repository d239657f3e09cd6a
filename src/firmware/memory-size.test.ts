import assert from 'node:assert/strict';
import test from 'node:test';
import { LoadError } from './load-error.js';
import { checkMemorySize, describe } from './memory-size.js';

const MIB = 2 ** 20;
const limit = { engine: 'soft', maxBytes: 3584 * MIB };

function refused(size: number): LoadError {
  try {
    checkMemorySize(size, limit);
  } catch (error) {
    assert.ok(error instanceof LoadError);
    assert.equal(error.code, 'bad-memory-size');
    assert.match(error.message, /^--memory: the size of guest RAM is .*, but .*[^.]$/);
    return error;
  }
  return assert.fail(`${size} bytes were accepted`);
}

test('sizes a machine can have', () => {
  for (const size of [2 * MIB, 2 * MIB + 4096, 512 * MIB, 3584 * MIB]) checkMemorySize(size, limit);
});

test('RAM of 0', () => {
  assert.match(refused(0).message, /is 0 bytes, but a PC needs at least 2 MiB/);
});

test('RAM of 1 MiB', () => {
  assert.match(refused(MIB).message, /is 1 MiB, but a PC needs at least 2 MiB/);
});

test('RAM that is no multiple of a page', () => {
  assert.match(refused(16 * MIB + 1).message, /16777217 bytes .* multiple of 4 KiB pages/);
});

test('RAM above what the engine can give names the limit', () => {
  assert.match(refused(4096 * MIB).message, /is 4 GiB, but the soft engine gives 3.5 GiB at most/);
});

test('RAM a little above the limit does not read as the limit', () => {
  assert.match(refused(3585 * MIB).message, /is 3759144960 bytes, but .* gives 3.5 GiB at most/);
  assert.match(refused(MIB + 1).message, /is 1048577 bytes, but/);
});

test('RAM that is no number of bytes', () => {
  for (const size of [-4096, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, 4096.5]) refused(size);
});

test('sizes are told in the largest unit', () => {
  const said = [0, 512, 1536, 2 * MIB, 3.5 * 1024 * MIB, 2 ** 40].map(describe);
  assert.deepEqual(said, ['0 bytes', '512 bytes', '1.5 KiB', '2 MiB', '3.5 GiB', '1 TiB']);
});
