import assert from 'node:assert/strict';
import test from 'node:test';
import { CodecError, decode, encode } from '../base/codec.js';
import { RecordingLine } from './irq.js';
import { PciConfigSpace } from './pci-config.js';

function function0() {
  const moves: [number, number | undefined][] = [];
  const line = new RecordingLine();
  const config = new PciConfigSpace(
    {
      vendorId: 0x1af4,
      deviceId: 0x1042,
      revision: 1,
      classCode: 0x010000,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      interruptPin: 1,
      bars: [
        { index: 0, kind: 'io', sizeBytes: 0x40 },
        { index: 1, kind: 'mem32', sizeBytes: 0x1000 },
        { index: 4, kind: 'mem64', sizeBytes: 0x4000, prefetchable: true },
      ],
    },
    { barMoved: (index, base) => moves.push([index, base]) },
    line,
  );
  return { config, moves, line };
}

test('the header reads in every width', () => {
  const { config } = function0();
  assert.equal(config.configRead(0, 4), 0x1042_1af4);
  assert.equal(config.configRead(2, 2), 0x1042);
  assert.equal(config.configRead(8, 4), 0x0100_0001);
  assert.equal(config.configRead(0x2c, 4), 0x1100_1af4);
  assert.equal(config.configRead(0x3d, 1), 1);
  assert.equal(config.configRead(0x100, 4), 0xffff_ffff);
});

test('fixed registers do not change', () => {
  const { config } = function0();
  for (let offset = 0; offset < 256; offset += 4) config.configWrite(offset, 4, 0xffff_ffff);
  assert.equal(config.configRead(0, 4), 0x1042_1af4);
  assert.equal(config.configRead(4, 2), 0x0547);
});

test('BARs tell their size when written with ones [PCI 6.2.5.1]', () => {
  const { config } = function0();
  for (let i = 0; i < 6; i++) config.configWrite(0x10 + 4 * i, 4, 0xffff_ffff);
  assert.equal(config.configRead(0x10, 4), 0xffff_ffc1);
  assert.equal(config.configRead(0x14, 4), 0xffff_f000);
  assert.equal(config.configRead(0x18, 4), 0);
  assert.equal(config.configRead(0x20, 4), 0xffff_c00c);
  assert.equal(config.configRead(0x24, 4), 0xffff_ffff);
});

test('a BAR decodes only when its space is enabled and its base is sane', () => {
  const { config, moves } = function0();
  config.configWrite(0x10, 4, 0xc001);
  config.configWrite(0x14, 4, 0xfebf_1000);
  config.configWrite(0x20, 4, 0x0000_4000);
  config.configWrite(0x24, 4, 0x0000_0010);
  assert.deepEqual(moves, []);
  config.configWrite(4, 2, 3);
  assert.deepEqual(moves, [
    [0, 0xc000],
    [1, 0xfebf_1000],
    [4, 0x10_0000_4000],
  ]);
  moves.length = 0;
  config.configWrite(0x14, 4, 0xffff_ffff);
  config.configWrite(0x24, 4, 0xffff_ffff);
  config.configWrite(4, 2, 2);
  assert.deepEqual(moves, [
    [1, undefined],
    [4, undefined],
    [0, undefined],
  ]);
});

test('a 64-bit BAR above 4 GiB in size masks its high half', () => {
  const config = new PciConfigSpace({
    vendorId: 1,
    deviceId: 2,
    revision: 0,
    classCode: 0,
    bars: [{ index: 2, kind: 'mem64', sizeBytes: 2 ** 34 }],
  });
  config.configWrite(0x18, 4, 0xffff_ffff);
  config.configWrite(0x1c, 4, 0xffff_ffff);
  assert.equal(config.configRead(0x18, 4), 4);
  assert.equal(config.configRead(0x1c, 4), 0xffff_fffc);
});

test('capabilities form a list in the order they were added [PCI 6.7]', () => {
  const { config } = function0();
  const first = config.addCapability(0x11, new Uint8Array(10), new Uint8Array([0, 0xc0]));
  const second = config.addCapability(0x09, Uint8Array.of(7));
  assert.deepEqual([first, second], [0x40, 0x4c]);
  assert.equal(config.configRead(6, 2) & 0x10, 0x10);
  assert.equal(config.configRead(0x34, 1), 0x40);
  assert.equal(config.configRead(0x40, 2), 0x4c11);
  assert.equal(config.configRead(0x4c, 2), 0x0009);
  assert.equal(config.configRead(0x4e, 1), 7);
  config.configWrite(0x42, 2, 0xffff);
  assert.equal(config.configRead(0x42, 2), 0xc000);
});

test('status error bits clear by ones and by nothing else', () => {
  const { config } = function0();
  config.set(6, 2, 0x2000);
  config.configWrite(6, 2, 0x1000);
  assert.equal(config.configRead(6, 2), 0x2000);
  config.configWrite(4, 4, 0x2000_0000);
  assert.equal(config.configRead(6, 2), 0);
});

test('INTx is shown in status and kept off the line by command bit 10', () => {
  const { config, line } = function0();
  config.setIntx(true);
  assert.equal(line.high, true);
  assert.equal(config.configRead(6, 2) & 8, 8);
  config.configWrite(4, 2, 0x400);
  assert.equal(line.high, false);
  assert.equal(config.configRead(6, 2) & 8, 8);
  config.configWrite(4, 2, 0);
  assert.equal(line.high, true);
});

test('saved bytes come back, and bytes of another function are refused', () => {
  const { config } = function0();
  config.configWrite(0x10, 4, 0xc001);
  config.configWrite(4, 2, 1);
  config.setIntx(true);
  const saved = encode(config.codec, config.save());
  const other = function0();
  other.config.restore(decode(other.config.codec, saved));
  assert.deepEqual(other.moves, [[0, 0xc000]]);
  assert.equal(other.line.high, true);
  assert.deepEqual(encode(other.config.codec, other.config.save()), saved);
  for (const at of [0, 2, 8, 9, 0x0e, 0x10, 0x2c, 0x34, 0x3d, 0x40]) {
    const broken = saved.slice();
    broken[at] ^= 2;
    assert.throws(() => decode(other.config.codec, broken, 'pci'), CodecError);
  }
});
