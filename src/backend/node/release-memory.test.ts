import assert from 'node:assert/strict';
import test from 'node:test';
import { memoryRelease } from './release-memory.js';

declare const WebAssembly: {
  Memory: new (d: {
    initial: number;
    maximum: number;
    shared: true;
  }) => { buffer: ArrayBufferLike };
};

test('released pages of guest memory are the host’s again, and read as zeroes', (t) => {
  const release = memoryRelease();
  if (release === undefined) return t.skip('no madvise here');
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 1024, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  bytes.fill(7);
  const before = process.memoryUsage.rss();
  release(bytes.subarray(4096, bytes.length - 4096));
  const given = before - process.memoryUsage.rss();
  assert.ok(given > bytes.length / 2, `${given} bytes came back`);
  assert.deepEqual([bytes[4095], bytes[4096], bytes[bytes.length - 1]], [7, 0, 7]);
});
