import assert from 'node:assert/strict';
import test from 'node:test';
import { DiskError, type DiskErrorCode } from '#src/backend/disk/disk.js';
import { parseFileSpec } from '#src/backend/disk/file-spec.js';
import { createDisk, openDisk, openQcow2 } from '#src/backend/disk/open-disk.js';
import { checkImage } from '#src/backend/disk/qcow2/check.js';
import { readHeader } from '#src/backend/disk/qcow2/image.js';
import { createSnapshot } from '#src/backend/disk/qcow2/snapshots.js';
import { MemoryHost } from './memory-host.js';
import { Model, randomShape } from './model.js';
import { Random, seed } from './random.js';

const spec = parseFileSpec('bad.qcow2,format=qcow2');
const cluster = 65536;

/** An image with a cluster of data, a compressed one and a snapshot. */
async function goodImage(): Promise<MemoryHost> {
  const host = new MemoryHost();
  const disk = await createDisk(host, spec, { sizeBytes: 8 << 20 });
  await disk.close();
  const opened = await openQcow2(host, spec, { writable: true });
  await opened.write(0, new Uint8Array(cluster).fill(7));
  await opened.writeCompressed(cluster, new Uint8Array(cluster).fill(8));
  await createSnapshot(opened, 'one', 0);
  await opened.write(2 * cluster, new Uint8Array(cluster).fill(9));
  await opened.close();
  return host;
}

/** Where things are in it. */
function layout(host: MemoryHost) {
  const view = new DataView(host.files.get('bad.qcow2')!.bytes.buffer);
  const word = (at: number) => Number(view.getBigUint64(at) & 0x00ff_ffff_ffff_fe00n);
  const l1 = word(40);
  const reftable = word(48);
  return { view, l1, l2: word(l1), reftable, refblock: word(reftable), snapshots: word(64) };
}

type Damage = (at: ReturnType<typeof layout>, host: MemoryHost) => void;

const u32 =
  (offset: number, value: number): Damage =>
  ({ view }) =>
    view.setUint32(offset, value);
const u64 =
  (offset: number, value: number): Damage =>
  ({ view }) =>
    view.setBigUint64(offset, BigInt(value));

