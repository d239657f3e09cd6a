import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { feature } from '../core/registers.js';
import { MockPci, pciIn } from '../pci/mock-pci.test.js';
import { VirtioPci } from '../pci/virtio-pci.js';
import { writable } from '../queue/mock-driver.test.js';
import { VirtioRng } from './rng.js';

conform(test, (ctx) => new VirtioPci(new VirtioRng(() => 4), pciIn(ctx)));

// requirement: 5.4.6.2-1
test('rng: buffers are filled, and the driver told how far', () => {
  let next = 0x0403_0201;
  const pci = new MockPci(new VirtioRng(() => next++)).start([feature.eventIdx]);
  const [a, b] = [pci.ram.allocate(6), pci.ram.allocate(8192)];
  pci.send(0, [writable(a, 6)]);
  assert.equal(pci.drivers[0]!.take()?.written, 6);
  assert.deepEqual([...pci.ram.slice(a, 6)], [1, 2, 3, 4, 2, 2]);
  pci.send(0, [writable(b, 8192)]);
  assert.equal(pci.drivers[0]!.take()?.written, 4096);
  pci.send(0, [writable(pci.ram.bytes.length, 4)]);
  assert.equal(pci.drivers[0]!.take()?.written, 0, 'memory that is not there');
});
