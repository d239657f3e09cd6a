import assert from 'node:assert/strict';
import test from 'node:test';
import { CodecError, decode, encode } from '../../base/codec.js';
import { conform } from '../../device/conformance.js';
import { Ioapic } from './ioapic.js';
import { MsiDecoder } from './msi.js';
import { IOAPIC_WORDS } from './state.js';

conform(test, () => new Ioapic(new Int32Array(IOAPIC_WORDS), () => true));

interface Sent {
  dest: number;
  logical: boolean;
  mode: number;
  vector: number;
  level: boolean;
}

function chip(taken = () => true) {
  const sent: Sent[] = [];
  const deliver = (
    dest: number,
    logical: boolean,
    mode: number,
    vector: number,
    level: boolean,
  ): boolean => {
    sent.push({ dest, logical, mode, vector, level });
    return taken();
  };
  const words = new Int32Array(new SharedArrayBuffer(4 * IOAPIC_WORDS));
  const ioapic = new Ioapic(words, deliver);
  const set = (register: number, value: number) => {
    ioapic.write(0, 0x00, 4, register);
    ioapic.write(0, 0x10, 4, value);
  };
  const get = (register: number) => {
    ioapic.write(0, 0x00, 4, register);
    return ioapic.read(0, 0x10, 4);
  };
  const vectors = () => sent.splice(0).map(({ vector }) => vector);
  return { ioapic, sent, vectors, set, get, deliver, words };
}

const [LEVEL, MASKED, REMOTE_IRR] = [0x8000, 0x1_0000, 0x4000];

test('reset values and identity [IOAPIC 3.2]', () => {
  const { get, set } = chip();
  assert.equal(get(1), 0x0017_0011);
  assert.equal(get(0), 0);
  for (let pin = 0; pin < 24; pin++) {
    assert.equal(get(0x10 + 2 * pin), MASKED);
    assert.equal(get(0x11 + 2 * pin), 0);
  }
  set(0, 0xffff_ffff);
  assert.equal(get(0), 0x0f00_0000);
  assert.equal(get(2), 0x0f00_0000);
  set(1, 0);
  assert.equal(get(1), 0x0017_0011);
  assert.equal(get(0x40), 0);
});

test('read-only and reserved bits of an entry [IOAPIC 3.2.4]', () => {
  const { get, set } = chip();
  set(0x12, 0xffff_ffff);
  set(0x13, 0xffff_ffff);
  assert.equal(get(0x12), 0x0001_afff);
  assert.equal(get(0x13), 0xff00_0000);
});

test('an edge is sent once for each rise, with all its fields', () => {
  const { ioapic, sent, set } = chip();
  set(0x10 + 2 * 4, 0x0931);
  set(0x11 + 2 * 4, 0x0300_0000);
  const pin = ioapic.pin(4);
  pin.set(true);
  pin.set(true);
  assert.deepEqual(sent, [{ dest: 3, logical: true, mode: 1, vector: 0x31, level: false }]);
  pin.set(false);
  pin.set(true);
  assert.equal(sent.length, 2);
});

test('an edge on a masked pin is lost [IOAPIC 3.2.4]', () => {
  const { ioapic, vectors, set } = chip();
  set(0x10, MASKED | 0x40);
  ioapic.setPin(0, true);
  set(0x10, 0x40);
  assert.deepEqual(vectors(), []);
  ioapic.setPin(0, false);
  ioapic.setPin(0, true);
  assert.deepEqual(vectors(), [0x40]);
});

test('a level interrupts until its pin drops, once for each EOI', () => {
  const { ioapic, vectors, set, get } = chip();
  set(0x10 + 2 * 10, LEVEL | 0x50);
  ioapic.setPin(10, true);
  ioapic.setPin(10, true);
  assert.deepEqual(vectors(), [0x50]);
  assert.equal(get(0x10 + 20), LEVEL | REMOTE_IRR | 0x50);
  ioapic.endOfInterrupt(0x51);
  assert.deepEqual(vectors(), []);
  ioapic.endOfInterrupt(0x50);
  assert.deepEqual(vectors(), [0x50]);
  ioapic.setPin(10, false);
  ioapic.endOfInterrupt(0x50);
  assert.deepEqual(vectors(), []);
  assert.equal(get(0x10 + 20), LEVEL | 0x50);
});

