import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { deviceStatus, feature } from '../core/registers.js';
import { MockPci, pciIn, settle } from '../pci/mock-pci.test.js';
import { common } from '../pci/registers.js';
import { VirtioPci } from '../pci/virtio-pci.js';
import { readable, writable } from '../queue/mock-driver.test.js';
import { type BlkOptions, type BlockStore, VirtioBlk } from './blk.js';
import { blkConfig, blkFeature, blkStatus, request } from './registers.js';

const SECTORS = 64;

/** A disk in memory that can be made to wait and to fail. */
class TestStore implements BlockStore {
  bytes = new Uint8Array(SECTORS * 512);
  readOnly = false;
  log: string[] = [];
  fails = false;
  gate: Promise<void> | undefined;
  onResize?: (sizeBytes: number) => void;

  get sizeBytes(): number {
    return this.bytes.length;
  }

  private async done(what: string): Promise<void> {
    this.log.push(what);
    if (this.gate !== undefined) await this.gate;
    if (this.fails) throw new Error('the medium is worn');
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await this.done(`read ${offset} ${into.length}`);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    await this.done(`write ${offset} ${from.length}`);
    this.bytes.set(from, offset);
  }

  flush(): Promise<void> {
    return this.done('flush');
  }

  discard(offset: number, length: number): Promise<void> {
    return this.done(`discard ${offset} ${length}`);
  }

  async writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    await this.done(`zero ${offset} ${length} ${mayUnmap}`);
    this.bytes.fill(0, offset, offset + length);
  }
}

conform(test, (ctx) => new VirtioPci(new VirtioBlk(new TestStore(), { queues: 2 }), pciIn(ctx)));

const { flush, configWce, discard, writeZeroes } = blkFeature;
const usual = [feature.version1, flush, discard, writeZeroes];

function disk(features: readonly number[] = usual, options: BlkOptions = {}, readOnly = false) {
  const store = new TestStore();
  store.readOnly = readOnly;
  const pci = new MockPci(new VirtioBlk(store, options)).start(features);
  return { store, pci, ...client(pci) };
}

function client(pci: MockPci<unknown>) {
  const { ram } = pci;
  const header = (type: number, sector = 0) => {
    const view = new DataView(new ArrayBuffer(16));
    view.setUint32(0, type, true);
    view.setUint32(8, sector, true);
    return ram.place(new Uint8Array(view.buffer));
  };
  /** Sends a request; its status is in guest memory after. */
  const begin = (type: number, sector: number, out: Uint8Array, inBytes: number, queue = 0) => {
    const data = ram.allocate(inBytes);
    const status = ram.allocate(1);
    ram.bytes[status] = 0xee;
    const pieces = [readable(header(type, sector), 16)];
    if (out.length > 0) pieces.push(readable(ram.place(out), out.length));
    if (inBytes > 0) pieces.push(writable(data, inBytes));
    pci.send(queue, [...pieces, writable(status, 1)]);
    return { data: () => ram.slice(data, inBytes), status: () => ram.bytes[status]! };
  };
  const ask = async (type: number, sector = 0, out = new Uint8Array(0), inBytes = 0, queue = 0) => {
    const one = begin(type, sector, out, inBytes, queue);
    await settle();
    const used = pci.drivers[queue]!.take();
    return { status: one.status(), data: one.data(), written: used?.written };
  };
  return { begin, ask, header };
}

const pattern = (length: number, from = 1) =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + from) & 0xff);
const range = (sector: number, sectors: number, flags = 0) => {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, sector, true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return new Uint8Array(view.buffer);
};
const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

for (const ring of [[], [feature.packed], [feature.eventIdx, feature.indirect, feature.inOrder]]) {
  test(`blk: what is written is read back, with features ${ring}`, async () => {
    const { ask, store } = disk([...usual, ...ring]);
    for (let round = 0; round < 20; round++) {
      const data = pattern(1024, round);
      assert.equal((await ask(request.out, 2 * round, data)).status, blkStatus.ok);
      const back = await ask(request.in, 2 * round, undefined, 1024);
      assert.deepEqual([back.status, back.written], [blkStatus.ok, 1025]);
      assert.deepEqual(back.data, data);
    }
    assert.ok(!store.log.includes('flush'), 'a write-back cache');
    assert.equal((await ask(request.flush)).status, blkStatus.ok);
    assert.equal(store.log.at(-1), 'flush');
  });
}

