import assert from 'node:assert/strict';
import test from 'node:test';
import { decode, encode } from '../../base/codec.js';
import { conform } from '../../device/conformance.js';
import { I440fx, type MemoryMap } from './i440fx.js';

conform(test, () => new I440fx(() => {}));

function bridge() {
  const maps: MemoryMap[] = [];
  const pmc = new I440fx((map) => maps.push(map));
  return { pmc, maps, last: () => maps.at(-1)! };
}

/** One letter a segment: - PCI, r RAM read, w RAM write, b both. */
function picture(map: MemoryMap): string {
  return map.segments
    .map(({ readRam, writeRam }) => (readRam ? (writeRam ? 'b' : 'r') : writeRam ? 'w' : '-'))
    .join('');
}

test('identity and reset values [PMC 3.2]', () => {
  const { pmc } = bridge();
  assert.equal(pmc.pci.configRead(0, 4), 0x1237_8086);
  assert.equal(pmc.pci.configRead(4, 4), 0x0280_0006);
  assert.equal(pmc.pci.configRead(8, 4), 0x0600_0002);
  assert.equal(pmc.pci.configRead(0x0e, 1), 0);
  assert.equal(pmc.pci.configRead(0x72, 1), 0x02);
  assert.equal(pmc.pci.configRead(0x70, 2), 0x1020);
  for (let pam = 0x59; pam <= 0x5f; pam++) assert.equal(pmc.pci.configRead(pam, 1), 0);
  assert.equal(picture(pmc.memoryMap), '-------------');
});

test('segments cover 0xC0000 to 0xFFFFF without a hole', () => {
  let at = 0xc0000;
  for (const { base, sizeBytes } of bridge().pmc.memoryMap.segments) {
    assert.equal(base, at);
    at += sizeBytes;
  }
  assert.equal(at, 0x100000);
});

test('each PAM nibble moves its own segment [PMC 3.2.18]', () => {
  const { pmc, last } = bridge();
  const nibbles = [
    [0x59, 0x30, '------------b'],
    [0x5a, 0x01, 'r------------'],
    [0x5a, 0x20, '-w-----------'],
    [0x5b, 0x33, '--bb---------'],
    [0x5c, 0x13, '----br-------'],
    [0x5d, 0x32, '------wb-----'],
    [0x5e, 0x11, '--------rr---'],
    [0x5f, 0x23, '----------bw-'],
  ] as const;
  for (const [register, value, expected] of nibbles) {
    pmc.pci.configWrite(register, 1, value);
    assert.equal(picture(last()), expected);
    pmc.pci.configWrite(register, 1, 0);
  }
});

test('what SeaBIOS does: shadow everything, then protect it', () => {
  const { pmc, last } = bridge();
  pmc.pci.configWrite(0x59, 1, 0x30);
  for (let i = 1; i < 7; i++) pmc.pci.configWrite(0x59 + i, 1, 0x33);
  assert.equal(picture(last()), 'bbbbbbbbbbbbb');
  pmc.pci.configWrite(0x59, 1, 0x10);
  pmc.pci.configWrite(0x5c, 4, 0x1111_1111);
  assert.equal(picture(last()), 'bbbbrrrrrrrrr');
});

test('reserved PAM bits stay zero', () => {
  const { pmc } = bridge();
  pmc.pci.configWrite(0x58, 4, 0xffff_ffff);
  assert.equal(pmc.pci.configRead(0x58, 4), 0x3333_30ff);
});

test('SMRAM opens, closes to data and locks [PMC 3.2.22]', () => {
  const { pmc, last } = bridge();
  pmc.pci.configWrite(0x72, 1, 0x48);
  assert.equal(pmc.pci.configRead(0x72, 1), 0x4a);
  assert.deepEqual(last().smram, { everybody: true, smmCode: true, smmData: true });
  pmc.pci.configWrite(0x72, 1, 0x28);
  assert.deepEqual(last().smram, { everybody: false, smmCode: true, smmData: false });
  pmc.pci.configWrite(0x72, 1, 0x58);
  assert.equal(pmc.pci.configRead(0x72, 1), 0x1a);
  pmc.pci.configWrite(0x72, 1, 0x48);
  assert.equal(pmc.pci.configRead(0x72, 1), 0x1a);
  assert.deepEqual(last().smram, { everybody: false, smmCode: true, smmData: true });
});

test('the lock survives a warm reset and not a power-on', () => {
  const { pmc } = bridge();
  pmc.pci.configWrite(0x72, 1, 0x18);
  pmc.reset('warm');
  assert.equal(pmc.pci.configRead(0x72, 1), 0x12);
  pmc.pci.configWrite(0x72, 1, 0x48);
  assert.equal(pmc.pci.configRead(0x72, 1), 0x1a);
  pmc.reset('power-on');
  pmc.pci.configWrite(0x72, 1, 0x48);
  assert.equal(pmc.pci.configRead(0x72, 1), 0x4a);
});

test('restore announces the memory map and keeps the lock', () => {
  const { pmc } = bridge();
  pmc.pci.configWrite(0x5a, 1, 0x31);
  pmc.pci.configWrite(0x72, 1, 0x18);
  const bytes = encode(pmc.stateCodec, pmc.save());
  const other = bridge();
  other.pmc.restore(decode(other.pmc.stateCodec, bytes));
  assert.equal(picture(other.last()), 'rb-----------');
  other.pmc.pci.configWrite(0x72, 1, 0x48);
  assert.equal(other.pmc.pci.configRead(0x72, 1), 0x1a);
});

test('unrelated writes do not announce a map', () => {
  const { pmc, maps } = bridge();
  pmc.pci.configWrite(0x0d, 1, 0x40);
  pmc.pci.configWrite(0x50, 4, 0);
  assert.equal(maps.length, 0);
});
