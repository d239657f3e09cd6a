import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../base/clock.js';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { ManualTimers } from '../../device/timer.js';
import { getTime, nextAlarm, putTime, timeByte } from './calendar.js';
import { cmosForMemory, setBootOrder } from './cmos.js';
import { Rtc146818 } from './rtc146818.js';

conform(
  test,
  (c) =>
    new Rtc146818(
      { clock: c.clock, timers: c.timers, irq: c.line('irq8'), nmiMask: c.line('nmi') },
      { cmos: cmosForMemory(2 ** 29, 0) },
    ),
);

const SECOND = 1e9;

function rig(date = '2026-11-22T21:50:58.000Z', cmos?: Uint8Array) {
  const clock = new ManualClock();
  clock.wallBaseMs = Date.parse(date);
  const timers = new ManualTimers();
  const irq = new RecordingLine();
  const nmiMask = new RecordingLine();
  const rtc = new Rtc146818({ clock, timers, irq, nmiMask }, cmos ? { cmos } : {});
  const read = (index: number) => {
    rtc.write(0, 0, 1, index);
    return rtc.read(0, 1);
  };
  const write = (index: number, value: number) => {
    rtc.write(0, 0, 1, index);
    rtc.write(0, 1, 1, value);
  };
  /** Moves on and fires what is due on the way, each at its own time. */
  const wait = (ns: number) => {
    const end = clock.ns + ns;
    while (timers.nextNs() <= end) {
      clock.ns = timers.nextNs();
      timers.fire(clock.ns);
    }
    clock.ns = end;
  };
  const time = () => [0x32, 0x09, 0x08, 0x07, 0x04, 0x02, 0x00].map(read);
  return { rtc, clock, timers, irq, nmiMask, read, write, wait, time };
}

test('rtc146818: tells the host’s time in BCD and 24 hours after reset', () => {
  const { read, time, wait } = rig();
  assert.deepEqual(time(), [0x20, 0x26, 0x11, 0x22, 0x21, 0x50, 0x58]);
  assert.equal(read(0x06), 1, 'a Sunday');
  assert.deepEqual([read(0x0a), read(0x0b), read(0x0d)], [0x26, 0x02, 0x80]);
  wait(2 * SECOND);
  assert.deepEqual(time().slice(5), [0x51, 0x00]);
});

test('rtc146818: binary and twelve-hour forms', () => {
  const { write, time, read } = rig();
  write(0x0b, 0x06);
  assert.deepEqual(time(), [20, 26, 11, 22, 21, 50, 58]);
  write(0x0b, 0x04);
  assert.equal(read(0x04), 0x80 | 9);
  write(0x0b, 0x00);
  assert.equal(read(0x04), 0x89);
  for (const [hour, twelve] of [
    [0, 0x12],
    [11, 0x11],
    [12, 0x92],
    [23, 0x91],
  ]) {
    assert.equal(timeByte(4, Date.UTC(2026, 0, 1, hour), 0), twelve);
  }
});

/** drivers/rtc/rtc-mc146818-lib.c, mc146818_set_time(). */
test('rtc146818: set as Linux sets it, the clock goes on from there', () => {
  const { read, write, time, wait, clock } = rig();
  write(0x0b, 0x82);
  write(0x0a, 0x66);
  wait(5 * SECOND);
  for (const [index, value] of [
    [0x09, 0x31],
    [0x08, 0x12],
    [0x07, 0x31],
    [0x04, 0x23],
    [0x02, 0x59],
    [0x00, 0x59],
    [0x32, 0x19],
  ]) {
    write(index!, value!);
  }
  assert.equal(read(0x00), 0x59, 'it stands');
  write(0x0b, 0x02);
  write(0x0a, 0x26);
  assert.deepEqual(time(), [0x19, 0x31, 0x12, 0x31, 0x23, 0x59, 0x59]);
  wait(0.499 * SECOND);
  assert.equal(read(0x00), 0x59);
  wait(0.002 * SECOND);
  assert.deepEqual(time(), [0x19, 0x32, 0x01, 0x01, 0x00, 0x00, 0x00], 'half a second later');
  clock.wallBaseMs += 3_600_000;
  assert.equal(read(0x04), 0x01, 'it follows the host’s clock');
});

