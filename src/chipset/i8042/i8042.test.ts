import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { I8042 } from './i8042.js';
import { KEYS } from './keys.js';

conform(
  test,
  (ctx) =>
    new I8042({
      keyboardIrq: ctx.line('irq1'),
      auxIrq: ctx.line('irq12'),
      a20: ctx.line('a20'),
      reset() {},
    }),
  { host: (i8042, random) => i8042.key(random() % 2 === 0 ? 'KeyA' : 'Pause', random() % 2 === 0) },
);

function rig() {
  const lines = { irq1: new RecordingLine(), irq12: new RecordingLine(), a20: new RecordingLine() };
  let resets = 0;
  const chip = new I8042({
    keyboardIrq: lines.irq1,
    auxIrq: lines.irq12,
    a20: lines.a20,
    reset: () => resets++,
  });
  const data = (value: number) => chip.write(0, 0, 1, value);
  const command = (value: number, parameter?: number) => {
    chip.write(1, 0, 1, value);
    if (parameter !== undefined) data(parameter);
  };
  const status = () => chip.read(1);
  /** All that can be read, as the guest's drivers read it. */
  const drain = () => {
    const seen: number[] = [];
    while (status() & 1) seen.push(chip.read(0));
    return seen;
  };
  return { chip, ...lines, data, command, status, drain, resets: () => resets };
}

test('i8042: reset values', () => {
  const { status, a20, command, drain } = rig();
  assert.equal(status(), 0x10);
  assert.equal(a20.high, true);
  command(0x20);
  assert.equal(status() & 0x09, 0x09, 'output full, last write was a command');
  assert.deepEqual(drain(), [0x41]);
});

test('i8042: self test, interface tests and the command byte', () => {
  const { command, drain, status } = rig();
  command(0xaa);
  assert.deepEqual(drain(), [0x55]);
  assert.equal(status() & 0x04, 0x04);
  command(0xab);
  assert.deepEqual(drain(), [0x00]);
  command(0xa9);
  assert.deepEqual(drain(), [0x00]);
  command(0x60, 0x74);
  command(0x20);
  assert.deepEqual(drain(), [0x74]);
  command(0xae);
  command(0xa8);
  command(0x20);
  assert.deepEqual(drain(), [0x44]);
  command(0xad);
  command(0xa7);
  command(0x20);
  assert.deepEqual(drain(), [0x74]);
  command(0x65, 0x99);
  command(0x25);
  assert.deepEqual(drain(), [0x99]);
});

/** SeaBIOS src/hw/ps2port.c, keyboard_init(). */
test('i8042: SeaBIOS sets its keyboard up', () => {
  const { chip, command, data, drain, irq1 } = rig();
  command(0x60, 0x30);
  command(0xaa);
  assert.deepEqual(drain(), [0x55]);
  command(0xab);
  assert.deepEqual(drain(), [0x00]);
  data(0xff);
  assert.deepEqual(drain(), [0xfa, 0xaa]);
  data(0xf5);
  assert.deepEqual(drain(), [0xfa]);
  data(0xf0);
  data(0x02);
  assert.deepEqual(drain(), [0xfa, 0xfa]);
  command(0x60, 0x61);
  data(0xf4);
  assert.deepEqual(drain(), [0xfa]);
  chip.key('KeyA', true);
  assert.equal(irq1.high, true);
  assert.deepEqual(drain(), [0x1e]);
});

/** drivers/input/serio/i8042.c, i8042_check_aux() and i8042_check_mux(). */
test('i8042: Linux finds an AUX port, no multiplexer, and its interrupt', () => {
  const { chip, command, status, drain, irq12 } = rig();
  command(0xd3, 0x5a);
  assert.equal(status() & 0x21, 0x21);
  assert.deepEqual(drain(), [0x5a]);
  for (const loop of [0xf0, 0x56, 0xa4]) {
    command(0xd3, loop);
    assert.deepEqual(drain(), [loop]);
  }
  command(0x60, 0x47);
  command(0xd3, 0xa5);
  assert.equal(irq12.high, true);
  assert.equal(chip.read(0), 0xa5);
  assert.equal(irq12.high, false);
});

