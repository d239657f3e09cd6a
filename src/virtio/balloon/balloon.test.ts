import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { MockPci, pciIn } from '../pci/mock-pci.test.js';
import { VirtioPci } from '../pci/virtio-pci.js';
import { readable, writable } from '../queue/mock-driver.test.js';
import { VirtioBalloon } from './balloon.js';
import { balloonConfig, balloonFeature } from './registers.js';

conform(test, (ctx) => new VirtioPci(new VirtioBalloon({ discard() {} }), pciIn(ctx)));

function balloon() {
  const gone: [number, number][] = [];
  const type = new VirtioBalloon({
    discard: (gpa, length) => gone.push([gpa, length]),
  });
  const pci = new MockPci(type).start([balloonFeature.statistics, balloonFeature.reporting]);
  return { type, pci, gone };
}

test('balloon: the target is told, pages given are discarded, and what the driver says is kept', () => {
  const { type, pci, gone } = balloon();
  type.setTarget(3 * 4096 + 17);
  assert.equal(pci.config(balloonConfig.pages, 4), 3);
  assert.equal(pci.isr(), 2);
  const pages = pci.ram.place(new Uint8Array(Uint32Array.of(5, 0xf_ffff).buffer));
  pci.send(0, [readable(pages, 8)]);
  assert.deepEqual(gone.splice(0), [
    [5 * 4096, 4096],
    [0xf_ffff * 4096, 4096],
  ]);
  assert.equal(pci.drivers[0]!.take()?.written, 0);
  pci.setConfig(balloonConfig.actual, 4, 2);
  assert.equal(type.actualBytes, 2 * 4096);
  assert.equal(type.targetBytes, 3 * 4096);
  pci.send(1, [readable(pages, 8)]);
  assert.equal(pci.drivers[1]!.take()?.written, 0);
  assert.deepEqual(gone, []);
});

test('balloon: free pages that are reported are discarded, whole pages only', () => {
  const { pci, gone } = balloon();
  for (const queue of [3, 4]) {
    pci.send(queue, [writable(0x10_0000, 0x2000), writable(0x20_0800, 0x2000)]);
    assert.equal(pci.drivers[queue]!.take()?.written, 0);
    assert.deepEqual(gone.splice(0), [
      [0x10_0000, 0x2000],
      [0x20_1000, 0x1000],
    ]);
  }
});

test('balloon: statistics come when asked, in any order, unknown ones left out', () => {
  const { type, pci } = balloon();
  assert.equal(type.askStatistics(), false);
  const entry = (tag: number, value: number) => {
    const view = new DataView(new ArrayBuffer(10));
    view.setUint16(0, tag, true);
    view.setUint32(2, value % 2 ** 32, true);
    view.setUint32(6, value / 2 ** 32, true);
    return [...new Uint8Array(view.buffer)];
  };
  const bytes = Uint8Array.from([...entry(5, 2 ** 33), ...entry(999, 1), ...entry(4, 17)]);
  pci.send(2, [readable(pci.ram.place(bytes), 30)]);
  assert.deepEqual(type.statistics, { totalBytes: 2 ** 33, freeBytes: 17 });
  assert.equal(pci.drivers[2]!.take(), undefined, 'kept until asked');
  assert.equal(type.askStatistics(), true);
  assert.deepEqual(pci.drivers[2]!.take()?.written, 0);
  assert.equal(pci.isr(), 1);
  pci.send(2, [readable(2 ** 40, 10)]);
  assert.equal(type.statistics.freeBytes, 17);
});