const refused: readonly [symptom: string, DiskErrorCode, RegExp, Damage][] = [
  ['the magic is another', 'bad-format', /not a qcow2 image/, u32(0, 0x12345678)],
  ['the version is 4', 'unsupported', /version: found 4/, u32(4, 4)],
  ['the clusters are of 256 bytes', 'corrupt', /cluster_bits: found 8/, u32(20, 8)],
  ['the clusters are of 4 GiB', 'corrupt', /cluster_bits: found 32/, u32(20, 32)],
  ['the header is too short', 'corrupt', /header_length: found 96/, u32(100, 96)],
  ['the header is longer than a cluster', 'corrupt', /header_length/, u32(100, 0xfffffff8)],
  ['the header has an odd length', 'corrupt', /header_length: found 109/, u32(100, 109)],
  ['a feature is unknown', 'unsupported', /incompatible_features: found 0x40/, u32(76, 64)],
  ['a feature of bit 63 is unknown', 'unsupported', /incompatible_features/, u32(72, 1 << 31)],
  ['it is encrypted', 'unsupported', /encrypted/, u32(32, 1)],
  ['counts have 128 bits', 'corrupt', /refcount_order: found 7/, u32(96, 7)],
  [
    'a compression is unknown',
    'unsupported',
    /compression_type: found 2/,
    ({ view }) => view.setUint8(104, 2),
  ],
  [
    'zstd without its feature bit',
    'corrupt',
    /compression_type: found 1/,
    ({ view }) => view.setUint8(104, 1),
  ],
  [
    'the size is beyond what L1 maps',
    'corrupt',
    /l1_size: found 1, wanted at least/,
    u64(24, 2 ** 40),
  ],
  ['the size is 2^60', 'corrupt', /size: found/, u64(24, 2 ** 60)],
  [
    'the size is not of sectors',
    'corrupt',
    /size: found 1000, wanted a multiple of 512/,
    u64(24, 1000),
  ],
  ['L1 has 2^31 entries', 'corrupt', /l1_table size/, u32(36, 2 ** 31)],
  [
    'L1 begins in the middle of a cluster',
    'corrupt',
    /l1_table offset: found 65600/,
    u64(40, 65600),
  ],
  ['L1 is beyond the file', 'corrupt', /l1_table offset/, u64(40, 2 ** 40)],
  ['the refcount table is beyond the file', 'corrupt', /refcount_table offset/, u64(48, 2 ** 40)],
  ['the refcount table is at 0', 'corrupt', /refcount_table offset: found 0/, u64(48, 0)],
  ['the refcount table has no clusters', 'corrupt', /refcount_table_clusters: found 0/, u32(56, 0)],
  ['the refcount table has 2^32 clusters', 'corrupt', /refcount_table size/, u32(56, 0xffffffff)],
  ['there are 2^32 snapshots', 'corrupt', /nb_snapshots/, u32(60, 0xffffffff)],
  ['the snapshots are beyond the file', 'corrupt', /snapshots offset/, u64(64, 2 ** 40)],
  [
    'the backing name is too long',
    'corrupt',
    /backing_file_size: found 2000/,
    (at) => {
      at.view.setBigUint64(8, 112n);
      at.view.setUint32(16, 2000);
    },
  ],
  [
    'the backing name is beyond the header',
    'corrupt',
    /backing_file_offset/,
    (at) => {
      at.view.setBigUint64(8, 2n ** 40n);
      at.view.setUint32(16, 10);
    },
  ],
  [
    'an extension is longer than the header',
    'corrupt',
    /header extension/,
    (at) => {
      at.view.setUint32(112, 0x12345678);
      at.view.setUint32(116, 0x7fffffff);
    },
  ],
  [
    'L1 points to itself',
    'corrupt',
    /l1_table\[0\]: found/,
    ({ view, l1 }) => view.setBigUint64(l1, BigInt(l1)),
  ],
  [
    'L1 points to the header',
    'corrupt',
    /l1_table/,
    ({ view, l1 }) => view.setBigUint64(l1, 0x8000_0000_0000_0000n),
  ],
  [
    'L1 points to the refcount table',
    'corrupt',
    /l1_table\[0\]/,
    ({ view, l1, reftable }) => view.setBigUint64(l1, BigInt(reftable)),
  ],
  [
    'the refcount table points to itself',
    'corrupt',
    /refcount_table\[0\]/,
    ({ view, reftable }) => view.setBigUint64(reftable, BigInt(reftable)),
  ],
  [
    'an L2 table begins in the middle of a cluster',
    'corrupt',
    /l1_table\[0\]/,
    ({ view, l1, l2 }) => view.setBigUint64(l1, BigInt(l2 + 512)),
  ],
  [
    'an L2 table is beyond the file',
    'corrupt',
    /l1_table\[0\] offset/,
    ({ view, l1 }) => view.setBigUint64(l1, 2n ** 40n),
  ],
  [
    'data is beyond the file',
    'corrupt',
    /L2 entry of offset 0: found/,
    ({ view, l2 }) => view.setBigUint64(l2, 2n ** 40n),
  ],
  [
    'data begins in the middle of a cluster',
    'corrupt',
    /L2 entry of offset 0/,
    ({ view, l2 }) => view.setBigUint64(l2, BigInt(l2 + 512)),
  ],
  [
    'the file is shorter than its tables say',
    'corrupt',
    /file's 131072 bytes/,
    (_, host) => host.files.get('bad.qcow2')!.resize(131072),
  ],
  [
    'compressed data is garbage',
    'io',
    /offset 65536 does not decompress/,
    ({ view, l2 }, host) => {
      const at = Number(view.getBigUint64(l2 + 8) & 0xffff_ffff_ffffn);
      host.files.get('bad.qcow2')!.bytes.fill(0xff, at, at + 512);
    },
  ],
  [
    'compressed data is beyond the file',
    'corrupt',
    /compressed cluster of offset 65536/,
    ({ view, l2 }) => view.setBigUint64(l2 + 8, 0x4000_0000_0000_0000n + 2n ** 40n),
  ],
];