test('i8042: a byte for the mouse that is not there times out', () => {
  const { command, status, drain } = rig();
  command(0xd4, 0xf2);
  assert.equal(status() & 0x61, 0x61);
  assert.deepEqual(drain(), [0xfe]);
  assert.equal(status() & 0x61, 0);
});

/** drivers/input/keyboard/atkbd.c, atkbd_probe(). */
test('i8042: Linux identifies the keyboard, with and without translation', () => {
  const { command, data, drain } = rig();
  data(0xf2);
  assert.deepEqual(drain(), [0xfa, 0xab, 0x41]);
  command(0x60, 0x01);
  data(0xf2);
  assert.deepEqual(drain(), [0xfa, 0xab, 0x83]);
  data(0xed);
  data(0x02);
  data(0xf3);
  data(0x00);
  data(0xee);
  data(0xf0);
  data(0x00);
  assert.deepEqual(drain(), [0xfa, 0xfa, 0xfa, 0xfa, 0xee, 0xfa, 0xfa, 0x02]);
  data(0xab);
  assert.deepEqual(drain(), [0xfe]);
  data(0xfe);
  assert.deepEqual(drain(), [0xfe], 'resend repeats the last byte');
});

test('i8042: keys come as set 1 when translated and as set 2 when not', () => {
  const { chip, command, drain, irq1 } = rig();
  chip.key('KeyA', true);
  chip.key('KeyA', false);
  chip.key('ArrowUp', true);
  chip.key('ArrowUp', false);
  assert.deepEqual(drain(), [0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8]);
  assert.equal(irq1.pulses, 6, 'an edge for each byte');
  chip.key('Pause', true);
  chip.key('Pause', false);
  assert.deepEqual(drain(), [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
  chip.key('PrintScreen', true);
  chip.key('PrintScreen', false);
  assert.deepEqual(drain(), [0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa]);
  command(0x60, 0x01);
  chip.key('F7', true);
  chip.key('F7', false);
  chip.key('NoSuchKey', true);
  chip.key('constructor', true);
  assert.deepEqual(drain(), [0x83, 0xf0, 0x83]);
});

test('i8042: no two keys share a code', () => {
  assert.equal(new Set(Object.values(KEYS)).size, Object.keys(KEYS).length);
});

test('i8042: scan code set 1 is the keyboard’s own when asked for', () => {
  const { chip, command, data, drain } = rig();
  command(0x60, 0x01);
  data(0xf0);
  data(0x01);
  drain();
  chip.key('KeyA', true);
  chip.key('KeyA', false);
  assert.deepEqual(drain(), [0x1e, 0x9e]);
});

test('i8042: a full buffer refuses whole keys, and a disabled keyboard drops them', () => {
  const { chip, command, data, drain } = rig();
  command(0x60, 0x11);
  for (let i = 0; i < 8; i++) assert.equal(chip.key('KeyA', false), true);
  assert.equal(chip.key('KeyA', true), false);
  command(0xae);
  assert.equal(drain().length, 16);
  data(0xf5);
  drain();
  chip.key('KeyA', true);
  assert.deepEqual(drain(), []);
});

test('i8042: a disabled interface holds keys back, answers go first', () => {
  const { chip, command, data, drain, status } = rig();
  command(0xad);
  chip.key('KeyA', true);
  assert.equal(status() & 1, 0);
  data(0xee);
  assert.deepEqual(drain(), [0xee, 0x1e], 'writing to the keyboard enabled it again');
});

test('i8042: A20 by output port and by command', () => {
  const { command, drain, a20 } = rig();
  command(0xd1, 0xdd);
  assert.equal(a20.high, false);
  command(0xd0);
  assert.equal(drain()[0]! & 0x03, 0x01);
  command(0xd1, 0xdf);
  assert.equal(a20.high, true);
  command(0xdd);
  assert.equal(a20.high, false);
  command(0xdf);
  assert.equal(a20.high, true);
});

test('i8042: three ways to reset the CPU', () => {
  const { command, resets } = rig();
  command(0xff);
  command(0xf1);
  assert.equal(resets(), 0);
  command(0xfe);
  command(0xf0);
  command(0xd1, 0xfe);
  assert.equal(resets(), 3);
});
