import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { type BlockStore, VirtioBlk } from '../blk/blk.js';
import { VirtioConsole } from '../console/console.js';
import { deviceStatus, feature } from '../core/registers.js';
import type { VirtioType } from '../core/virtio-type.js';
import { readable, SplitDriver, writable } from '../queue/mock-driver.test.js';
import { VirtioRng } from '../rng/rng.js';
import { LEGACY, MockPci, pciIn } from './mock-pci.test.js';
import { bars, common, legacy, NO_VECTOR, structures } from './registers.js';
import { VirtioPci, type VirtioPciOptions } from './virtio-pci.js';

const random = () => new VirtioRng(() => 0x0101_0101);
const MSIX = 0;

conform(test, (ctx) => new VirtioPci(random(), pciIn(ctx), { modernOnly: true, name: 'modern' }));

const rng = (options: VirtioPciOptions = {}) => new MockPci(random(), options);
const nothing: BlockStore = {
  sizeBytes: 4096,
  readOnly: false,
  read: async () => {},
  write: async () => {},
  flush: async () => {},
  discard: async () => {},
  writeZeroes: async () => {},
};
const blk = () => new MockPci(new VirtioBlk(nothing, { queues: 3 }));

interface Capability {
  at: number;
  id: number;
  bytes: number[];
  word(offset: number): number;
}

function capabilities({ device }: MockPci<unknown>): Capability[] {
  const list: Capability[] = [];
  for (let at = device.pci.configRead(0x34, 1); at !== 0; at = device.pci.configRead(at + 1, 1)) {
    const bytes = Array.from({ length: 20 }, (_, i) =>
      at + i < 256 ? device.pci.configRead(at + i, 1) : 0,
    );
    const word = (offset: number) => device.pci.configRead(at + offset, 4);
    list.push({ at, id: bytes[0]!, bytes, word });
  }
  return list;
}

const virtio = (pci: MockPci<unknown>, type: number) =>
  capabilities(pci).filter(({ id, bytes }) => id === 9 && bytes[3] === type);

// requirement: 4.1.1-1 4.1.2.1-1 4.1.2.1-2 4.1.2.3-1 4.1.2.3-2 4.1.2.3-3
test('vendor, device, revision and subsystem, transitional and not', () => {
  const ids = (type: VirtioType<unknown>, options: VirtioPciOptions) => {
    const { device } = new MockPci(type, options);
    const read = (offset: number, width: 1 | 2) => device.pci.configRead(offset, width);
    return [read(0, 2), read(2, 2), read(8, 1), read(0x2e, 2)];
  };
  assert.deepEqual(ids(random(), {}), [0x1af4, 0x1005, 0, 4]);
  assert.deepEqual(ids(random(), { modernOnly: true }), [0x1af4, 0x1044, 1, 0x40]);
  assert.deepEqual(ids(new VirtioBlk(nothing), {}), [0x1af4, 0x1001, 0, 2]);
  assert.deepEqual(ids(new VirtioConsole([]), {}), [0x1af4, 0x1003, 0, 3]);
});

// requirement: 4.1.4.2-1 4.1.4.3.1-1 4.1.4.3.1-2 4.1.4.4.1-2 4.1.4.4.1-3 4.1.4.4.1-4 4.1.4.4.1-5
// requirement: 4.1.4.5.1-1 4.1.4.6.1-1 4.1.4.9.1-1
test('capabilities say where each structure is', () => {
  const pci = blk();
  for (const { id, bytes } of capabilities(pci)) {
    if (id === 9) assert.equal(bytes[2], bytes[3] === 2 || bytes[3] === 5 ? 20 : 16);
  }
  for (const type of [1, 2, 3, 4, 5]) assert.equal(virtio(pci, type).length, 1, `type ${type}`);
  for (const type of [1, 2, 4]) {
    const [one] = virtio(pci, type);
    assert.equal(one!.bytes[4], bars.modern);
    assert.equal(one!.word(8) % 4, 0);
  }
  const [notify] = virtio(pci, 2);
  const multiplier = notify!.word(16);
  assert.equal(multiplier, 4);
  for (let queue = 0; queue < 3; queue++) {
    pci.set(common.queueSelect, 2, queue);
    assert.ok(notify!.word(12) >= pci.get(common.queueNotifyOffset, 2) * multiplier + 4);
  }
  assert.equal(virtio(rng(), 4).length, 0, 'no configuration of its own');
});

