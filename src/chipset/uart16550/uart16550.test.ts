import assert from 'node:assert/strict';
import test from 'node:test';
import { ManualClock } from '../../base/clock.js';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { ManualTimers } from '../../device/timer.js';
import { Uart16550 } from './uart16550.js';

const sink = { write() {} };
conform(
  test,
  (c) => new Uart16550({ clock: c.clock, timers: c.timers, irq: c.line('irq'), sink }),
  {
    host(uart, random) {
      uart.receive(new Uint8Array(random() % 20));
      uart.setModemInputs(random() & 0xff);
    },
  },
);

const [DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 2, 3, 4, 5, 6, 7] as const;

function rig() {
  const clock = new ManualClock();
  const timers = new ManualTimers();
  const irq = new RecordingLine();
  const sent: number[] = [];
  let rooms = 0;
  const uart = new Uart16550({
    clock,
    timers,
    irq,
    sink: { write: (b) => sent.push(b) },
    onRoom: () => rooms++,
  });
  const out = (offset: number, value: number) => uart.write(0, offset, 1, value);
  const inb = (offset: number) => uart.read(0, offset);
  const receive = (...bytes: number[]) => uart.receive(Uint8Array.from(bytes));
  const wait = (ns: number) => {
    clock.advance(ns);
    timers.fire(clock.ns);
  };
  return { uart, irq, sent, out, inb, receive, wait, rooms: () => rooms };
}

test('uart16550: reset values', () => {
  const { inb } = rig();
  assert.deepEqual([IER, IIR, LCR, MCR, LSR, MSR, SCR].map(inb), [0, 0x01, 0, 0, 0x60, 0xb0, 0]);
});

test('uart16550: bytes written are sent, with the divisor latch out of the way', () => {
  const { out, inb, sent } = rig();
  out(LCR, 0x83);
  out(DATA, 0x01);
  out(IER, 0x02);
  assert.deepEqual([inb(DATA), inb(IER)], [0x01, 0x02]);
  out(LCR, 0x03);
  assert.equal(inb(IER), 0);
  out(DATA, 0x48);
  out(DATA, 0x69);
  assert.deepEqual(sent, [0x48, 0x69]);
  assert.equal(inb(LSR), 0x60);
});

/** drivers/tty/serial/8250/8250_port.c, autoconfig(), register by register. */
test('uart16550: Linux takes it for a 16550A and nothing else', () => {
  const { out, inb } = rig();
  out(IER, 0);
  assert.equal(inb(IER) & 0x0f, 0);
  out(IER, 0x0f);
  assert.equal(inb(IER) & 0x0f, 0x0f);
  out(IER, 0);
  out(MCR, 0x1a);
  assert.equal(inb(MSR) & 0xf0, 0x90);
  out(MCR, 0);
  out(LCR, 0xbf);
  out(FCR, 0);
  out(LCR, 0);
  out(FCR, 0x01);
  assert.equal(inb(IIR) >> 6, 3, '16550A');
  out(LCR, 0x80);
  assert.notEqual(inb(2), 0, 'no EFR: not a 16C650');
  out(LCR, 0xbf);
  assert.notEqual(inb(2), 0, 'no EFR: not a 16C650v2');
  out(LCR, 0);
  const status1 = inb(MCR);
  out(LCR, 0xe0);
  assert.equal((inb(2) ^ status1) & 0x10, 0);
  out(LCR, 0);
  out(MCR, status1 ^ 0x10);
  out(LCR, 0xe0);
  assert.equal((inb(2) ^ status1) & 0x10, 0, 'not a National with EXCR1');
  out(LCR, 0);
  out(MCR, status1);
  out(FCR, 0x21);
  assert.equal(inb(IIR) >> 5, 6);
  out(FCR, 0x01);
  out(LCR, 0x80);
  out(FCR, 0x21);
  assert.equal(inb(IIR) >> 5, 6, 'not a TI16750');
  out(FCR, 0x01);
  out(LCR, 0);
  out(IER, 0x40);
  assert.equal(inb(IER) & 0x40, 0, 'not an XScale');
});

test('uart16550: loopback holds 16 bytes, as Linux measures the FIFO', () => {
  const { out, inb, sent, receive } = rig();
  out(FCR, 0x07);
  out(MCR, 0x10);
  for (let i = 0; i < 256; i++) out(DATA, i);
  let count = 0;
  assert.equal(inb(LSR), 0x63, 'data ready and overrun');
  assert.equal(inb(LSR), 0x61, 'reading cleared the overrun');
  while (inb(LSR) & 1) assert.equal(inb(DATA), count++);
  assert.equal(count, 16);
  assert.deepEqual(sent, []);
  assert.equal(receive(1), 0, 'the line is cut off');
});

test('uart16550: loopback turns modem outputs into inputs, with their changes', () => {
  const { out, inb } = rig();
  out(MCR, 0x10);
  assert.equal(inb(MSR), 0x0b, 'CTS, DSR and DCD went away');
  for (const [mcr, msr] of [
    [0x11, 0x22],
    [0x12, 0x13],
    [0x14, 0x41],
    [0x18, 0x8c],
  ]) {
    out(MCR, mcr!);
    assert.equal(inb(MSR) & 0xf0, msr! & 0xf0);
  }
  out(MCR, 0x14);
  inb(MSR);
  out(MCR, 0x10);
  assert.equal(inb(MSR), 0x04, 'trailing edge of RI');
});

