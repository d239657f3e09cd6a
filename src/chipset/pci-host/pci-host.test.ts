import assert from 'node:assert/strict';
import test from 'node:test';
import { CodecError, decode } from '../../base/codec.js';
import { conform } from '../../device/conformance.js';
import { PciConfigSpace } from '../../device/pci-config.js';
import { PciHost } from './pci-host.js';
import { pciHostCodec } from './state.js';

function board() {
  const passed: [number, number, number][] = [];
  const make = (deviceId: number) =>
    new PciConfigSpace({ vendorId: 0x8086, deviceId, revision: 2, classCode: 0x060000 });
  const host = new PciHost(
    [
      { slot: 0, function: 0, face: make(0x1237) },
      { slot: 1, function: 3, face: make(0x7113) },
    ],
    { read: () => 0x42, write: (offset, width, value) => passed.push([offset, width, value]) },
  );
  return { host, passed };
}

conform(test, () => board().host);

const addressOf = (bus: number, slot: number, fn: number, register: number) =>
  (0x8000_0000 | (bus << 16) | (slot << 11) | (fn << 8) | register) >>> 0;

test('mechanism 1 reaches functions by slot, function and register', () => {
  const { host } = board();
  host.write(0, 0, 4, addressOf(0, 0, 0, 0));
  assert.equal(host.read(1, 0, 4), 0x1237_8086);
  assert.equal(host.read(1, 2, 2), 0x1237);
  assert.equal(host.read(1, 3, 1), 0x12);
  host.write(0, 0, 4, addressOf(0, 1, 3, 0x3c));
  host.write(1, 0, 1, 9);
  assert.equal(host.read(1, 0, 2), 9);
  assert.equal(host.read(0, 0, 4), addressOf(0, 1, 3, 0x3c));
});

test('absent functions, other buses and a clear enable bit read as all ones', () => {
  const { host } = board();
  for (const address of [
    addressOf(0, 2, 0, 0),
    addressOf(0, 0, 1, 0),
    addressOf(1, 0, 0, 0),
    addressOf(0, 0, 0, 0) & 0x7fff_ffff,
  ]) {
    host.write(0, 0, 4, address);
    assert.equal(host.read(1, 0, 4), 0xffff_ffff);
    host.write(1, 0, 4, 0);
  }
  assert.equal(host.read(1, 3, 2), 0xffff);
});

test('bytes and words at 0xCF8 pass through [PMC 3.2.1]', () => {
  const { host, passed } = board();
  host.write(0, 0, 4, 0x8000_0000);
  host.write(0, 1, 1, 6);
  host.write(0, 0, 2, 0xffff);
  assert.deepEqual(passed, [
    [1, 1, 6],
    [0, 2, 0xffff],
  ]);
  assert.equal(host.read(0, 1, 1), 0x42);
  assert.equal(host.read(0, 0, 4), 0x8000_0000);
});

test('reserved address bits stay zero and are refused in saved state', () => {
  const { host } = board();
  host.write(0, 0, 4, 0xffff_ffff);
  assert.equal(host.read(0, 0, 4), 0x80ff_fffc);
  assert.throws(() => decode(pciHostCodec, Uint8Array.of(1, 0, 0, 0x80), 'pci-host'), CodecError);
});
