import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { inFolder, noQemu, qemu } from './qemu.js';

interface Ended {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

const child = fork(join(fileURLToPath(import.meta.url), '../command-child.js'));
test.after(() => child.kill());

/** `chassis disk ...` in a folder: what it says and ends with. */
async function disk(folder: string, line: string): Promise<Ended> {
  child.send({ folder, argv: ['disk', ...line.split(' ')] });
  const [ended] = await once(child, 'message');
  return ended;
}

/** The same, which must go well. */
async function good(folder: string, line: string): Promise<string> {
  const { status, out, err } = await disk(folder, line);
  assert.equal(status, 0, `${line}: ${err}`);
  return out;
}

const pattern = (length: number) =>
  Uint8Array.from({ length }, (_, i) => ((i >> 16) % 5 === 2 ? 0 : (i >> 9) % 251));

test('a raw disk becomes a compressed image and is the same again', () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, 'a.raw'), pattern(3 << 20));
    await good(folder, 'convert a.raw,format=raw b.qcow2,format=qcow2');
    await good(
      folder,
      'convert --compress --compression zstd b.qcow2,format=qcow2 c.qcow2,format=qcow2',
    );
    const back = await disk(folder, 'convert --progress c.qcow2,format=qcow2 d.raw,format=raw');
    assert.match(back.err, /100 %/);
    const same = Buffer.compare(readFileSync(join(folder, 'd.raw')), pattern(3 << 20)) === 0;
    assert.ok(same, 'the bytes went round');
    assert.ok(statSync(join(folder, 'c.qcow2')).size < 1 << 20);
    assert.match(await good(folder, 'compare a.raw,format=raw c.qcow2,format=qcow2'), /the same/);
    if (noQemu === false) qemu(folder, 'qemu-img', 'compare', 'a.raw', 'c.qcow2');
    writeFileSync(join(folder, 'd.raw'), pattern(2 << 20));
    const other = await disk(folder, 'compare --json a.raw,format=raw d.raw,format=raw');
    assert.deepEqual(JSON.parse(other.out), { same: false, offset: 33 << 16 });
    assert.equal(other.status, 1);
    const again = await disk(folder, 'convert a.raw,format=raw b.qcow2,format=qcow2');
    assert.match(again.err, /b.qcow2 is there already; --force replaces it/);
    assert.equal(again.status, 65);
    const broken = await disk(
      folder,
      'convert --force --cluster-size 3K a.raw,format=raw b.qcow2,format=qcow2',
    );
    assert.equal(broken.status, 64);
    await good(folder, 'compare a.raw,format=raw b.qcow2,format=qcow2');
    assert.deepEqual(readdirSync(folder).sort(), ['a.raw', 'b.qcow2', 'c.qcow2', 'd.raw']);
  }));

test('an overlay is made, mapped, committed and rebased, and shows the same all the time', () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, 'base.raw'), pattern(2 << 20));
    writeFileSync(join(folder, 'other.raw'), new Uint8Array(1 << 20).fill(3));
    await good(folder, 'create o.qcow2,format=qcow2,backing=base.raw,backing-format=raw');
    const shows = 'compare base.raw,format=raw o.qcow2,format=qcow2';
    await good(folder, shows);
    const map = JSON.parse(await good(folder, 'map --json o.qcow2,format=qcow2'));
    assert.deepEqual([map[0].kind, map[0].depth], ['data', 1]);
    await good(folder, 'rebase o.qcow2,format=qcow2 other.raw,format=raw');
    await good(folder, shows);
    const info = JSON.parse(await good(folder, 'info --json o.qcow2,format=qcow2'));
    assert.deepEqual(info.backing, { format: 'raw', name: 'other.raw' });
    await good(folder, 'commit o.qcow2,format=qcow2');
    await good(folder, shows);
    await good(folder, 'compare base.raw,format=raw other.raw,format=raw');
    await good(folder, 'rebase o.qcow2,format=qcow2');
    await good(folder, shows);
    await good(folder, 'check o.qcow2,format=qcow2');
    if (noQemu === false) qemu(folder, 'qemu-img', 'check', 'o.qcow2');
  }));

