import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Disk, DiskError } from '#src/backend/disk/disk.js';
import { type FileSpec, parseFileSpec } from '#src/backend/disk/file-spec.js';
import { createDisk, openDisk, openQcow2 } from '#src/backend/disk/open-disk.js';
import { checkImage } from '#src/backend/disk/qcow2/check.js';
import { readHeader } from '#src/backend/disk/qcow2/image.js';
import { applySnapshot, listSnapshots } from '#src/backend/disk/qcow2/snapshots.js';
import { hostDisks } from '#src/backend/node/host-disks.js';
import { copyDisk } from '#src/cli/disk/disk-work.js';
import { Model, randomShape } from './model.js';
import { inFolder, noQemu, qemu } from './qemu.js';
import { Random, roundsOf, seed } from './random.js';

const rounds = roundsOf(12);

/** An image of ours with random contents, its files written to a folder. */
async function randomImage(folder: string, random: Random): Promise<Model> {
  const model = new Model(randomShape(random), random);
  await model.create();
  for (let i = 0; i < 15; i++) await model.step();
  await model.disk.close();
  for (const [name, file] of model.host.files) writeFileSync(join(folder, name), file.contents());
  writeFileSync(join(folder, 'expected.raw'), model.expected);
  return model;
}

test(`QEMU finds our images clean and reads what we wrote (seed ${seed})`, { skip: noQemu }, () =>
  inFolder(async (folder) => {
    for (let round = 0; round < rounds; round++) {
      const random = new Random(seed * 5000 + round);
      const model = await randomImage(folder, random);
      try {
        qemu(folder, 'qemu-img', 'check', '-f', 'qcow2', 'disk.qcow2');
        qemu(
          folder,
          'qemu-img',
          'compare',
          '-f',
          'qcow2',
          '-F',
          'raw',
          'disk.qcow2',
          'expected.raw',
        );
        for (const [name, contents] of model.snapshots) {
          writeFileSync(join(folder, 'expected.raw'), contents);
          qemu(folder, 'qemu-img', 'snapshot', '-a', name, 'disk.qcow2');
          qemu(
            folder,
            'qemu-img',
            'compare',
            '-f',
            'qcow2',
            '-F',
            'raw',
            'disk.qcow2',
            'expected.raw',
          );
        }
      } catch (error) {
        assert.fail(`round ${round} of ${JSON.stringify(model.shape)}: ${error}`);
      }
    }
  }),
);

const features = [
  'compat=0.10',
  'compat=1.1',
  'cluster_size=512',
  'cluster_size=2M',
  'refcount_bits=1',
  'refcount_bits=64',
  'lazy_refcounts=on',
  'extended_l2=on,cluster_size=16k',
  'extended_l2=on',
  'preallocation=metadata',
  'preallocation=full,cluster_size=4k',
  'compression_type=zstd',
  'data_file=disk.data',
  'data_file=disk.data,data_file_raw=on',
];

for (const options of features) {
  test(`we read, check and change what QEMU makes with ${options}`, { skip: noQemu }, () =>
    inFolder(async (folder) => {
      const path = join(folder, 'disk.qcow2');
      const spec = parseFileSpec(`${path},format=qcow2`);
      const random = new Random(seed);
      const expected = new Uint8Array(8 << 20);
      qemu(folder, 'qemu-img', 'create', '-f', 'qcow2', '-o', options, 'disk.qcow2', '8M');
      const commands: string[] = [];
      for (let i = 0; i < 40; i++) {
        const offset = random.below(16000) * 512;
        const length = (1 + random.below(200)) * 512;
        const value = random.below(3) === 0 ? 0 : 1 + random.below(255);
        commands.push(
          '-c',
          value === 0 ? `write -z ${offset} ${length}` : `write -P ${value} ${offset} ${length}`,
        );
        expected.fill(value, offset, offset + length);
      }
      qemu(folder, 'qemu-io', '-f', 'qcow2', ...commands, 'disk.qcow2');
      const disk = await openDisk(hostDisks, spec, { writable: true });
      const found = new Uint8Array(expected.length);
      await disk.read(0, found);
      assert.ok(Buffer.compare(found, expected) === 0, 'what QEMU wrote is read');
      for (let i = 0; i < 40; i++) {
        const offset = random.below(16000) * 512;
        const bytes = random.bytes((1 + random.below(200)) * 512);
        if (random.below(3) === 0) {
          bytes.fill(0);
          await disk.writeZeroes(offset, bytes.length, random.below(2) === 0);
        } else await disk.write(offset, bytes);
        expected.set(bytes, offset);
      }
      await disk.close();
      const file = await hostDisks.open(path, { writable: false });
      const report = await checkImage(file, await readHeader(file), false);
      await file.close();
      assert.deepEqual(report.messages, []);
      writeFileSync(join(folder, 'expected.raw'), expected);
      qemu(folder, 'qemu-img', 'check', '-f', 'qcow2', 'disk.qcow2');
      qemu(folder, 'qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', 'disk.qcow2', 'expected.raw');
      if (options.includes('raw=on')) {
        const data = readFileSync(join(folder, 'disk.data'));
        assert.ok(Buffer.compare(data, expected) === 0, 'the data file by itself is the disk');
      }
    }),
  );
}

