import assert from 'node:assert/strict';
import test from 'node:test';
import { checksum, cString, getU64, setU64, utf8, viewOf } from './bytes.js';

test('utf8 says what TextEncoder says', () => {
  for (const text of ['', 'root=/dev/vda1', 'é ß', '€', '日本', '🐧 x', '\ud800', 'a\udfffb']) {
    assert.deepEqual(utf8(text), new TextEncoder().encode(text));
  }
});

test('cString ends in one NUL', () => {
  assert.deepEqual([...cString('ab')], [0x61, 0x62, 0]);
});

test('64-bit fields', () => {
  const view = viewOf(new Uint8Array(8));
  for (const value of [0, 1, 0xffff_ffff, 0x1_0000_0000, 2 ** 53 - 1]) {
    setU64(view, 0, value);
    assert.equal(view.getBigUint64(0, true), BigInt(value));
    assert.equal(getU64(view, 0), value);
  }
});

test('checksum makes the sum zero', () => {
  assert.equal(checksum(Uint8Array.of(0xff, 0xff, 3)), 0xff);
  assert.equal(checksum(new Uint8Array(3)), 0);
});