for (const [symptom, code, message, damage] of refused) {
  test(`an image is refused by name when ${symptom}`, async () => {
    const host = await goodImage();
    damage(layout(host), host);
    const use = async () => {
      const disk = await openDisk(host, spec, { writable: false });
      await disk.read(0, new Uint8Array(3 * cluster));
    };
    if (symptom === 'L1 points to the header') {
      // An offset of 0 says that there is nothing, whatever its flags.
      await use();
      return;
    }
    await assert.rejects(use(), (error) => {
      assert.ok(error instanceof DiskError, String(error));
      assert.match(error.message, message);
      assert.equal(error.code, code);
      return true;
    });
  });
}

test('a write to where metadata is marks the image corrupt, and nothing more is written', async () => {
  const host = await goodImage();
  const { view, l1, l2 } = layout(host);
  view.setBigUint64(l2, 0x8000_0000_0000_0000n + BigInt(l1));
  const disk = await openDisk(host, spec, { writable: true });
  const before = host.files.get('bad.qcow2')!.contents();
  await assert.rejects(disk.write(0, new Uint8Array(512)), { code: 'corrupt' });
  await assert.rejects(disk.write(2 * cluster, new Uint8Array(512)), { code: 'corrupt' });
  await disk.close();
  const after = host.files.get('bad.qcow2')!.contents();
  assert.equal(after[79], before[79]! | 2, 'the corrupt bit is set');
  after[79] = before[79]!;
  assert.ok(Buffer.compare(before, after) === 0, 'and nothing else is changed');
  await assert.rejects(openDisk(host, spec, { writable: true }), /chassis disk repair/);
});

test('a corrupt backing file is an I/O error of the overlay, which stays as it is', async () => {
  const host = await goodImage();
  const { view, l2 } = layout(host);
  view.setBigUint64(l2, 2n ** 40n);
  const over = parseFileSpec('over,format=qcow2,backing=bad.qcow2,backing-format=qcow2');
  const disk = await createDisk(host, over, {});
  await assert.rejects(disk.read(0, new Uint8Array(512)), { code: 'io' });
  await disk.write(5 * cluster, new Uint8Array(512));
  await disk.close();
  const again = await openQcow2(host, over, { writable: true });
  assert.equal(again.image.header.incompatible, 0);
  await again.close();
});

test('a snapshot that counts of one bit cannot hold is refused, and the image goes on', async () => {
  const host = new MemoryHost();
  const options = { sizeBytes: 1 << 20, refcountBits: 1 };
  const disk = await createDisk(host, spec, options);
  await disk.write(0, new Uint8Array(cluster).fill(3));
  await disk.close();
  const opened = await openQcow2(host, spec, { writable: true });
  await assert.rejects(createSnapshot(opened, 'one', 0), { code: 'unsupported' });
  await opened.close();
  const again = await openDisk(host, spec, { writable: true });
  await again.write(0, new Uint8Array(cluster).fill(4));
  await again.close();
  const file = await host.open('bad.qcow2', { writable: false });
  const report = await checkImage(file, await readHeader(file), false);
  assert.deepEqual([report.corruptions, report.leaks], [0, 0]);
});

test('a cluster that is counted as free and is not is never given out', async () => {
  const host = await goodImage();
  const { view, refblock } = layout(host);
  for (let i = 0; i < 16; i++) view.setUint16(refblock + i * 2, 0);
  const disk = await openDisk(host, spec, { writable: true });
  await assert.rejects(disk.write(5 * cluster, new Uint8Array(512)), { code: 'corrupt' });
});

