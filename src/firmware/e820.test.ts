import assert from 'node:assert/strict';
import test from 'node:test';
import {
  DEFAULT_HOLE_START,
  E820_RAM,
  E820_RESERVED,
  e820Map,
  encodeE820,
  FOUR_GIB,
  fwCfgE820,
  ramLayout,
} from './e820.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

test('RAM below the PCI hole stays in one piece', () => {
  assert.deepEqual(ramLayout(512 * MIB), { below4G: 512 * MIB, above4G: 0 });
  const exact = ramLayout(DEFAULT_HOLE_START);
  assert.deepEqual(exact, { below4G: DEFAULT_HOLE_START, above4G: 0 });
});

test('RAM that does not fit below the hole continues at 4 GiB', () => {
  assert.deepEqual(ramLayout(6 * GIB), { below4G: 3.5 * GIB, above4G: 2.5 * GIB });
  assert.deepEqual(ramLayout(6 * GIB, 3 * GIB), { below4G: 3 * GIB, above4G: 3 * GIB });
});

for (const size of [2 * MIB, 128 * MIB, 3.5 * GIB, 3.5 * GIB + 4096, 64 * GIB]) {
  test(`the map for ${size / MIB} MiB is sorted, without overlaps, and has all the RAM`, () => {
    const reserved = 64 * 1024;
    const map = e820Map(ramLayout(size), reserved);
    for (let i = 1; i < map.length; i++) {
      assert.ok(map[i].gpa >= map[i - 1].gpa + map[i - 1].sizeBytes);
    }
    const ram = map.filter((entry) => entry.type === E820_RAM);
    const bytes = ram.reduce((sum, entry) => sum + entry.sizeBytes, 0);
    // Hidden: the EBDA's KiB, 640 KiB to 1 MiB, and what was reserved at the top.
    assert.equal(bytes, size - 1024 - 384 * 1024 - reserved);
    assert.ok(map.every((entry) => entry.sizeBytes > 0 && entry.sizeBytes % 1024 === 0));
    const holes = map.filter((entry) => entry.type === E820_RESERVED);
    assert.ok(holes.some((entry) => entry.gpa <= 0xf_0000 && entry.gpa + entry.sizeBytes === MIB));
    assert.ok(holes.some((entry) => entry.gpa + entry.sizeBytes === FOUR_GIB));
  });
}

test('no VGA memory in the map: 640 KiB to 896 KiB is no RAM and not reserved', () => {
  const map = e820Map(ramLayout(64 * MIB));
  assert.ok(!map.some((entry) => entry.gpa < 0xe_0000 && entry.gpa + entry.sizeBytes > 0xa_0000));
});

test('encoding is {u64 address, u64 length, u32 type}, packed', () => {
  const bytes = encodeE820([{ gpa: 0x1_2345_6000, sizeBytes: 0x2_0000_1000, type: 7 }]);
  const view = new DataView(bytes.buffer);
  assert.equal(bytes.length, 20);
  assert.equal(view.getBigUint64(0, true), 0x1_2345_6000n);
  assert.equal(view.getBigUint64(8, true), 0x2_0000_1000n);
  assert.equal(view.getUint32(16, true), 7);
});

test('fw_cfg hears of RAM only, the first piece from 0: SeaBIOS makes the holes', () => {
  const view = new DataView(fwCfgE820(ramLayout(4 * GIB)).buffer);
  assert.equal(view.byteLength, 40);
  assert.equal(view.getBigUint64(0, true), 0n);
  assert.equal(view.getBigUint64(8, true), 0xe000_0000n);
  assert.equal(view.getBigUint64(20, true), 0x1_0000_0000n);
  assert.equal(view.getBigUint64(28, true), 0x2000_0000n);
  assert.equal(view.getUint32(36, true), E820_RAM);
});