test('rtc146818: time written without SET is taken at once', () => {
  const { write, time } = rig();
  write(0x04, 0x03);
  write(0x09, 0x99);
  assert.deepEqual(time(), [0x20, 0x99, 0x11, 0x22, 0x03, 0x50, 0x58]);
});

test('rtc146818: UIP is up for the 2,228 us before a second ends', () => {
  const { read, wait, write } = rig();
  assert.equal(read(0x0a), 0x26);
  wait(SECOND - 2_300_000);
  assert.equal(read(0x0a), 0x26);
  wait(100_000);
  assert.equal(read(0x0a), 0xa6);
  assert.equal(read(0x00), 0x58);
  write(0x0b, 0x82);
  assert.equal(read(0x0a), 0x26, 'SET stops updates');
  write(0x0b, 0x02);
  wait(2_200_000);
  assert.equal(read(0x0a), 0x26);
  assert.equal(read(0x00), 0x59);
});

test('rtc146818: update-ended interrupts each second until C is read', () => {
  const { read, write, wait, irq, timers } = rig();
  write(0x0b, 0x12);
  wait(SECOND + 1000);
  assert.equal(irq.high, true);
  assert.equal(timers.nextNs(), Number.POSITIVE_INFINITY, 'nothing to wait for meanwhile');
  assert.equal(read(0x0c), 0xd0, 'the periodic flag rises whether enabled or not');
  assert.equal(irq.high, false);
  assert.equal(read(0x0c), 0x00);
  wait(SECOND);
  assert.equal(irq.pulses, 2);
  write(0x0b, 0x92);
  assert.equal(read(0x0b), 0x82, 'SET clears UIE');
});

test('rtc146818: flags rise without interrupts too, for those who poll', () => {
  const { read, wait, irq } = rig();
  read(0x0c);
  wait(SECOND);
  assert.equal(read(0x0c), 0x50);
  assert.equal(irq.pulses, 0);
});

test('rtc146818: an alarm at a time of day, and with wildcards', () => {
  const { read, write, wait, irq } = rig();
  write(0x05, 0x21);
  write(0x03, 0x51);
  write(0x01, 0x30);
  write(0x0b, 0x22);
  wait(31 * SECOND);
  assert.equal(irq.high, false);
  wait(2 * SECOND);
  assert.equal(irq.high, true);
  assert.equal(read(0x0c) & 0xa0, 0xa0);
  wait(3600 * SECOND);
  assert.equal(irq.high, false, 'once a day');
  write(0x05, 0xff);
  write(0x03, 0xc0);
  irq.pulses = 0;
  for (let i = 0; i < 5; i++) {
    wait(60 * SECOND);
    assert.equal(read(0x0c) & 0xa0, 0xa0);
  }
  assert.equal(irq.pulses, 5, 'each minute');
});

test('rtc146818: periodic interrupts at the rates of the table', () => {
  for (const [rate, hz] of [
    [1, 256],
    [2, 128],
    [3, 8192],
    [6, 1024],
    [15, 2],
  ]) {
    const { read, write, wait, irq, timers, clock } = rig();
    write(0x0a, 0x20 | rate!);
    write(0x0b, 0x42);
    // Halfway between the ticks, so that none falls on the moment of a read.
    const period = SECOND / hz!;
    wait(Math.floor(period / 2));
    for (let i = 1; i <= 64; i++) {
      wait(Math.floor((i + 0.5) * period) - clock.ns);
      assert.equal(read(0x0c) & 0xc0, 0xc0);
    }
    assert.equal(irq.pulses, 64, `at ${hz} Hz`);
    write(0x0a, 0x20);
    assert.equal(timers.nextNs(), Number.POSITIVE_INFINITY, 'rate 0 is off');
  }
});