test('backing files: a loop, a missing one, an absolute one, one without a format', async () => {
  const host = new MemoryHost();
  const make = async (name: string, backing: string) => {
    const text = `${name},format=qcow2,backing=${backing},backing-format=qcow2`;
    await (await createDisk(host, parseFileSpec(text), { sizeBytes: 1 << 20 })).close();
  };
  const open = (text: string) => openDisk(host, parseFileSpec(text), { writable: false });
  await (await createDisk(host, parseFileSpec('c,format=qcow2'), { sizeBytes: 1 << 20 })).close();
  await make('b', 'c');
  await make('a', 'b');
  await (await open('a,format=qcow2')).close();
  host.files.set('c', host.files.get('a')!);
  await assert.rejects(open('a,format=qcow2'), {
    code: 'backing',
    message: /a is its own backing|own backing file/,
  });
  host.files.delete('c');
  await assert.rejects(open('a,format=qcow2'), {
    code: 'backing',
    message: /c: there is no such file/,
  });
  host.put('/etc/shadow', new Uint8Array(512));
  host.put('base', new Uint8Array(512));
  const view = new DataView(host.files.get('b')!.bytes.buffer);
  const nameAt = Number(view.getBigUint64(8));
  host.files.get('b')!.bytes.set(new TextEncoder().encode('/etc/shadow'), nameAt);
  view.setUint32(16, 11);
  await assert.rejects(open('b,format=qcow2'), {
    code: 'backing',
    message: /absolute name \/etc\/shadow/,
  });
  await (await open('b,format=qcow2,backing=base,backing-format=raw')).close();
  host.files.get('b')!.bytes.set(new TextEncoder().encode('nbd://host/'), nameAt);
  await assert.rejects(open('b,format=qcow2'), { code: 'unsupported', message: /nbd:/ });
});

test('an image that was not closed is repaired when it is opened to write', async () => {
  const host = new MemoryHost();
  const options = { sizeBytes: 8 << 20, lazyRefcounts: true };
  const disk = await createDisk(host, spec, options);
  await disk.write(0, new Uint8Array(3 * cluster).fill(5));
  await disk.flush();
  const again = await openDisk(host, spec, { writable: true });
  const found = new Uint8Array(cluster);
  await again.read(cluster, found);
  assert.ok(found.every((byte) => byte === 5));
  await again.close();
  const file = await host.open('bad.qcow2', { writable: false });
  const report = await checkImage(file, await readHeader(file), false);
  assert.deepEqual([report.corruptions, report.leaks], [0, 0]);
});

test(`flipped bytes are an error or other data, never a crash (seed ${seed})`, async () => {
  for (let round = 0; round < 150; round++) {
    const random = new Random(seed * 6000 + round);
    const model = new Model({ ...randomShape(random), sizeBytes: 1 << 19 }, random);
    await model.create();
    for (let i = 0; i < 6; i++) await model.step();
    await model.disk.close();
    const { bytes, sizeBytes } = model.host.files.get('disk.qcow2')!;
    for (let i = 0; i < 1 + random.below(8); i++) {
      const at = random.below(random.pick([112, 512, 16384, sizeBytes]));
      bytes[at % sizeBytes] = random.pick([0, 1, 0xff, random.below(256)]);
    }
    try {
      for (const writable of [false, true]) {
        const disk = await openDisk(model.host, model.spec, { writable });
        for (let i = 0; i < 4; i++) {
          const work = () => {
            const offset = random.below(disk.sizeBytes / 512) * 512;
            const length = Math.min(65536, disk.sizeBytes - offset);
            return writable && i > 1
              ? disk.write(offset, random.bytes(length))
              : disk.read(offset, new Uint8Array(length));
          };
          if (disk.sizeBytes > 0) await work().catch(known);
        }
        await disk.close().catch(known);
      }
      const file = await model.host.open('disk.qcow2', { writable: true });
      await checkImage(file, await readHeader(file), true);
      const mended = await checkImage(file, await readHeader(file), false);
      assert.deepEqual([mended.corruptions, mended.leaks], [0, 0], mended.messages.join('; '));
    } catch (error) {
      if (error instanceof DiskError) continue;
      assert.fail(`round ${round} of ${JSON.stringify(model.shape)}: ${(error as Error).stack}`);
    }
  }
});

function known(error: unknown): void {
  if (!(error instanceof DiskError)) throw error;
}