// requirement: 4.1.4.3.1-3 4.1.4.3.1-4
test('feature words beyond the second are 0, and what the driver accepts reads back', () => {
  const pci = rng();
  for (const select of [2, 7, 0xffff_ffff]) {
    pci.set(common.deviceFeatureSelect, 4, select);
    assert.equal(pci.get(common.deviceFeature, 4), 0);
  }
  pci.negotiate([feature.version1, feature.indirect]);
  pci.set(common.driverFeatureSelect, 4, 0);
  assert.equal(pci.get(common.driverFeature, 4), 1 << feature.indirect);
  pci.set(common.driverFeatureSelect, 4, 1);
  assert.equal(pci.get(common.driverFeature, 4), 1);
});

// requirement: 4.1.4.3.1-7 4.1.4.3.1-11 4.1.4.3.1-12
test('a queue is disabled after a reset, has a power of two of entries, or is not there', () => {
  const pci = blk().start();
  pci.set(common.status, 1, 0);
  for (let queue = 0; queue < 5; queue++) {
    pci.set(common.queueSelect, 2, queue);
    assert.equal(pci.get(common.queueEnable, 2), 0);
    assert.equal(pci.get(common.queueSize, 2), queue < 3 ? 256 : 0);
  }
  pci.negotiate([feature.version1]);
  pci.set(common.queueSelect, 2, 0);
  for (const size of [0, 3, 100, 512]) {
    pci.set(common.queueSize, 2, size);
    assert.equal(pci.get(common.queueSize, 2), 256);
  }
  pci.set(common.queueSize, 2, 64);
  assert.equal(pci.get(common.queueSize, 2), 64);
  pci.negotiate([feature.version1, feature.packed]);
  pci.set(common.queueSelect, 2, 0);
  pci.set(common.queueSize, 2, 100);
  assert.equal(pci.get(common.queueSize, 2), 100, 'any size in a packed ring');
});

const use = (pci: MockPci<unknown>) => {
  pci.send(0, [writable(pci.ram.allocate(4), 4)]);
  pci.drivers[0]!.take();
};

// requirement: 4.1.4.5.1-2 4.1.4.5.1-3 4.1.4.5.1-4 4.1.4.5.1-5
test('INTx follows the interrupt status, which reading takes', () => {
  const pci = rng().start();
  const status = () => (pci.device.pci.configRead(6, 2) >> 3) & 1;
  assert.deepEqual([pci.intx.high, status()], [false, 0]);
  use(pci);
  assert.deepEqual([pci.intx.high, status()], [true, 1]);
  pci.device.pci.configWrite(4, 2, 0x407);
  assert.deepEqual([pci.intx.high, status()], [false, 1], 'disabled by the command register');
  pci.device.pci.configWrite(4, 2, 7);
  assert.equal(pci.isr(), 1);
  assert.deepEqual([pci.intx.high, status(), pci.isr()], [false, 0, 0]);
  pci.device.core.configChanged();
  assert.equal(pci.intx.high, true);
  assert.equal(pci.isr(), 2);
});

function withMsix(pci: MockPci<unknown>) {
  const [{ at } = { at: 0 }] = capabilities(pci).filter(({ id }) => id === 0x11);
  const control = (value: number) => pci.device.pci.configWrite(at + 2, 2, value);
  const entry = (vector: number, data: number, masked = 0) => {
    [0xfee0_0000, 0, data, masked].forEach((word, i) => {
      pci.device.write(MSIX, 16 * vector + 4 * i, 4, word);
    });
  };
  return { at, control, entry };
}