for (const compression of ['zlib', 'zstd'] as const) {
  test(`compressed clusters go both ways, of ${compression}`, { skip: noQemu }, () =>
    inFolder(async (folder) => {
      const random = new Random(seed);
      const plain = new Uint8Array(3 << 20);
      for (let i = 0; i < 2 << 20; i++) plain[i] = 32 + random.below(i < 1 << 20 ? 8 : 256);
      writeFileSync(join(folder, 'plain.raw'), plain);
      const at = (name: string, format: string): FileSpec =>
        parseFileSpec(`${join(folder, name)},format=${format}`);
      qemu(
        folder,
        'qemu-img',
        'convert',
        '-c',
        '-O',
        'qcow2',
        '-o',
        `compression_type=${compression}`,
        'plain.raw',
        'theirs.qcow2',
      );
      const source = await openDisk(hostDisks, at('theirs.qcow2', 'qcow2'), { writable: false });
      const target = await createDisk(hostDisks, at('ours.qcow2', 'qcow2'), {
        sizeBytes: plain.length,
        compression,
      });
      await copyDisk(source, target, true, () => {});
      await source.close();
      await target.close();
      qemu(folder, 'qemu-img', 'check', 'ours.qcow2');
      qemu(folder, 'qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', 'ours.qcow2', 'plain.raw');
      const size = (name: string) => readFileSync(join(folder, name)).length;
      assert.ok(size('ours.qcow2') < size('theirs.qcow2') * 1.2 + (1 << 18), 'it is compressed');
    }),
  );
}

test('an image written past the page cache is clean', { skip: noQemu }, (t) =>
  inFolder(async (folder) => {
    const spec = parseFileSpec(`${join(folder, 'disk.qcow2')},format=qcow2,cache=direct`);
    const random = new Random(seed);
    const expected = new Uint8Array(4 << 20);
    let disk: Disk;
    try {
      disk = await createDisk(hostDisks, spec, { sizeBytes: expected.length, clusterBytes: 1024 });
    } catch (error) {
      if ((error as DiskError).code === 'unsupported') return t.skip((error as Error).message);
      throw error;
    }
    const part = expected.length / 16;
    for (let i = 0; i < 10; i++) {
      const writes = Array.from({ length: 16 }, (_, at) => {
        const first = random.below(part / 512);
        const bytes = random.bytes((1 + random.below(part / 512 - first)) * 512);
        expected.set(bytes, at * part + first * 512);
        return disk.write(at * part + first * 512, bytes);
      });
      await Promise.all(writes);
    }
    await disk.close();
    writeFileSync(join(folder, 'expected.raw'), expected);
    qemu(folder, 'qemu-img', 'check', 'disk.qcow2');
    qemu(folder, 'qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', 'disk.qcow2', 'expected.raw');
  }),
);

test('snapshots that QEMU took are applied, and a chain of three is read', { skip: noQemu }, () =>
  inFolder(async (folder) => {
    const run = (tool: 'qemu-img' | 'qemu-io', line: string) =>
      qemu(folder, tool, ...line.split(' '));
    run('qemu-img', 'create -f qcow2 base.qcow2 4M');
    qemu(folder, 'qemu-io', '-c', 'write -P 1 0 1M', 'base.qcow2');
    run('qemu-img', 'snapshot -c first base.qcow2');
    qemu(folder, 'qemu-io', '-c', 'write -P 2 0 512k', 'base.qcow2');
    run('qemu-img', 'create -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2');
    qemu(folder, 'qemu-io', '-c', 'write -P 3 64k 64k', 'middle.qcow2');
    run('qemu-img', 'create -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2 8M');
    qemu(folder, 'qemu-io', '-c', 'write -P 4 6M 4k', 'top.qcow2');
    const at = (name: string) => parseFileSpec(`${join(folder, name)},format=qcow2`);
    const top = await openDisk(hostDisks, at('top.qcow2'), { writable: false });
    const found = new Uint8Array(8 << 20);
    await top.read(0, found);
    const values = [0, 65536, 131072, 524288, 1 << 20, 6 << 20].map((offset) => found[offset]);
    assert.deepEqual(values, [2, 3, 2, 1, 0, 4]);
    await top.close();
    const base = await openQcow2(hostDisks, at('base.qcow2'), { writable: true });
    assert.deepEqual(
      (await listSnapshots(base)).map(({ name }) => name),
      ['first'],
    );
    await applySnapshot(base, 'first');
    const sector = new Uint8Array(512);
    await base.read(0, sector);
    assert.equal(sector[0], 1);
    await base.close();
    run('qemu-img', 'check base.qcow2');
  }),
);

test('QEMU and we keep each other from writing to one image', { skip: noQemu }, () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk.qcow2');
    const spec = parseFileSpec(`${path},format=qcow2`);
    const disk = await createDisk(hostDisks, spec, { sizeBytes: 1 << 20 });
    assert.throws(() => qemu(folder, 'qemu-io', '-c', 'write 0 4k', 'disk.qcow2'), /lock/);
    await assert.rejects(openDisk(hostDisks, spec, { writable: false }), { code: 'locked' });
    await disk.close();
    const readers = [1, 2].map(() => openDisk(hostDisks, spec, { writable: false }));
    for (const reader of await Promise.all(readers)) await reader.close();
    qemu(folder, 'qemu-io', '-c', 'write 0 4k', 'disk.qcow2');
  }),
);
