import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { Pic8259Pair } from './pic8259.js';

conform(test, (ctx) => new Pic8259Pair({ intr: ctx.line('intr') }), {
  host(pic, random) {
    pic.irq(random() % 16).set(random() % 2 === 0);
    if (pic.pending) pic.acknowledge();
  },
});

function rig() {
  const intr = new RecordingLine();
  const pic = new Pic8259Pair({ intr });
  const write = (port: number, value: number) => {
    if (port >= 0x4d0) pic.write(2, port - 0x4d0, 1, value);
    else if (port >= 0xa0) pic.write(1, port - 0xa0, 1, value);
    else pic.write(0, port - 0x20, 1, value);
  };
  const read = (port: number) => {
    if (port >= 0x4d0) return pic.read(2, port - 0x4d0);
    return port >= 0xa0 ? pic.read(1, port - 0xa0) : pic.read(0, port - 0x20);
  };
  /** As Linux's init_8259A does: vectors 0x30 and 0x38, all inputs open. */
  const init = (icw4 = 0x01) => {
    write(0x20, 0x11);
    for (const word of [0x30, 0x04, icw4]) write(0x21, word);
    write(0xa0, 0x11);
    for (const word of [0x38, 0x02, icw4]) write(0xa1, word);
    write(0x21, 0);
    write(0xa1, 0);
  };
  const pulse = (irq: number) => {
    pic.irq(irq).set(true);
    pic.irq(irq).set(false);
  };
  const irr = (port: number) => {
    write(port, 0x0a);
    return read(port);
  };
  const isr = (port: number) => {
    write(port, 0x0b);
    return read(port);
  };
  return { pic, intr, write, read, init, pulse, irr, isr };
}

test('pic8259: an edge raises INTR, is acknowledged with its vector, and ended by EOI', () => {
  const { pic, intr, write, init, irr, isr } = rig();
  init();
  pic.irq(4).set(true);
  assert.equal(intr.high, true);
  assert.equal(irr(0x20), 0x10);
  assert.equal(pic.acknowledge(), 0x34);
  assert.equal(intr.high, false);
  assert.equal(irr(0x20), 0);
  assert.equal(isr(0x20), 0x10);
  write(0x20, 0x20);
  assert.equal(isr(0x20), 0);
  assert.equal(intr.high, false, 'the line is still high, but there was no new edge');
  pic.irq(4).set(false);
  pic.irq(4).set(true);
  assert.equal(intr.high, true);
});

test('pic8259: the mask register reads back and holds requests', () => {
  const { pic, intr, write, read, init, pulse } = rig();
  init();
  write(0x21, 0xfb);
  assert.equal(read(0x21), 0xfb);
  pulse(4);
  assert.equal(intr.high, false);
  write(0x21, 0xef);
  assert.equal(intr.high, true);
  assert.equal(pic.acknowledge(), 0x34);
});

test('pic8259: priorities are fixed after initialisation, and lower ones wait', () => {
  const { pic, intr, write, init, pulse } = rig();
  init();
  pulse(5);
  pulse(3);
  assert.equal(pic.acknowledge(), 0x33);
  assert.equal(intr.high, false, '5 waits while 3 is in service');
  pulse(1);
  assert.equal(pic.acknowledge(), 0x31, '1 interrupts 3');
  write(0x20, 0x20);
  assert.equal(intr.high, false, '3 is still in service');
  write(0x20, 0x20);
  assert.equal(pic.acknowledge(), 0x35);
});

test('pic8259: the slave comes through input 2, and both need an EOI', () => {
  const { pic, intr, write, init, pulse, isr } = rig();
  init();
  pulse(12);
  assert.equal(pic.acknowledge(), 0x3c);
  assert.equal(isr(0x20), 0x04);
  assert.equal(isr(0xa0), 0x10);
  pulse(8);
  assert.equal(intr.high, false, 'input 2 of the master is in service');
  write(0xa0, 0x20);
  write(0x20, 0x62);
  assert.equal(intr.high, true);
  assert.equal(pic.acknowledge(), 0x38);
});

test('pic8259: special fully nested mode lets a higher slave input through', () => {
  const { pic, intr, init, pulse } = rig();
  init(0x11);
  pulse(12);
  assert.equal(pic.acknowledge(), 0x3c);
  pulse(8);
  assert.equal(intr.high, true);
  assert.equal(pic.acknowledge(), 0x38);
});

test('pic8259: two slave requests in auto EOI mode are both delivered', () => {
  const { pic, intr, init, pulse } = rig();
  init(0x03);
  pulse(9);
  pulse(14);
  assert.equal(pic.acknowledge(), 0x39);
  assert.equal(intr.high, true);
  assert.equal(pic.acknowledge(), 0x3e);
  assert.equal(intr.high, false);
});

