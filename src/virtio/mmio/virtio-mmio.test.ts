import assert from 'node:assert/strict';
import test from 'node:test';
import { silentLog } from '../../base/log.js';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { VirtioConsole } from '../console/console.js';
import { deviceStatus, feature } from '../core/registers.js';
import { mockDriver, Ram, writable } from '../queue/mock-driver.test.js';
import { VirtioRng } from '../rng/rng.js';
import { mmio } from './registers.js';
import { VirtioMmio } from './virtio-mmio.js';

const random = () => new VirtioRng(() => 0x0101_0101);
const place = { base: 0xd000_0000 };

conform(
  test,
  (ctx) => new VirtioMmio(random(), { dma: ctx, log: silentLog, irq: ctx.line('irq') }, place),
);

function entropy() {
  const ram = new Ram();
  const irq = new RecordingLine();
  const device = new VirtioMmio(random(), { dma: ram, log: silentLog, irq }, place);
  const get = (offset: number) => device.read(0, offset, 4);
  const set = (offset: number, value: number) => device.write(0, offset, 4, value);
  const negotiate = (...bits: number[]) => {
    set(mmio.status, 0);
    set(mmio.status, 3);
    for (const word of [0, 1]) {
      let value = 0;
      for (const bit of [feature.version1, ...bits]) {
        if (bit >>> 5 === word) value |= 1 << (bit & 31);
      }
      set(mmio.driverFeaturesSelect, word);
      set(mmio.driverFeatures, value >>> 0);
    }
    set(mmio.status, 3 | deviceStatus.featuresOk);
    assert.ok(get(mmio.status) & deviceStatus.featuresOk);
  };
  const setUp = () => {
    const ring = mockDriver('split', ram, 8, false);
    set(mmio.queueSelect, 0);
    set(mmio.queueSize, 8);
    const { descriptors, driver, device: used } = ring.layout;
    set(mmio.queueDescriptors, descriptors);
    set(mmio.queueDriver, driver);
    set(mmio.queueDevice, used);
    for (const area of [mmio.queueDescriptors, mmio.queueDriver, mmio.queueDevice]) {
      set(area + 4, 0);
    }
    set(mmio.queueReady, 1);
    return ring;
  };
  const start = (...bits: number[]) => {
    negotiate(...bits);
    const ring = setUp();
    set(mmio.status, get(mmio.status) | deviceStatus.driverOk);
    return ring;
  };
  const ask = (ring: ReturnType<typeof setUp>, value = 0) => {
    ring.offer([writable(ram.allocate(4), 4)]);
    set(mmio.queueNotify, value);
    return ring.take()?.written;
  };
  return { device, irq, get, set, start, setUp, ask };
}

// requirement: 4.2.2.1-1 4.2.2.1-2
test('mmio: magic, version, device and features', () => {
  const { get, set } = entropy();
  assert.deepEqual([get(mmio.magic), get(mmio.version)], [0x7472_6976, 2]);
  assert.equal(get(mmio.deviceId), 4);
  set(mmio.deviceFeaturesSelect, 1);
  assert.ok(get(mmio.deviceFeatures) & 1);
  set(mmio.deviceFeaturesSelect, 2);
  assert.equal(get(mmio.deviceFeatures), 0);
  assert.equal(get(mmio.queueSizeMax), 64);
  set(mmio.queueSelect, 1);
  assert.equal(get(mmio.queueSizeMax), 0, 'there is no such queue');
  for (let at = mmio.sharedLength; at <= mmio.sharedBaseHigh; at += 4) {
    assert.equal(get(at), 0xffff_ffff);
  }
});

// requirement: 4.2.2.1-3
test('mmio: an event stands in the interrupt status, the line high, until it is acknowledged', () => {
  const { device, irq, get, set, start, ask } = entropy();
  const ring = start();
  assert.deepEqual([get(mmio.interruptStatus), irq.high], [0, false]);
  assert.equal(ask(ring), 4);
  assert.deepEqual([get(mmio.interruptStatus), irq.high], [1, true]);
  device.core.configChanged();
  assert.equal(get(mmio.interruptStatus), 3);
  set(mmio.interruptAck, 1);
  assert.deepEqual([get(mmio.interruptStatus), irq.high], [2, true]);
  set(mmio.interruptAck, 2);
  assert.deepEqual([get(mmio.interruptStatus), irq.high], [0, false]);
});

// requirement: 4.2.2.1-4 4.2.2.1-7
test('mmio: a reset clears interrupt status, ready and reset bits', () => {
  const { irq, get, set, start, ask } = entropy();
  assert.equal(ask(start()), 4);
  set(mmio.status, 0);
  assert.deepEqual([get(mmio.interruptStatus), irq.high, get(mmio.status)], [0, false, 0]);
  assert.deepEqual([get(mmio.queueReady), get(mmio.queueReset)], [0, 0]);
});

// requirement: 4.2.2.1-5
test('mmio: the generation changes with the configuration', () => {
  const type = new VirtioConsole([
    { backend: { write() {}, connect() {}, resume() {} }, isConsole: true },
  ]);
  const irq = new RecordingLine();
  const device = new VirtioMmio(type, { dma: new Ram(), log: silentLog, irq }, place);
  device.write(0, mmio.status, 4, 3);
  const before = device.read(0, mmio.generation, 4);
  type.resize(100, 40);
  device.core.configChanged();
  assert.equal(device.read(0, mmio.config, 2), 100);
  assert.notEqual(device.read(0, mmio.generation, 4), before);
  assert.equal(device.read(0, mmio.config + 12, 4), 0xffff_ffff, 'beyond its end');
});

// requirement: 4.2.2.1-6
test('mmio: a queue that is not ready is not touched', () => {
  const { set, start, ask, get, setUp } = entropy();
  const ring = start();
  set(mmio.queueReady, 0);
  assert.equal(get(mmio.queueReady), 0);
  assert.equal(ask(ring), undefined);
  setUp();
  assert.equal(get(mmio.queueReady), 0, 'and frozen until a reset');
});

// requirement: 4.2.2.1-8 4.2.2.1-9
test('mmio: a queue is reset alone and set up again', () => {
  const { set, get, start, ask, setUp } = entropy();
  const old = start(feature.ringReset, feature.notificationData);
  assert.equal(ask(old, 0x0001_0000), 4);
  set(mmio.queueReset, 1);
  assert.deepEqual([get(mmio.queueReady), get(mmio.queueReset)], [0, 0]);
  assert.equal(ask(old), undefined);
  const ring = setUp();
  assert.deepEqual([get(mmio.queueReady), get(mmio.queueReset)], [1, 0]);
  assert.equal(ask(ring), 4);
});

test('mmio: control registers are words only', () => {
  const { device, get } = entropy();
  assert.equal(device.read(0, mmio.magic, 1), 0xff);
  device.write(0, mmio.status, 1, 1);
  assert.equal(get(mmio.status), 0);
});
