import assert from 'node:assert/strict';
import test from 'node:test';
import { CodecError, decode, encode } from '../../base/codec.js';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { Piix3, pirqOf } from './piix3.js';

conform(test, (ctx) => {
  const irqs = Array.from({ length: 16 }, (_, irq) => ctx.line(`irq${irq}`));
  const bridge = new Piix3({ irqs, onReset() {} });
  bridge.pciInput(3, 1).set(true);
  return bridge;
});

function isaBridge() {
  const irqs = Array.from({ length: 16 }, () => new RecordingLine());
  const resets: string[] = [];
  const bridge = new Piix3({ irqs, onReset: (kind) => resets.push(kind) });
  const high = () => irqs.flatMap((line, irq) => (line.high ? [irq] : []));
  return { bridge, resets, high };
}

test('identity and reset values [PIIX3 2.2]', () => {
  const { bridge } = isaBridge();
  assert.equal(bridge.pci.configRead(0x00, 4), 0x7000_8086);
  assert.equal(bridge.pci.configRead(0x04, 4), 0x0200_0007);
  assert.equal(bridge.pci.configRead(0x08, 4), 0x0601_0000);
  assert.equal(bridge.pci.configRead(0x0e, 1), 0x80);
  assert.equal(bridge.pci.configRead(0x4c, 4), 0x0003_004d);
  assert.equal(bridge.pci.configRead(0x60, 4), 0x8080_8080);
});

test('pins rotate by slot', () => {
  assert.deepEqual(
    [1, 2, 3, 4].map((pin) => pirqOf(1, pin)),
    [0, 1, 2, 3],
  );
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((slot) => pirqOf(slot, 1)),
    [3, 0, 1, 2, 3, 0],
  );
});

test('PIRQs go where PIRQRC says, and nowhere while disabled', () => {
  const { bridge, high } = isaBridge();
  const card = bridge.pciInput(3, 1);
  card.set(true);
  assert.deepEqual(high(), []);
  bridge.pci.configWrite(0x62, 1, 11);
  assert.deepEqual(high(), [11]);
  bridge.pci.configWrite(0x60, 4, 0x0b0a_0b0a);
  assert.deepEqual(high(), [10]);
  card.set(false);
  assert.deepEqual(high(), []);
});

test('reserved IRQs are not routed [PIIX3 2.2.10]', () => {
  const { bridge, high } = isaBridge();
  bridge.pirqInput(0).set(true);
  for (let irq = 0; irq < 16; irq++) {
    bridge.pci.configWrite(0x60, 1, irq);
    assert.deepEqual(high(), [0, 1, 2, 8, 13].includes(irq) ? [] : [irq]);
  }
});

test('sources sharing a PIRQ, and PIRQs sharing an IRQ, hold it together', () => {
  const { bridge, high } = isaBridge();
  bridge.pci.configWrite(0x60, 4, 0x0505_0505);
  const [a, b, c] = [bridge.pirqInput(0), bridge.pirqInput(0), bridge.pirqInput(1)];
  a.set(true);
  b.set(true);
  b.set(true);
  c.set(true);
  a.set(false);
  b.set(false);
  assert.deepEqual(high(), [5]);
  c.set(false);
  assert.deepEqual(high(), []);
});

test('RCR resets on the rise of RCPU only [PIIX3 2.5.4.1]', () => {
  const { bridge, resets } = isaBridge();
  bridge.write(0, 0, 1, 0x02);
  assert.deepEqual(resets, []);
  bridge.write(0, 0, 1, 0x06);
  bridge.write(0, 0, 1, 0x06);
  assert.deepEqual(resets, ['hard']);
  assert.equal(bridge.read(0, 0, 1), 6);
  bridge.write(0, 0, 1, 0x00);
  bridge.write(0, 0, 1, 0x04);
  assert.deepEqual(resets, ['hard', 'soft']);
});

test('a saved route comes back and drives its IRQ; broken state is refused', () => {
  const { bridge } = isaBridge();
  bridge.pci.configWrite(0x60, 1, 9);
  const bytes = encode(bridge.stateCodec, bridge.save());
  const other = isaBridge();
  other.bridge.pirqInput(0).set(true);
  other.bridge.restore(decode(other.bridge.stateCodec, bytes));
  assert.deepEqual(other.high(), [9]);
  bytes[256] = 1;
  assert.throws(() => decode(other.bridge.stateCodec, bytes), CodecError);
});