test('snapshots and sizes, and what is lost only when it is asked for', () =>
  inFolder(async (folder) => {
    const file = 'a.qcow2,format=qcow2';
    await good(folder, `create --cluster-size 4K --extended-l2 ${file} 1M`).then(
      () => assert.fail('subclusters need larger clusters'),
      (error) =>
        assert.match(error.message, /cluster size: found 4096, wanted a power of two from 16384/),
    );
    await good(folder, `create --cluster-size 16K --extended-l2 ${file} 1M`);
    await good(folder, `snapshot ${file} create before`);
    await good(folder, `resize ${file} +1M`);
    const small = await disk(folder, `resize ${file} 512K`);
    assert.match(small.err, /512K cuts off 1.5 MiB of a.qcow2; --shrink allows it/);
    assert.equal(small.status, 64);
    await good(folder, `resize --shrink ${file} 512K`);
    await good(folder, `snapshot ${file} apply before`);
    assert.equal(JSON.parse(await good(folder, `info --json ${file}`)).sizeBytes, 1 << 20);
    assert.match(await good(folder, `snapshot ${file} list`), /^1 +before /);
    assert.match((await disk(folder, `snapshot ${file} apply none`)).err, /has no snapshot "none"/);
    await good(folder, `snapshot ${file} delete before`);
    assert.equal(await good(folder, `snapshot ${file} list`), '');
  }));

test('check ends with 3 for leaks and 2 for corruption, and repair mends both', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'a.qcow2');
    await good(folder, 'create a.qcow2,format=qcow2 8M');
    const bytes = readFileSync(path);
    const refblock = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))));
    bytes.writeUInt16BE(1, refblock + 100);
    writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(65536 * 60)]));
    const leaks = await disk(folder, 'check a.qcow2,format=qcow2');
    assert.equal(leaks.status, 3);
    assert.match(leaks.out, /cluster 50 is leaked: counted 1, used 0/);
    bytes.writeUInt16BE(0, refblock);
    writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(65536 * 60)]));
    const corrupt = await disk(folder, 'check --json a.qcow2,format=qcow2');
    assert.equal(corrupt.status, 2);
    assert.equal(JSON.parse(corrupt.out).corruptions, 1);
    await good(folder, 'repair a.qcow2,format=qcow2');
    await good(folder, 'check a.qcow2,format=qcow2');
    if (noQemu === false) qemu(folder, 'qemu-img', 'check', 'a.qcow2');
  }));

for (const [line, status, message] of [
  ['frob', 64, /unknown verb "frob"/],
  ['creat a', 64, /did you mean create/],
  ['info a.raw', 64, /never guessed/],
  ['info none.raw,format=raw', 65, /none.raw: cannot open it: there is no such file/],
  ['create a.raw,format=raw', 64, /a.raw: found no size/],
  ['create a.qcow2,format=qcow2,backing=b 1M', 64, /backing-format=raw or qcow2/],
  ['convert a.raw,format=raw', 64, /disk convert: found 1 arguments, wanted FROM TO/],
  ['check a.raw,format=raw', 64, /a raw disk has nothing to check/],
  ['snapshot a.qcow2,format=qcow2 create', 64, /wanted a name/],
] as const) {
  test(`"chassis disk ${line}" is one sentence and status ${status}`, () =>
    inFolder(async (folder) => {
      const ended = await disk(folder, line);
      assert.equal(ended.status, status);
      assert.match(ended.err, message);
      assert.ok(!ended.err.includes(' at '), ended.err);
    }));
}

test('every verb has help with examples', () =>
  inFolder(async (folder) => {
    const verbs = (await good(folder, '--help')).match(/^ {2}[a-z]+(?= {2,})/gm)!;
    assert.ok(verbs.length >= 11);
    for (const verb of verbs) {
      assert.match(await good(folder, `${verb.trim()} --help`), /Examples:\n {2}chassis disk /);
    }
  }));
