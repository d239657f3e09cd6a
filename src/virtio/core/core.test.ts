import assert from 'node:assert/strict';
import test from 'node:test';
import { MockPci, settle } from '../pci/mock-pci.test.js';
import { common, structures } from '../pci/registers.js';
import { readable, writable } from '../queue/mock-driver.test.js';
import { VirtioRng } from '../rng/rng.js';
import { commonFeatures, deviceStatus, feature } from './registers.js';
import type { VirtioHost, VirtioType } from './virtio-type.js';

const { acknowledge, driver, driverOk, featuresOk, needsReset } = deviceStatus;
const rng = () => new MockPci(new VirtioRng(() => 0x0101_0101));

/** A type that echoes: what it reads it writes back, and its configuration can change. */
class Echo implements VirtioType<Record<never, never>> {
  readonly name = 'echo';
  readonly deviceId = 42;
  readonly classCode = 0xff_00_00;
  readonly features = [0, 1];
  readonly requires = [[1, 0]] as const;
  readonly queueSizes = [8, 16];
  readonly config = Uint8Array.of(1, 2, 3, 4);
  readonly stateVersion = 1;
  readonly stateCodec = { encode() {}, decode: () => ({}) };
  host!: VirtioHost;

  attach(host: VirtioHost): void {
    this.host = host;
  }

  notified(index: number): void {
    const queue = this.host.queue(index)!;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const bytes = new Uint8Array(Math.min(chain.readableBytes, chain.writableBytes));
      if (!chain.read(0, bytes)) queue.fail('no data');
      chain.write(0, bytes);
      queue.push(chain, bytes.length);
    }
    queue.notify();
  }

  reset(): void {}
  restore(): void {}
  save() {
    return {};
  }
}

const echo = () => {
  const type = new Echo();
  return { type, pci: new MockPci(type) };
};

// requirement: 2.1.2-1 2.4.1-1 4.1.4.3.1-6
test('status starts at 0, and a reset makes it 0 again', () => {
  const pci = rng();
  assert.equal(pci.status, 0);
  pci.start();
  assert.equal(pci.status, acknowledge | driver | driverOk | featuresOk);
  pci.set(common.status, 1, 0);
  assert.equal(pci.status, 0);
});

// requirement: 2.1.2-2
test('no buffer is taken and nobody is notified before DRIVER_OK', () => {
  const pci = rng();
  pci.negotiate([feature.version1]);
  const ring = pci.setUpQueue(0);
  ring.offer([writable(pci.ram.allocate(8), 8)]);
  pci.kick(0);
  assert.equal(ring.take(), undefined);
  assert.deepEqual([pci.isr(), pci.intx.high], [0, false]);
  pci.driverOk();
  assert.equal(ring.take()?.written, 8, 'what waited is taken then');
});

// requirement: 2.1.2-3
test('a broken queue asks for a reset with a configuration interrupt; a reset mends it', () => {
  const { pci } = echo();
  pci.start();
  pci.send(0, [readable(2 ** 40, 4), writable(0x100, 4)]);
  assert.ok(pci.status & needsReset);
  assert.equal(pci.isr(), 2);
  assert.equal(pci.guestFaults.length, 1);
  const at = pci.ram.place(Uint8Array.of(9, 8));
  pci.send(0, [readable(at, 2), writable(0x100, 2)]);
  assert.equal(pci.drivers[0]!.take(), undefined);
  pci.start();
  pci.send(0, [readable(at, 2), writable(0x100, 2)]);
  assert.equal(pci.drivers[0]!.take()?.written, 2);
});

// requirement: 2.2.2-1 2.2.2-2
test('features that do not go together, or were not offered, are not agreed to', () => {
  const { pci } = echo();
  assert.equal(pci.negotiate([feature.version1, 1]), false, '1 needs 0');
  assert.equal(pci.negotiate([feature.version1, 0, 1]), true);
  assert.equal(pci.negotiate([feature.version1, 5]), false, 'not offered');
  assert.equal(pci.negotiate([feature.version1]), true);
  assert.equal(pci.negotiate([0]), false, 'not a driver of this standard');
});

// requirement: 2.2.2-3 6.2-1 6.2-3
test('only features of the type and of queues are offered, VERSION_1 among them', () => {
  const { pci, type } = echo();
  const wanted = new Set([...type.features, ...commonFeatures]);
  for (let bit = 0; bit < 96; bit++) assert.equal(pci.offered(bit), wanted.has(bit), `bit ${bit}`);
});

test('features and queue registers are frozen when they are agreed on and set up', () => {
  const { pci, type } = echo();
  pci.start([0]);
  pci.set(common.driverFeatureSelect, 4, 0);
  pci.set(common.driverFeature, 4, 3);
  assert.equal(type.host.has(1), false);
  for (const [offset, value] of [
    [common.queueAreas, 0x5000],
    [common.queueAreas + 8, 0x5000],
    [common.queueAreas + 20, 1],
  ] as const) {
    const before = pci.get(offset, 4);
    pci.set(offset, 4, value);
    assert.equal(pci.get(offset, 4), before);
  }
  pci.set(common.queueSize, 2, 4);
  assert.equal(pci.get(common.queueSize, 2), 16);
  const fresh = echo().pci;
  fresh.set(common.queueSize, 2, 4);
  assert.equal(fresh.get(common.queueSize, 2), 8, 'before negotiation');
});

// requirement: 2.4.1-2
test('after a reset nothing is notified and no queue is touched', async () => {
  const { pci, type } = echo();
  pci.start();
  const ring = pci.drivers[0]!;
  pci.isr();
  pci.set(common.status, 1, 0);
  ring.offer([readable(0x100, 1), writable(0x200, 1)]);
  pci.kick(0);
  type.host.configChanged();
  await settle();
  assert.equal(ring.take(), undefined);
  assert.deepEqual([pci.isr(), pci.intx.high], [0, false]);
});