// requirement: 2.7.4.1-1
test('blk: header, data and status may be cut anywhere', async () => {
  const { pci, store, header } = disk();
  const { ram } = pci;
  const at = header(request.out, 3);
  const data = ram.place(pattern(512));
  const status = ram.allocate(1);
  pci.send(0, [
    readable(at, 7),
    readable(at + 7, 9),
    readable(data, 1),
    readable(data + 1, 511),
    writable(status, 1),
  ]);
  await settle();
  assert.deepEqual(store.bytes.slice(3 * 512, 4 * 512), pattern(512));
  const joined = ram.allocate(16 + 512);
  ram.bytes.set(ram.slice(header(request.out, 5), 16), joined);
  ram.bytes.set(pattern(512, 9), joined + 16);
  pci.send(0, [readable(joined, 528), writable(status, 1)]);
  const room = ram.allocate(513);
  pci.send(0, [readable(header(request.in, 3), 16), writable(room, 513)]);
  await settle();
  assert.deepEqual(store.bytes.slice(5 * 512, 6 * 512), pattern(512, 9));
  assert.deepEqual(ram.slice(room, 512), pattern(512));
  assert.equal(ram.bytes[room + 512], blkStatus.ok);
});

// requirement: 5.2.5.2-3
test('blk: configuration space tells size, blocks, queues and limits', () => {
  const { pci } = disk(usual, { queues: 3, blockBytes: 512, physicalBlockBytes: 4096 });
  assert.equal(pci.config(blkConfig.capacity, 4), SECTORS);
  assert.equal(pci.config(blkConfig.capacity + 4, 4), 0);
  assert.equal(pci.config(blkConfig.blkSize, 4), 512);
  assert.equal(pci.config(blkConfig.physicalBlockExp, 1), 3);
  assert.equal(pci.config(blkConfig.queueCount, 2), 3);
  assert.equal(pci.get(common.queueCount, 2), 3);
  assert.ok(pci.config(blkConfig.maxDiscardSectors, 4) > 0);
  for (const unused of [33, 57, 58, 59]) assert.equal(pci.config(unused, 1), 0);
  assert.ok(pci.config(blkConfig.maxZeroSegments, 4) > 0);
});

test('blk: every queue works by itself', async () => {
  const { ask } = disk(usual, { queues: 4 });
  for (const queue of [3, 0, 2, 1]) {
    assert.equal((await ask(request.out, queue, pattern(512, queue), 0, queue)).status, 0);
  }
  for (const queue of [0, 1, 2, 3]) {
    assert.deepEqual(
      (await ask(request.in, 3 - queue, undefined, 512, queue)).data,
      pattern(512, 3 - queue),
    );
  }
});

test('blk: requests end in any order', async () => {
  const { begin, store, pci } = disk();
  let open = () => {};
  store.gate = new Promise((resolve) => {
    open = resolve;
  });
  const slow = begin(request.in, 0, new Uint8Array(0), 512);
  await settle();
  store.gate = undefined;
  const quick = begin(request.in, 1, new Uint8Array(0), 512);
  await settle();
  assert.deepEqual([slow.status(), quick.status()], [0xee, 0]);
  open();
  await settle();
  assert.equal(slow.status(), 0);
  assert.equal(pci.isr(), 1);
});

// requirement: 5.2.6.2-1
test('blk: a read-only disk says so and fails writes without touching the medium', async () => {
  const { ask, pci, store } = disk([feature.version1, blkFeature.readOnly], {}, true);
  assert.ok(pci.offered(blkFeature.readOnly));
  assert.ok(!pci.offered(discard));
  assert.equal((await ask(request.out, 0, pattern(512))).status, blkStatus.ioError);
  assert.deepEqual(store.log, []);
  assert.equal((await ask(request.in, 0, undefined, 512)).status, blkStatus.ok);
});