// requirement: 4.1.5.1.2.1-1 4.1.5.1.2.1-2 4.1.5.1.2.1-3 4.1.5.1.2.1-4 4.1.5.1.2.1-5 4.1.5.1.2.1-6
test('vectors can be mapped, read back, unmapped, and are unmapped by a reset', () => {
  const pci = blk();
  const { at } = withMsix(pci);
  assert.equal(pci.device.pci.configRead(at + 2, 2) & 0x7ff, 3, 'four vectors');
  const registers = [common.configVector, common.queueVector];
  for (const register of registers) {
    assert.equal(pci.get(register, 2), NO_VECTOR);
    for (const vector of [0, 1, 2, 3]) {
      pci.set(register, 2, vector);
      assert.equal(pci.get(register, 2), vector);
    }
    for (const vector of [4, 0x7ff, NO_VECTOR]) {
      pci.set(register, 2, vector);
      assert.equal(pci.get(register, 2), NO_VECTOR);
      pci.set(register, 2, 1);
    }
  }
  pci.set(common.status, 1, 0);
  for (const register of registers) assert.equal(pci.get(register, 2), NO_VECTOR);
});

// requirement: 4.1.5.3.1-1 4.1.5.4.1-1
test('MSI-X sends the mapped vector’s message, INTx is quiet, and unmapped events send nothing', () => {
  const pci = rng().start();
  const { control, entry } = withMsix(pci);
  entry(0, 0x40);
  entry(1, 0x41);
  control(0x8000);
  use(pci);
  assert.deepEqual(pci.messages.splice(0), [0x41]);
  assert.equal(pci.intx.high, false);
  pci.device.core.configChanged();
  assert.deepEqual(pci.messages, [], 'no vector for it');
  pci.set(common.configVector, 2, 0);
  pci.device.core.configChanged();
  assert.deepEqual(pci.messages.splice(0), [0x40]);
  pci.set(common.queueVector, 2, NO_VECTOR);
  use(pci);
  assert.deepEqual(pci.messages, []);
});

test('masked vectors are pending until they are unmasked, one by one or all', () => {
  const pci = rng().start();
  const { control, entry } = withMsix(pci);
  entry(1, 0x41, 1);
  control(0x8000);
  const pending = () => pci.device.read(MSIX, 0x800, 4);
  use(pci);
  use(pci);
  assert.deepEqual([pci.messages.length, pending()], [0, 2]);
  entry(1, 0x51);
  assert.deepEqual([pci.messages.splice(0), pending()], [[0x51], 0]);
  control(0xc000);
  use(pci);
  assert.equal(pending(), 2);
  control(0x8000);
  assert.deepEqual([pci.messages, pending()], [[0x51], 0]);
});

// requirement: 4.1.4.9.1-2 4.1.4.9.1-3
test('the window in configuration space reads and writes the structures', () => {
  const pci = rng();
  const [{ at } = { at: 0 }] = virtio(pci, 5);
  const { pci: config } = pci.device;
  const aim = (bar: number, offset: number, length: number) => {
    config.configWrite(at + 4, 1, bar);
    config.configWrite(at + 8, 4, offset);
    config.configWrite(at + 12, 4, length);
  };
  aim(bars.modern, common.status, 1);
  config.configWrite(at + 16, 4, deviceStatus.acknowledge);
  assert.equal(pci.status, 1);
  assert.equal(config.configRead(at + 16, 1), 1);
  aim(bars.modern, common.queueCount, 2);
  assert.equal(config.configRead(at + 16, 4) & 0xffff, 1);
  aim(bars.modern, common.queueAreas, 4);
  assert.equal(config.configRead(at + 16, 4), 0);
  for (const [bar, offset, length] of [
    [9, 0, 4],
    [bars.modern, 0x4000, 4],
    [bars.modern, 2, 4],
    [bars.modern, 0, 3],
    [bars.modern, 0xffff_fffc, 4],
  ] as const) {
    aim(bar, offset, length);
    config.configWrite(at + 16, 4, 0);
    config.configRead(at + 16, 4);
  }
  assert.equal(pci.status, 1, 'nothing of this went anywhere');
});