// requirement: 2.5.2-1 4.1.3.2-1
test('the configuration is read before features are agreed on, whole and in parts', () => {
  const { pci } = echo();
  assert.equal(pci.config(0, 4), 0x0403_0201);
  assert.deepEqual([pci.config(2, 2), pci.config(3, 1)], [0x0403, 4]);
  assert.equal(pci.config(4, 1), 0xff, 'beyond its end');
});

// requirement: 4.1.4.3.1-5
test('the generation differs once a change can be seen, even after 256 of them', () => {
  const { pci, type } = echo();
  pci.start();
  const before = pci.get(common.generation, 1);
  for (let i = 0; i < 256; i++) {
    type.config[0] = i;
    type.host.configChanged();
  }
  pci.config(0, 1);
  const after = pci.get(common.generation, 1);
  assert.notEqual(after, before);
  pci.config(0, 4);
  assert.equal(pci.get(common.generation, 1), after);
});

const ringBits = [feature.version1, feature.ringReset];

// requirement: 2.6.1.1.1-1 2.6.1.1.1-2 2.6.1.2.1-1 4.1.4.3.1-8 4.1.4.3.1-9 4.1.4.3.1-10
for (const bits of [[], [feature.packed]]) {
  test(`one queue is reset and set up anew with other registers, ${bits}`, () => {
    const { pci } = echo();
    pci.start([...ringBits, ...bits]);
    const at = pci.ram.place(Uint8Array.of(7));
    const echoes = (queue: number) => {
      pci.send(queue, [readable(at, 1), writable(0x100, 1)]);
      return pci.drivers[queue]!.take()?.written === 1;
    };
    assert.ok(echoes(0) && echoes(1));
    const old = pci.drivers[1]!;
    pci.set(common.queueSelect, 2, 1);
    assert.deepEqual([pci.get(common.queueEnable, 2), pci.get(common.queueReset, 2)], [1, 0]);
    pci.set(common.queueReset, 2, 1);
    assert.deepEqual([pci.get(common.queueEnable, 2), pci.get(common.queueReset, 2)], [0, 0]);
    assert.equal(pci.get(common.queueSize, 2), 16, 'its default');
    old.offer([readable(at, 1), writable(0x100, 1)]);
    pci.kick(1);
    assert.equal(old.take(), undefined);
    assert.ok(echoes(0), 'the other goes on');
    pci.setUpQueue(1, false, 4);
    assert.deepEqual([pci.get(common.queueEnable, 2), pci.get(common.queueReset, 2)], [1, 0]);
    for (let i = 0; i < 9; i++) assert.ok(echoes(1));
    assert.deepEqual(pci.guestFaults, []);
  });
}

test('without RING_RESET a queue cannot be reset alone', () => {
  const { pci } = echo();
  pci.start();
  pci.set(common.queueReset, 2, 1);
  assert.equal(pci.get(common.queueEnable, 2), 1);
});

// requirement: 2.7.10.2-3 4.1.4.4.1-1
test('doorbells for queues that are not there, not enabled or have nothing are harmless', () => {
  const { pci } = echo();
  pci.negotiate([feature.version1]);
  pci.setUpQueue(0);
  pci.driverOk();
  for (const queue of [0, 1, 2, 77, 0xffff]) {
    pci.set(structures.notify.offset + 4 * (queue % 3), 2, queue);
    pci.kick(0);
  }
  assert.equal(pci.status & needsReset, 0);
});

test('with NOTIFICATION_DATA the doorbell has the driver’s place in its high half', () => {
  const { pci } = echo();
  pci.start([feature.notificationData]);
  const at = pci.ram.place(Uint8Array.of(7));
  pci.drivers[1]!.offer([readable(at, 1), writable(0x100, 1)]);
  pci.set(structures.notify.offset + 4, 4, 0x8001_0001);
  assert.equal(pci.drivers[1]!.take()?.written, 1);
});

test('a driver that offers buffers as fast as they are taken does not stop the machine', () => {
  const type = new Echo();
  const waiting: (() => void)[] = [];
  const pci = new MockPci(type, { later: (callback) => waiting.push(callback) });
  pci.start();
  const ring = pci.drivers[1]!;
  let offered = 0;
  const { write } = pci.ram;
  // As another vCPU would: for every used buffer there is a new one.
  pci.ram.write = (gpa, bytes) => {
    const isDone = write.call(pci.ram, gpa, bytes);
    while (ring.take() !== undefined) {
      offered++;
      ring.offer([readable(0x100, 1), writable(0x200, 1)]);
    }
    return isDone;
  };
  pci.send(1, [readable(0x100, 1), writable(0x200, 1)]);
  assert.equal(offered, 32);
  for (let turn = 2; turn < 5; turn++) {
    waiting.shift()!();
    assert.deepEqual([offered, waiting.length], [32 * turn, 1]);
  }
});

// requirement: 6.2-2
test('with IN_ORDER buffers come back in the order they were offered', () => {
  const { pci, type } = echo();
  pci.start([feature.inOrder]);
  const ring = pci.drivers[0]!;
  const ids = [1, 2, 3].map(() => ring.offer([readable(0x100, 1), writable(0x200, 1)]));
  const queue = type.host.queue(0)!;
  const chains = ids.map(() => queue.pop()!);
  for (const index of [2, 1]) queue.push(chains[index]!, 0);
  assert.equal(ring.take(), undefined);
  queue.push(chains[0]!, 0);
  assert.deepEqual(
    ids.map(() => ring.take()?.id),
    ids,
  );
});
