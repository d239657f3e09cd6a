import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { DiskError } from '../disk/disk.js';
import { HostDiskFile } from './host-disk-file.js';
import { hostDisks } from './host-disks.js';

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-file-'));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const writable = { writable: true };

for (const direct of [false, true]) {
  const mode = direct ? 'direct' : 'cached';
  test(`${mode}: any offset and length is written and read, and what is beyond the end is zero`, (t) =>
    inFolder(async (folder) => {
      const path = join(folder, 'disk');
      writeFileSync(path, '');
      let file: HostDiskFile;
      try {
        file = await HostDiskFile.open(path, { writable: true, direct });
      } catch (error) {
        if (error instanceof DiskError && error.code === 'unsupported')
          return t.skip(error.message);
        throw error;
      }
      const expected = new Uint8Array(3 << 20);
      let state = 1;
      const random = (limit: number) => {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        return Math.floor((state / 2 ** 32) * limit);
      };
      for (let i = 0; i < 40; i++) {
        const offset = random(1 << 20);
        const bytes = new Uint8Array(1 + random(i % 5 === 0 ? 1 << 21 : 9000)).fill(1 + i);
        await file.write(offset, bytes);
        expected.set(bytes, offset);
      }
      assert.equal(file.sizeBytes, statSync(path).size);
      const found = new Uint8Array(expected.length);
      await file.read(0, found);
      assert.ok(Buffer.compare(found, expected) === 0);
      const odd = new Uint8Array(777).fill(9);
      await file.read(4095, odd);
      assert.deepEqual(odd, expected.slice(4095, 4095 + 777));
      await file.flush();
      await file.close();
      await assert.rejects(file.write(0, odd), { code: 'closed' });
    }));
}

test('writes of one turn that follow each other arrive whole, in any order', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk');
    writeFileSync(path, '');
    const file = await HostDiskFile.open(path, writable);
    const order = Array.from({ length: 300 }, (_, i) => (i * 7) % 300);
    await Promise.all(order.map((i) => file.write(i * 4096, new Uint8Array(4096).fill(i))));
    await file.close();
    const found = readFileSync(path);
    assert.ok(
      order.every((i) => found.subarray(i * 4096, i * 4096 + 4096).every((b) => b === (i & 255))),
    );
  }));

test('a file that is closed while it is written to ends its writes first', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk');
    writeFileSync(path, '');
    const file = await HostDiskFile.open(path, writable);
    const writes = [0, 1, 2].map((i) => file.write(i << 21, new Uint8Array(1 << 20).fill(7)));
    await file.close();
    await Promise.all(writes);
    assert.equal(readFileSync(path)[(5 << 20) - 1], 7);
  }));

test('space that is given back reads as zeroes, and holes are found', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk');
    writeFileSync(path, new Uint8Array(1 << 20).fill(1));
    const file = await HostDiskFile.open(path, writable);
    if (await file.punch(65536, 131072)) {
      assert.deepEqual(await file.extent(0, 1 << 20), { length: 65536, hole: false });
      assert.deepEqual(await file.extent(65536, 1 << 20), { length: 131072, hole: true });
      assert.deepEqual(await file.extent(196608, 4096), { length: 4096, hole: false });
      const found = new Uint8Array(4096);
      await file.read(65536, found);
      assert.ok(found.every((byte) => byte === 0));
    }
    await file.close();
  }));

test('two who write, or one who reads while another writes, do not open one file', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk');
    writeFileSync(path, 'x');
    const reader = await HostDiskFile.open(path, { writable: false });
    const second = await HostDiskFile.open(path, { writable: false });
    await assert.rejects(HostDiskFile.open(path, writable), { code: 'locked' });
    await Promise.all([reader.close(), second.close()]);
    const writer = await HostDiskFile.open(path, writable);
    await assert.rejects(HostDiskFile.open(path, { writable: false }), { code: 'locked' });
    await assert.rejects(HostDiskFile.open(path, writable, true), { code: 'locked' });
    await (await HostDiskFile.open(path, { writable: false, unlocked: true })).close();
    await writer.close();
    assert.equal(readFileSync(path, 'utf8'), 'x', 'who is refused empties nothing');
  }));

test('each way that the host says no is one sentence with the file’s name', () =>
  inFolder(async (folder) => {
    const missing = join(folder, 'none');
    await assert.rejects(HostDiskFile.open(missing, writable), {
      code: 'not-found',
      message: `${missing}: cannot open it: there is no such file or folder`,
    });
    await assert.rejects(HostDiskFile.open(folder, writable), { code: 'bad-format' });
    await assert.rejects(HostDiskFile.open('/dev/null', writable), { code: 'bad-format' });
  }));

test('a file that once failed to flush never says again that it is flushed', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk');
    writeFileSync(path, 'x');
    const file = await HostDiskFile.open(path, writable);
    const fd = Reflect.get(file, 'fd');
    closeSync(fd);
    await assert.rejects(file.flush(), { code: 'io' });
    Reflect.set(file, 'fd', 1);
    await assert.rejects(file.flush(), { code: 'io' });
  }));

test('a full disk is told as such, and the file goes on when there is room', (t) =>
  inFolder(async (folder) => {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', folder], { stdio: 'pipe' });
    } catch {
      return t.skip('a small file system cannot be mounted here');
    }
    try {
      const path = join(folder, 'disk');
      writeFileSync(path, '');
      const file = await HostDiskFile.open(path, writable);
      const piece = new Uint8Array(256 << 10).fill(1);
      const writes = await Promise.allSettled(
        Array.from({ length: 8 }, (_, i) => file.write(i * piece.length, piece)),
      );
      const failed = writes.filter((result) => result.status === 'rejected');
      assert.ok(failed.length > 0 && failed.length < 8, `${failed.length} of 8 failed`);
      assert.ok(failed.every(({ reason }) => reason.code === 'no-space'));
      await file.truncate(0);
      await file.write(0, piece);
      await file.close();
    } finally {
      execFileSync('umount', ['-l', folder]);
    }
  }));

test('names are seen from the folder of the image, through links', () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, 'a'), '');
    symlinkSync(join(folder, 'a'), join(folder, 'link'));
    const real = hostDisks.resolve('', join(folder, 'a'));
    assert.equal(hostDisks.resolve(join(folder, 'x'), 'link'), real);
    assert.equal(hostDisks.relative(join(folder, 'x'), join(folder, 'sub/b')), 'sub/b');
    await assert.rejects(hostDisks.open(join(folder, 'a/b'), writable), { code: 'not-found' });
  }));