test('blk: requests beyond the end, of part of a sector, or that fail give an I/O error', async () => {
  const { ask, store, pci } = disk();
  assert.equal((await ask(request.in, SECTORS - 1, undefined, 1024)).status, blkStatus.ioError);
  assert.equal((await ask(request.out, SECTORS, pattern(512))).status, blkStatus.ioError);
  assert.equal((await ask(request.in, 0, undefined, 100)).status, blkStatus.ioError);
  assert.deepEqual(store.log, []);
  store.fails = true;
  pci.warnings.length = 0;
  assert.equal((await ask(request.in, 0, undefined, 512)).status, blkStatus.ioError);
  assert.equal((await ask(request.flush)).status, blkStatus.ioError);
  assert.deepEqual(pci.warnings, ['disk: the medium is worn'], 'the user hears of it once');
  store.fails = false;
  assert.equal((await ask(request.in, 0, undefined, 512)).status, blkStatus.ok);
});

// requirement: 5.2.6.2-7
test('blk: unknown requests are not supported', async () => {
  const { ask } = disk();
  for (const type of [2, 3, 5, 14, 15, 16, 18, 20, 22, 24, 26, 99, 0xffff_ffff]) {
    assert.equal((await ask(type)).status, blkStatus.unsupported);
  }
});

// requirement: 5.2.6.2-5
test('blk: without FLUSH every write is safe before it ends', async () => {
  const { ask, store } = disk([feature.version1]);
  await ask(request.out, 0, pattern(512));
  assert.deepEqual(store.log, ['write 0 512', 'flush']);
});

// requirement: 5.2.5.2-1 5.2.5.2-2 5.2.6.2-5
test('blk: CONFIG_WCE switches the cache, and a reset switches it back', async () => {
  const { ask, store, pci } = disk([...usual, configWce]);
  assert.equal(pci.config(blkConfig.writeback, 1), 1);
  pci.setConfig(blkConfig.writeback, 1, 0);
  assert.equal(pci.config(blkConfig.writeback, 1), 0);
  await ask(request.out, 0, pattern(512));
  assert.equal(store.log.at(-1), 'flush');
  pci.setConfig(blkConfig.writeback, 1, 1);
  await ask(request.out, 0, pattern(512));
  assert.equal(store.log.at(-1), 'write 0 512');
  pci.setConfig(blkConfig.writeback, 1, 0);
  pci.set(common.status, 1, 0);
  assert.equal(pci.config(blkConfig.writeback, 1), 1);
  const safe = disk([feature.version1, configWce]).pci;
  assert.ok(safe.offered(flush));
  assert.equal(safe.config(blkConfig.writeback, 1), 0, 'it cannot flush');
  const other = disk(usual);
  other.pci.setConfig(blkConfig.writeback, 1, 0);
  assert.equal(other.pci.config(blkConfig.writeback, 1), 1, 'not negotiated');
});

// requirement: 5.2.6.2-2 5.2.6.2-3 5.2.6.2-4
test('blk: discard and write-zeroes take several ranges, all checked first', async () => {
  const { ask, store } = disk();
  const two = join(range(0, 8), range(16, 4));
  assert.equal((await ask(request.discard, 0, two)).status, blkStatus.ok);
  store.bytes.fill(1);
  assert.equal((await ask(request.writeZeroes, 0, join(range(1, 2, 1), range(5, 1)))).status, 0);
  assert.deepEqual(store.log.splice(0), [
    'discard 0 4096',
    'discard 8192 2048',
    'zero 512 1024 true',
    'zero 2560 512 false',
  ]);
  for (const sector of [1, 2, 5]) {
    assert.deepEqual((await ask(request.in, sector, undefined, 512)).data, new Uint8Array(512));
  }
  store.log = [];
  const bad = async (type: number, ...ranges: Uint8Array[]) =>
    (await ask(type, 0, join(...ranges))).status;
  assert.equal(await bad(request.discard, range(0, 1), range(SECTORS, 1)), blkStatus.ioError);
  assert.equal(await bad(request.discard, range(0, 1, 1)), blkStatus.unsupported);
  assert.equal(await bad(request.writeZeroes, range(0, 1, 2)), blkStatus.unsupported);
  assert.equal(await bad(request.writeZeroes, range(0, 1).subarray(0, 9)), blkStatus.ioError);
  assert.equal(await bad(request.writeZeroes, ...Array(65).fill(range(0, 1))), blkStatus.ioError);
  assert.deepEqual(store.log, []);
  const without = disk([feature.version1, flush]);
  assert.equal((await without.ask(request.discard, 0, range(0, 1))).status, blkStatus.unsupported);
});