test('a level held while masked interrupts when unmasked', () => {
  const { ioapic, vectors, set } = chip();
  set(0x10 + 2 * 11, MASKED | LEVEL | 0x51);
  ioapic.setPin(11, true);
  assert.deepEqual(vectors(), []);
  set(0x10 + 2 * 11, LEVEL | 0x51);
  assert.deepEqual(vectors(), [0x51]);
  set(0x10 + 2 * 11, MASKED | LEVEL | 0x51);
  ioapic.endOfInterrupt(0x51);
  assert.deepEqual(vectors(), []);
});

test('two pins with one vector both see its EOI', () => {
  const { ioapic, vectors, set } = chip();
  set(0x10 + 2 * 9, LEVEL | 0x52);
  set(0x10 + 2 * 10, LEVEL | 0x52);
  ioapic.setPin(9, true);
  ioapic.setPin(10, true);
  assert.deepEqual(vectors(), [0x52, 0x52]);
  ioapic.endOfInterrupt(0x52);
  assert.deepEqual(vectors(), [0x52, 0x52]);
});

test('going to edge and back clears a stuck remote IRR, as Linux does it', () => {
  const { ioapic, vectors, set, get } = chip();
  set(0x10, LEVEL | 0x53);
  ioapic.setPin(0, true);
  set(0x10, MASKED | 0x53);
  assert.equal(get(0x10), MASKED | 0x53);
  set(0x10, LEVEL | 0x53);
  assert.deepEqual(vectors(), [0x53, 0x53]);
});

test('a level that no CPU takes is not under way', () => {
  let taken = false;
  const { ioapic, vectors, set, get } = chip(() => taken);
  set(0x10, LEVEL | 0x54);
  ioapic.setPin(0, true);
  assert.deepEqual(vectors(), [0x54]);
  assert.equal(get(0x10), LEVEL | 0x54);
  taken = true;
  set(0x11, 0);
  set(0x10, LEVEL | 0x54);
  assert.deepEqual(vectors(), [0x54]);
});

test('a second object over the same words ends the first one’s interrupts', () => {
  const { ioapic, words, set, vectors, deliver } = chip();
  set(0x10, LEVEL | 0x55);
  ioapic.setPin(0, true);
  new Ioapic(words, deliver).endOfInterrupt(0x55);
  assert.deepEqual(vectors(), [0x55, 0x55]);
});

test('saved state comes back without sending anything again; broken state is refused', () => {
  const { ioapic, set } = chip();
  set(0, 0x0200_0000);
  set(0x10, LEVEL | 0x55);
  set(0x11, 0x0100_0000);
  ioapic.setPin(0, true);
  const bytes = encode(ioapic.stateCodec, ioapic.save());
  const other = chip();
  other.ioapic.restore(decode(other.ioapic.stateCodec, bytes));
  assert.deepEqual(other.vectors(), []);
  assert.equal(other.get(0), 0x0200_0000);
  other.ioapic.endOfInterrupt(0x55);
  assert.deepEqual(other.sent, [{ dest: 1, logical: false, mode: 0, vector: 0x55, level: true }]);
  const broken: [number, number][] = [
    [0, 0x10],
    [3, 0x10],
    [5, 1],
    [bytes.length - 1, 1],
  ];
  for (const [at, bit] of broken) {
    const bad = bytes.slice();
    bad[at] = bad[at]! | bit;
    assert.throws(() => decode(other.ioapic.stateCodec, bad), CodecError, `byte ${at}`);
  }
});

test('MSI: address and data say what an entry would [SDM 3A 11.11]', () => {
  const { sent, deliver } = chip();
  const msi = new MsiDecoder(deliver);
  msi.send(0xfee0_3000, 0x0041);
  msi.send(0xfeef_f00c, 0x0142);
  msi.send(0xfee0_0000, 0x8043);
  msi.send(0xfee0_0000, 0xc044);
  msi.send(0xfed0_0000, 0x0045);
  msi.send(0x1_fee0_0000, 0x0046);
  assert.deepEqual(sent, [
    { dest: 3, logical: false, mode: 0, vector: 0x41, level: false },
    { dest: 0xff, logical: true, mode: 1, vector: 0x42, level: false },
    { dest: 0, logical: false, mode: 0, vector: 0x44, level: true },
  ]);
});

test('only dword writes count, reads come in every width', () => {
  const { ioapic, get } = chip();
  assert.equal(get(1), 0x0017_0011);
  ioapic.write(0, 0, 1, 5);
  assert.equal(ioapic.read(0, 0, 1), 1);
  assert.equal(ioapic.read(0, 0x12, 1), 0x17);
  assert.equal(ioapic.read(0, 0x20, 4), 0xffff_ffff);
});
