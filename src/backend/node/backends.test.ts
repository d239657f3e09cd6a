import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'node:test';
import { FileChar } from './file-char.js';
import { HostClock } from './host-clock.js';
import { StreamChar } from './stream-char.js';

const text = (value: string) => new TextEncoder().encode(value);
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('the host clock starts at zero and never goes back', () => {
  const clock = new HostClock();
  let before = clock.nowNs();
  assert.ok(before >= 0 && before < 1e9);
  for (let i = 0; i < 1000; i++) {
    const now = clock.nowNs();
    assert.ok(now >= before && Number.isInteger(now));
    before = now;
  }
  assert.ok(Math.abs(clock.wallMs() - Date.now()) < 1000);
});

test('single bytes from the guest reach the stream together and in order', async () => {
  const sink = new PassThrough();
  const chunks: string[] = [];
  sink.on('data', (chunk) => chunks.push(String(chunk)));
  const char = new StreamChar(new PassThrough(), sink);
  for (const byte of text('hello')) char.write(Uint8Array.of(byte));
  await turn();
  await turn();
  assert.deepEqual(chunks, ['hello']);
});

test('the end of a piped input neither loses input nor throws', async () => {
  const input = new PassThrough();
  const char = new StreamChar(input, new PassThrough());
  const got: number[] = [];
  let room = 3;
  char.connect((bytes) => {
    const taken = Math.min(room, bytes.length);
    got.push(...bytes.subarray(0, taken));
    room -= taken;
    return taken;
  });
  input.end('abcdef');
  await turn();
  room = 100;
  char.resume();
  await turn();
  assert.equal(String.fromCharCode(...got), 'abcdef');
  char.close();
});

test('a reader that went away does not end the guest', async () => {
  const sink = new PassThrough();
  const char = new StreamChar(new PassThrough(), sink);
  sink.destroy(new Error('EPIPE'));
  await turn();
  char.write(text('into the void'));
  await turn();
  char.close();
});

test('a file gets all that was written by the time it is closed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-'));
  try {
    const path = join(folder, 'serial.log');
    const char = new FileChar(path);
    char.write(text('x'.repeat(5000)));
    char.close();
    char.close();
    assert.equal(readFileSync(path, 'utf8'), 'x'.repeat(5000));
    assert.throws(() => new FileChar(join(folder, 'none', 'log')), { code: 'ENOENT' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