test('pic8259: a request that goes away is acknowledged as spurious 7 or 15', () => {
  const { pic, write, init, isr } = rig();
  init();
  write(0x4d0, 0x20);
  write(0x4d1, 0x02);
  pic.irq(5).set(true);
  pic.irq(5).set(false);
  assert.equal(pic.acknowledge(), 0x37);
  assert.equal(isr(0x20), 0, 'nothing is in service');
  pic.irq(9).set(true);
  pic.irq(9).set(false);
  assert.equal(pic.acknowledge(), 0x3f, 'the master latched the edge of the slave');
  assert.equal(isr(0x20), 0x04, 'so the master wants its EOI');
  assert.equal(isr(0xa0), 0);
});

test('pic8259: level-triggered inputs ask again after EOI while the line is high', () => {
  const { pic, intr, write, read, init, irr } = rig();
  init();
  write(0x4d1, 0xff);
  assert.equal(read(0x4d1), 0xde, 'RTC and FPU stay edge-triggered');
  write(0x4d0, 0xff);
  assert.equal(read(0x4d0), 0xf8, 'timer, keyboard and cascade stay edge-triggered');
  pic.irq(11).set(true);
  assert.equal(pic.acknowledge(), 0x3b);
  assert.equal(irr(0xa0), 0x08, 'a level stays in IRR');
  write(0xa0, 0x63);
  write(0x20, 0x62);
  assert.equal(intr.high, true);
  assert.equal(pic.acknowledge(), 0x3b);
  pic.irq(11).set(false);
  write(0xa0, 0x63);
  write(0x20, 0x62);
  assert.equal(intr.high, false);
});

test('pic8259: auto EOI leaves nothing in service, and rotates if told to', () => {
  const { pic, write, init, pulse, isr } = rig();
  init(0x03);
  write(0x20, 0x80);
  pulse(3);
  assert.equal(pic.acknowledge(), 0x33);
  assert.equal(isr(0x20), 0);
  pulse(3);
  pulse(6);
  assert.equal(pic.acknowledge(), 0x36, '3 has become the lowest');
  write(0x20, 0x00);
  pulse(0);
  pulse(7);
  pulse(3);
  assert.equal(pic.acknowledge(), 0x37, '7 follows 6');
  assert.equal(pic.acknowledge(), 0x30, 'and rotation is off');
  assert.equal(pic.acknowledge(), 0x33);
});

test('pic8259: rotation by non-specific EOI, specific EOI and set priority', () => {
  const { pic, write, init, pulse } = rig();
  init();
  pulse(4);
  assert.equal(pic.acknowledge(), 0x34);
  write(0x20, 0xa0);
  pulse(4);
  pulse(7);
  assert.equal(pic.acknowledge(), 0x37);
  write(0x20, 0xe7);
  pulse(0);
  assert.equal(pic.acknowledge(), 0x30, '0 is the highest after 7 went to the bottom');
  write(0x20, 0x60);
  write(0x20, 0x20);
  write(0x20, 0xc5);
  pulse(5);
  pulse(6);
  assert.equal(pic.acknowledge(), 0x36, 'set priority made 5 the lowest');
});

test('pic8259: special mask mode opens inputs below the one in service', () => {
  const { pic, intr, write, init, pulse, isr } = rig();
  init();
  pulse(1);
  assert.equal(pic.acknowledge(), 0x31);
  pulse(6);
  assert.equal(intr.high, false);
  write(0x21, 0x02);
  write(0x20, 0x68);
  assert.equal(intr.high, true);
  assert.equal(pic.acknowledge(), 0x36);
  write(0x20, 0x20);
  assert.equal(isr(0x20), 0x02, 'non-specific EOI ends 6, not the masked 1');
  write(0x20, 0x20);
  assert.equal(isr(0x20), 0x02);
  write(0x20, 0x48);
  write(0x20, 0x20);
  assert.equal(isr(0x20), 0);
});

test('pic8259: poll acknowledges and tells the input', () => {
  const { write, read, init, pulse, isr, intr } = rig();
  init();
  write(0x20, 0x0c);
  assert.equal(read(0x20) & 0x80, 0);
  pulse(5);
  write(0x20, 0x0c);
  assert.equal(read(0x20), 0x85);
  assert.equal(isr(0x20), 0x20);
  assert.equal(intr.high, false);
});

test('pic8259: ICW1 forgets latched edges, mask, service and modes', () => {
  const { pic, intr, write, read, init, pulse, isr } = rig();
  init();
  pulse(3);
  pic.acknowledge();
  pulse(5);
  pic.irq(6).set(true);
  write(0x21, 0xff);
  init();
  assert.equal(read(0x21), 0);
  assert.equal(isr(0x20), 0);
  assert.equal(intr.high, false, 'edges before initialisation are gone, a high line is no edge');
  pic.irq(6).set(false);
  pic.irq(6).set(true);
  assert.equal(pic.acknowledge(), 0x36);
});

test('pic8259: a single chip takes no ICW3, and without ICW4 no fourth word', () => {
  const { write, read, pulse, pic } = rig();
  write(0x20, 0x12);
  write(0x21, 0x47);
  write(0x21, 0xaa);
  assert.equal(read(0x21), 0xaa, 'the word after ICW2 is the mask');
  pulse(0);
  assert.equal(pic.acknowledge(), 0x40, 'the low three bits of ICW2 are the input');
});