// requirement: 4.1.4.10-1 4.1.4.10-2 4.1.4.10-3 2.7.2-1 3.1.2-2 6.3-1
test('a legacy driver finds its registers in the I/O BAR, and may use queues before DRIVER_OK', () => {
  const pci = rng();
  const { device, ram } = pci;
  const { control } = withMsix(pci);
  const io = (offset: number, width: 1 | 2 | 4, value: number) =>
    device.write(LEGACY, offset, width, value);
  assert.equal(device.read(LEGACY, legacy.queueSize, 2), 64);
  assert.equal(
    device.read(LEGACY, legacy.deviceFeatures, 4),
    device.core.offered.low,
    'ANY_LAYOUT among them',
  );
  assert.ok(device.core.offered.has(feature.anyLayout));
  io(legacy.status, 1, 3);
  const at = ram.allocate(0x3000, 4096);
  const ring = new SplitDriver(ram, 64, false);
  const used = Math.ceil((16 * 64 + 6 + 2 * 64) / 4096) * 4096;
  Object.assign(ring.layout, { descriptors: at, driver: at + 16 * 64, device: at + used });
  io(legacy.queuePage, 4, at / 4096);
  ring.offer([writable(ram.allocate(3), 3)]);
  io(legacy.queueNotify, 2, 0);
  assert.equal(ring.take()?.written, 3);
  io(legacy.status, 1, 7);
  ring.offer([writable(ram.allocate(5), 5)]);
  io(legacy.queueNotify, 2, 0);
  assert.equal(ring.take()?.written, 5);
  assert.equal(device.read(LEGACY, legacy.isr, 1), 1);
  assert.equal(device.core.has(feature.version1), false);
  io(legacy.queuePage, 4, 0);
  assert.equal(device.read(LEGACY, legacy.queuePage, 4), 0);

  const disk = blk();
  assert.equal(disk.device.read(LEGACY, legacy.device, 4), 8, 'capacity');
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => disk.device.read(LEGACY, legacy.device + i, 1)),
    [8, 0, 0, 0],
  );
  withMsix(disk).control(0x8000);
  assert.equal(disk.device.read(LEGACY, legacy.deviceWithMsix, 4), 8, 'moved by MSI-X');
  io(legacy.configVector, 2, 0);
  control(0x8000);
  io(legacy.configVector, 2, 0);
  assert.equal(device.read(LEGACY, legacy.configVector, 2), 0);
});

// requirement: 4.1.3.2-2
test('the halves of an address are written by themselves', () => {
  const pci = rng();
  pci.negotiate([feature.version1]);
  pci.set(common.queueAreas + 4, 4, 0x12);
  pci.set(common.queueAreas, 4, 0x3456_7000);
  assert.deepEqual(
    [pci.get(common.queueAreas, 4), pci.get(common.queueAreas + 4, 4)],
    [0x3456_7000, 0x12],
  );
});

test('registers in a width that is not theirs read as ones and drop writes', () => {
  const pci = rng();
  pci.set(common.status, 4, 1);
  assert.equal(pci.status, 0);
  assert.equal(pci.get(common.status, 4), 0xffff_ffff);
  assert.equal(pci.get(common.queueSize, 1), 0xff);
  assert.equal(pci.get(structures.isr.offset + 1, 1), 0);
});

test('a saved function goes on elsewhere, with what was pending', () => {
  const pci = rng().start([feature.packed, feature.eventIdx]);
  const { control, entry } = withMsix(pci);
  entry(1, 0x77, 1);
  control(0x8000);
  use(pci);
  const twin = rng({});
  twin.ram.bytes.set(pci.ram.bytes);
  twin.device.restore(pci.device.save());
  assert.equal(twin.device.read(MSIX, 0x800, 4), 2);
  twin.device.write(MSIX, 16 + 12, 4, 0);
  assert.deepEqual(twin.messages, [0x77]);
  pci.send(0, [readable(0, 1)]);
});
