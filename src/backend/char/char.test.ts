import assert from 'node:assert/strict';
import test from 'node:test';
import { InputQueue, MemoryChar } from './char.js';

test('input waits until the guest has room, and keeps its order', () => {
  const queue = new InputQueue();
  const got: number[] = [];
  let room = 2;
  queue.push(Uint8Array.of(1, 2, 3));
  queue.connect((bytes) => {
    const taken = Math.min(room, bytes.length);
    got.push(...bytes.subarray(0, taken));
    room -= taken;
    return taken;
  });
  assert.deepEqual(got, [1, 2]);
  queue.push(Uint8Array.of(4));
  assert.deepEqual(got, [1, 2], 'nothing overtakes what waits');
  room = 10;
  queue.resume();
  assert.deepEqual(got, [1, 2, 3, 4]);
  assert.ok(queue.isEmpty);
});

test('a memory backend gives what was written and offers what was typed', () => {
  const char = new MemoryChar();
  const got: number[] = [];
  char.connect((bytes) => got.push(...bytes) && bytes.length);
  char.write(Uint8Array.of(0x68, 0x69));
  char.type('\r');
  assert.equal(char.text, 'hi');
  assert.deepEqual(got, [13]);
});