test('uart16550: THRE interrupts on enabling, on each write, and is answered by reading IIR', () => {
  const { out, inb, irq } = rig();
  out(MCR, 0x08);
  out(IER, 0x02);
  assert.equal(irq.high, true);
  assert.equal(inb(IIR), 0x02);
  assert.equal(irq.high, false);
  assert.equal(inb(IIR), 0x01);
  out(DATA, 0x41);
  assert.equal(irq.high, true, 'the register is empty again');
  const pulses = irq.pulses;
  out(DATA, 0x42);
  assert.equal(irq.pulses, pulses + 1, 'an edge, even though nobody read IIR');
  assert.equal(inb(IIR), 0x02);
  // serial8250_do_startup's test for chips that do not raise it again.
  out(IER, 0);
  out(IER, 0x02);
  assert.equal(inb(IIR), 0x02);
  out(IER, 0x02);
  assert.equal(inb(IIR), 0x01, 'writing the same enable is no new reason');
});

test('uart16550: THRE that was not enabled when it came is raised when it is', () => {
  const { out, inb, irq } = rig();
  out(MCR, 0x08);
  out(DATA, 0x41);
  assert.equal(irq.high, false);
  out(IER, 0x02);
  assert.equal(irq.high, true);
  out(IER, 0x00);
  assert.equal(irq.high, false);
  assert.equal(inb(IIR), 0x01);
});

test('uart16550: OUT2 gates the interrupt', () => {
  const { out, irq } = rig();
  out(IER, 0x02);
  assert.equal(irq.high, false);
  out(MCR, 0x08);
  assert.equal(irq.high, true);
  out(MCR, 0x18);
  assert.equal(irq.high, false);
});

test('uart16550: without FIFOs one byte is received at a time', () => {
  const { out, inb, irq, receive, rooms } = rig();
  out(MCR, 0x08);
  out(IER, 0x01);
  assert.equal(receive(0x61, 0x62), 1);
  assert.equal(irq.high, true);
  assert.equal(inb(IIR), 0x04);
  assert.equal(inb(LSR), 0x61);
  const before = rooms();
  assert.equal(inb(DATA), 0x61);
  assert.equal(rooms(), before + 1);
  assert.equal(irq.high, false);
  assert.equal(inb(LSR), 0x60);
  assert.equal(receive(0x62), 1);
});

test('uart16550: each trigger level interrupts at its count', () => {
  for (const [index, level] of [1, 4, 8, 14].entries()) {
    const { out, inb, irq, receive } = rig();
    out(MCR, 0x08);
    out(IER, 0x01);
    out(FCR, 0x01 | (index << 6));
    for (let i = 1; i < level; i++) receive(i);
    assert.equal(irq.high, false);
    receive(level);
    assert.equal(irq.high, true);
    assert.equal(inb(IIR), 0xc4);
    inb(DATA);
    assert.equal(irq.high, false);
  }
});

test('uart16550: fewer bytes than the trigger time out after four characters', () => {
  const { out, inb, irq, receive, wait } = rig();
  out(LCR, 0x83);
  out(DATA, 1);
  out(IER, 0);
  out(LCR, 0x03);
  out(MCR, 0x08);
  out(IER, 0x01);
  out(FCR, 0xc1);
  receive(0x61, 0x62);
  // 4 characters of 10 bits at 115,200 baud: 347 us.
  wait(347_000);
  assert.equal(irq.high, false);
  wait(1_000);
  assert.equal(irq.high, true);
  assert.equal(inb(IIR), 0xcc);
  assert.equal(inb(DATA), 0x61);
  assert.equal(irq.high, false, 'reading a byte takes it back');
  wait(348_000);
  assert.equal(inb(IIR), 0xcc, 'and it comes again for the byte left');
  inb(DATA);
  wait(1e9);
  assert.equal(inb(IIR), 0xc1);
});

test('uart16550: interrupts come in the order of their priority', () => {
  const { uart, out, inb, receive } = rig();
  out(FCR, 0x01);
  out(MCR, 0x10);
  for (let i = 0; i < 17; i++) out(DATA, i);
  out(MCR, 0x08);
  uart.setModemInputs(0);
  out(IER, 0x0f);
  assert.equal(inb(IIR), 0xc6);
  inb(LSR);
  assert.equal(inb(IIR), 0xc4);
  while (inb(LSR) & 1) inb(DATA);
  assert.equal(inb(IIR), 0xc2);
  assert.equal(inb(IIR), 0xc0);
  inb(MSR);
  assert.equal(inb(IIR), 0xc1);
  receive(1);
  assert.equal(inb(IIR), 0xc4);
});

test('uart16550: a full FIFO refuses, and clearing or switching it empties it', () => {
  const { out, inb, receive, rooms } = rig();
  out(FCR, 0x01);
  assert.equal(receive(...Array(20).fill(0x55)), 16);
  assert.equal(receive(0x56), 0);
  const before = rooms();
  out(FCR, 0x03);
  assert.equal(rooms(), before + 1);
  assert.equal(inb(LSR), 0x60);
  receive(1, 2, 3);
  out(FCR, 0x00);
  assert.equal(inb(LSR), 0x60);
  assert.equal(inb(IIR), 0x01);
});

test('uart16550: the host may refill from within the read that made room', () => {
  const clock = new ManualClock();
  const pending = [2, 3, 4];
  const uart: Uart16550 = new Uart16550({
    clock,
    timers: new ManualTimers(),
    irq: new RecordingLine(),
    sink: { write() {} },
    onRoom() {
      if (uart.receive(Uint8Array.from(pending.slice(0, 1))) === 1) pending.shift();
    },
  });
  uart.receive(Uint8Array.of(1));
  const seen: number[] = [];
  while (uart.read(0, LSR) & 1) seen.push(uart.read(0, DATA));
  assert.deepEqual(seen, [1, 2, 3, 4]);
});