test('blk: the serial number is 20 bytes, cut or padded with zeroes', async () => {
  for (const serial of ['disk-1', 'a-serial-that-is-much-too-long']) {
    const { ask } = disk(usual, { serial });
    const { status, data, written } = await ask(request.getId, 0, undefined, 20);
    assert.deepEqual([status, written], [0, 21]);
    assert.equal(String.fromCharCode(...data), serial.slice(0, 20).padEnd(20, '\0'));
  }
});

test('blk: a resize shows the new capacity with an interrupt and a new generation', async () => {
  const { ask, store, pci } = disk();
  const before = pci.get(common.generation, 1);
  store.bytes = new Uint8Array(2 * SECTORS * 512);
  store.onResize!(store.bytes.length);
  assert.equal(pci.config(blkConfig.capacity, 4), 2 * SECTORS);
  assert.notEqual(pci.get(common.generation, 1), before);
  assert.equal(pci.isr(), 2);
  assert.equal((await ask(request.out, SECTORS, pattern(512))).status, 0);
});

test('blk: a request without header or status room breaks the queue, and a reset mends it', async () => {
  for (const pieces of [[readable(0x100, 15), writable(0x200, 1)], [readable(0x100, 16)]]) {
    const { pci, ask } = disk();
    pci.send(0, pieces);
    assert.ok(pci.status & deviceStatus.needsReset);
    assert.equal(pci.isr() & 2, 2);
    assert.equal((await ask(request.in, 0, undefined, 512)).status, 0xee, 'the queue is dead');
    pci.start(usual);
    assert.equal((await ask(request.in, 0, undefined, 512)).status, 0);
  }
});

test('blk: no completion lands after a reset, and later requests wait for what it left', async () => {
  const { begin, store, pci } = disk();
  let open = () => {};
  store.gate = new Promise((resolve) => {
    open = resolve;
  });
  const lost = begin(request.in, 0, new Uint8Array(0), 512);
  const write = begin(request.out, 4, pattern(512, 1), 0);
  await settle();
  pci.start(usual);
  store.gate = undefined;
  const again = begin(request.out, 4, pattern(512, 2), 0);
  await settle();
  assert.equal(again.status(), 0xee, 'the old write could still land on it');
  open();
  await settle();
  assert.deepEqual([lost.status(), write.status(), again.status()], [0xee, 0xee, 0]);
  assert.deepEqual(store.bytes.slice(4 * 512, 5 * 512), pattern(512, 2));
});

test('blk: requests in flight are saved and done anew after a restore', async () => {
  const { begin, store, pci } = disk([...usual, feature.packed]);
  store.gate = new Promise(() => {});
  const reading = begin(request.in, 7, new Uint8Array(0), 512);
  const writing = begin(request.out, 9, pattern(512), 0);
  await settle();
  const state = pci.device.save();
  const other = new TestStore();
  other.bytes.set(pattern(512, 3), 7 * 512);
  const twin = new MockPci(new VirtioBlk(other), { ram: pci.ram });
  twin.device.restore(state);
  await settle();
  assert.deepEqual([reading.status(), writing.status()], [0, 0]);
  assert.deepEqual(reading.data(), pattern(512, 3));
  assert.deepEqual(other.bytes.slice(9 * 512, 10 * 512), pattern(512));
  assert.deepEqual(twin.guestFaults, []);
});