test('rtc146818: RAM in both banks, and the NMI mask bit', () => {
  const { rtc, read, write, nmiMask } = rig();
  write(0x0f, 0x5a);
  write(0x7f, 0xa5);
  assert.deepEqual([read(0x0f), read(0x7f)], [0x5a, 0xa5]);
  assert.equal(nmiMask.high, false);
  assert.equal(read(0x8f), 0x5a);
  assert.equal(nmiMask.high, true);
  rtc.write(0, 2, 1, 0x0f);
  rtc.write(0, 3, 1, 0x77);
  assert.equal(rtc.read(0, 3), 0x77);
  assert.equal(read(0x0f), 0x5a);
  write(0x0d, 0x00);
  assert.equal(read(0x0d), 0x80);
});

test('rtc146818: RAM and time outlive a warm reset, interrupts do not', () => {
  const { rtc, read, write, wait, irq, timers } = rig();
  write(0x0f, 0x0a);
  write(0x04, 0x03);
  write(0x0b, 0x72);
  wait(SECOND);
  assert.equal(irq.high, true);
  rtc.reset('warm');
  assert.equal(irq.high, false);
  assert.equal(timers.nextNs(), Number.POSITIVE_INFINITY);
  assert.deepEqual([read(0x0f), read(0x04), read(0x0b)], [0x0a, 0x03, 0x02]);
  rtc.reset('power-on');
  assert.deepEqual([read(0x0f), read(0x04)], [0x00, 0x21]);
});

test('rtc146818: memory sizes where SeaBIOS looks for them', () => {
  const word = (cmos: Uint8Array, at: number) => cmos[at]! | (cmos[at + 1]! << 8);
  const small = cmosForMemory(8 * 2 ** 20, 0);
  assert.deepEqual(
    [0x15, 0x17, 0x30, 0x34].map((at) => word(small, at)),
    [640, 7168, 7168, 0],
  );
  const large = cmosForMemory(3 * 2 ** 30, 5 * 2 ** 30);
  assert.deepEqual(
    [0x15, 0x17, 0x30, 0x34].map((at) => word(large, at)),
    [640, 65535, 65535, 0xbf00],
  );
  assert.deepEqual([...large.subarray(0x5b, 0x5e)], [0x00, 0x40, 0x01]);
  setBootOrder(large, ['cd', 'disk', 'network']);
  const { read } = rig(undefined, large);
  assert.deepEqual([read(0x3d), read(0x38), read(0x35)], [0x23, 0x40, 0xbf]);
});

test('rtc146818: dates go into the bytes and come back, in each form', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 9999 }),
      fc.integer({ min: 0, max: 366 * 86_400 - 1 }),
      fc.constantFrom(0, 2, 4, 6),
      (year, second, b) => {
        const date = new Date(second * 1000);
        date.setUTCFullYear(year, 0, 1 + Math.floor(second / 86_400));
        if (date.getUTCFullYear() > 9999) return;
        const ram = new Uint8Array(256);
        putTime(ram, date.getTime(), b);
        assert.equal(getTime(ram, b), date.getTime());
      },
    ),
  );
});

test('rtc146818: the next alarm is the first second that matches', () => {
  const part = (limit: number) => fc.oneof(fc.integer({ min: 0, max: limit }), fc.constant(0xff));
  fc.assert(
    fc.property(
      part(25),
      part(61),
      part(61),
      fc.integer({ min: 0, max: 2 * 86_400 }),
      (h, m, s, after) => {
        const ram = new Uint8Array(256);
        [ram[5], ram[3], ram[1]] = [h, m, s];
        const fits = (wanted: number, value: number) => wanted === 0xff || wanted === value;
        let expected = Number.POSITIVE_INFINITY;
        for (let t = after + 1; t <= after + 86_400; t++) {
          const [hh, mm, ss] = [Math.floor(t / 3600) % 24, Math.floor(t / 60) % 60, t % 60];
          if (fits(h, hh) && fits(m, mm) && fits(s, ss)) {
            expected = t;
            break;
          }
        }
        assert.equal(nextAlarm(ram, 0x06, after), expected);
      },
    ),
    { numRuns: 200 },
  );
});
