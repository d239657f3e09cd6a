import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../base/clock.js';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { ManualTimers } from '../../device/timer.js';
import { nsAt, Pit8254, ticksAt } from './pit8254.js';

conform(test, (c) => new Pit8254({ clock: c.clock, timers: c.timers, irq: c.line('irq0') }));

function rig() {
  const clock = new ManualClock();
  const timers = new ManualTimers();
  const irq = new RecordingLine();
  const pit = new Pit8254({ clock, timers, irq });
  const write = (port: number, ...values: number[]) => {
    for (const v of values) pit.write(port === 0x61 ? 1 : 0, port === 0x61 ? 0 : port - 0x40, 1, v);
  };
  const read = (port: number) => pit.read(port === 0x61 ? 1 : 0, port === 0x61 ? 0 : port - 0x40);
  const readWord = (port: number) => read(port) | (read(port) << 8);
  /** Moves to a tick and fires what is due on the way, each at its own time. */
  const go = (tick: number) => {
    while (timers.nextNs() <= nsAt(tick)) {
      clock.ns = timers.nextNs();
      timers.fire(clock.ns);
    }
    clock.ns = nsAt(tick);
  };
  const status = (channel: number) => {
    write(0x43, 0xe0 | (2 << channel));
    return read(0x40 + channel);
  };
  return { clock, timers, irq, pit, write, read, readWord, go, status };
}

test('pit8254: ticks and nanoseconds agree at any distance', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e13 }), (tick) => {
      assert.equal(ticksAt(nsAt(tick)), tick);
      if (tick > 0) assert.equal(ticksAt(nsAt(tick) - 1), tick - 1);
    }),
  );
  assert.equal(ticksAt(1e9), 1_193_182);
});

test('pit8254: mode 2 with count 11932 interrupts a hundred times a second', () => {
  const { irq, write, go } = rig();
  write(0x43, 0x34);
  write(0x40, 11932 & 0xff, 11932 >> 8);
  irq.pulses = 0;
  go(1 + 11932 * 100);
  assert.equal(irq.pulses, 100);
  assert.equal(irq.high, true);
});

test('pit8254: mode 2 counts N to 1 and reads a consistent latch', () => {
  const { write, read, readWord, go } = rig();
  write(0x43, 0x34);
  write(0x40, 0x00, 0x10);
  go(1);
  assert.equal(readWord(0x40), 0x1000);
  go(2);
  assert.equal(readWord(0x40), 0x0fff);
  write(0x43, 0x00);
  go(300);
  write(0x43, 0x00);
  assert.equal(read(0x40), 0xff, 'the first latch holds');
  assert.equal(read(0x40), 0x0f);
  go(1 + 0x0fff);
  assert.equal(readWord(0x40), 1);
  go(1 + 0x1000);
  assert.equal(readWord(0x40), 0x1000);
});

test('pit8254: mode 0 raises its output N + 1 clocks after the count, once', () => {
  const { irq, write, read, go } = rig();
  write(0x43, 0x10);
  assert.equal(irq.high, false);
  write(0x40, 10);
  go(10);
  assert.equal(irq.high, false);
  go(11);
  assert.equal(irq.high, true);
  assert.equal(read(0x40), 0);
  go(12);
  assert.equal(read(0x40), 0xff, 'it counts on past zero');
  go(100_000);
  assert.equal(irq.pulses, 1, 'power-on is none');
  write(0x40, 5);
  assert.equal(irq.high, false);
  go(100_006);
  assert.equal(irq.high, true);
});

test('pit8254: mode 0 stops between the two bytes of a count', () => {
  const { irq, write, go } = rig();
  write(0x43, 0x30);
  write(0x40, 4);
  go(50);
  assert.equal(irq.high, false);
  write(0x40, 0);
  go(54);
  assert.equal(irq.high, false);
  go(55);
  assert.equal(irq.high, true);
});

test('pit8254: mode 4, as Linux programs its next event, strobes once', () => {
  const { irq, write, go, timers } = rig();
  write(0x43, 0x38);
  write(0x40, 0xe8, 0x03);
  irq.pulses = 0;
  go(1 + 1000);
  assert.equal(irq.pulses, 0);
  go(2 + 1000);
  assert.equal(irq.pulses, 1);
  assert.equal(timers.nextNs(), Number.POSITIVE_INFINITY);
});

test('pit8254: mode 3 is high for the longer half, and counts by two', () => {
  const { write, readWord, go, status } = rig();
  write(0x43, 0x36);
  write(0x40, 5, 0);
  const seen: [number, boolean][] = [];
  for (let tick = 1; tick <= 5; tick++) {
    go(tick);
    seen.push([readWord(0x40), (status(0) & 0x80) !== 0]);
  }
  assert.deepEqual(seen, [
    [4, true],
    [2, true],
    [0, true],
    [4, false],
    [2, false],
  ]);
});

test('pit8254: a count of 0 is 65536, or 10000 in BCD', () => {
  const { irq, write, readWord, go } = rig();
  write(0x43, 0x34);
  write(0x40, 0, 0);
  irq.pulses = 0;
  go(1 + 0x1_0000 - 1);
  assert.equal(irq.pulses, 0);
  go(1 + 0x1_0000);
  assert.equal(irq.pulses, 1);
  write(0x43, 0x35);
  write(0x40, 0, 0);
  go(0x1_0002 + 1);
  assert.equal(readWord(0x40), 0x9999);
  go(0x1_0002 + 9_999);
  assert.equal(readWord(0x40), 0x0001);
});

test('pit8254: a new count of a running mode 2 waits for the end of the cycle', () => {
  const { irq, write, readWord, go, status } = rig();
  write(0x43, 0x34);
  write(0x40, 100, 0);
  irq.pulses = 0;
  go(31);
  assert.equal(status(0) & 0x40, 0);
  write(0x40, 20, 0);
  assert.equal(status(0) & 0x40, 0x40, 'null count: not loaded yet');
  assert.equal(readWord(0x40), 70);
  go(101);
  assert.equal(irq.pulses, 1);
  assert.equal(readWord(0x40), 20);
  assert.equal(status(0) & 0x40, 0);
  go(101 + 60);
  assert.equal(irq.pulses, 4);
});

test('pit8254: access by low byte, high byte, and both', () => {
  const { write, read, go } = rig();
  write(0x43, 0x14);
  write(0x40, 0x80);
  go(2);
  assert.equal(read(0x40), 0x7f);
  assert.equal(read(0x40), 0x7f);
  write(0x43, 0x24);
  write(0x40, 0x80);
  go(3);
  assert.equal(read(0x40), 0x80);
  go(4);
  assert.equal(read(0x40), 0x7f);
});

test('pit8254: read-back latches status and count, status first', () => {
  const { write, read, go, status } = rig();
  write(0x43, 0xb6);
  assert.equal(status(2), 0xf6, 'out high, null count, both bytes, mode 3');
  write(0x42, 0x34, 0x12);
  write(0x43, 0xc8);
  go(500);
  assert.equal(read(0x42), 0xf6, 'its gate is low, but the count was not loaded at the latch');
  assert.deepEqual([read(0x42), read(0x42)], [0x34, 0x12]);
  assert.equal(status(2), 0xb6);
});

test('pit8254: port 61h gates counter 2 and shows its output', () => {
  const { write, read, go, status, irq } = rig();
  irq.pulses = 0;
  // Linux's TSC calibration: mode 0 on counter 2, gate up, wait for bit 5.
  write(0x61, (read(0x61) & ~0x02) | 0x01);
  write(0x43, 0xb0);
  write(0x42, 0xff, 0xff);
  assert.equal(read(0x61) & 0x20, 0);
  go(0xffff);
  assert.equal(read(0x61) & 0x20, 0);
  go(0x1_0000);
  assert.equal(read(0x61) & 0x20, 0x20);
  assert.equal(irq.pulses, 0, 'counter 2 interrupts nobody');
  // Mode 0 freezes while its gate is down.
  write(0x43, 0x90);
  write(0x42, 100);
  go(0x1_0000 + 11);
  write(0x61, 0);
  go(0x1_0000 + 500);
  assert.equal(read(0x42), 90);
  assert.equal(status(2) & 0x80, 0);
  write(0x61, 1);
  go(0x1_0000 + 590);
  assert.equal(status(2) & 0x80, 0x80);
});

test('pit8254: mode 1 starts on a rising gate and starts again on the next', () => {
  const { write, read, go } = rig();
  write(0x43, 0x92);
  write(0x42, 10);
  go(20);
  assert.equal(read(0x61) & 0x20, 0x20);
  write(0x61, 1);
  go(25);
  assert.equal(read(0x61) & 0x20, 0);
  assert.equal(read(0x42), 5);
  write(0x61, 0);
  write(0x61, 1);
  go(34);
  assert.equal(read(0x61) & 0x20, 0);
  go(35);
  assert.equal(read(0x61) & 0x20, 0x20);
});

test('pit8254: the refresh bit of port 61h toggles every 15 us', () => {
  const { read, go } = rig();
  const seen: number[] = [];
  for (let tick = 0; tick < 72; tick += 18) {
    go(tick);
    seen.push(read(0x61) & 0x10);
  }
  assert.deepEqual(seen, [0, 0x10, 0, 0x10]);
});

test('pit8254: edges that pile up while nobody fires timers become one', () => {
  const { irq, write, clock, timers } = rig();
  write(0x43, 0x14);
  write(0x40, 2);
  irq.pulses = 0;
  clock.ns = 1e9;
  timers.fire(clock.ns);
  assert.equal(irq.pulses, 1);
  assert.ok(timers.nextNs() > clock.ns);
});

/** Counter 0 one clock at a time, as the data sheet tells it. */
class Reference {
  count = 0;
  out: boolean;
  private half = 0;
  private loadNext = true;

  constructor(
    private readonly mode: number,
    private reload: number,
  ) {
    this.out = mode !== 0;
  }

  write(count: number): void {
    this.reload = count;
    if (this.mode === 0) this.out = false;
    if (this.mode === 0 || this.mode === 4) this.loadNext = true;
  }

  clock(): void {
    if (this.loadNext) {
      this.loadNext = false;
      this.count = this.reload;
      if (this.mode === 3) this.startHalf(true);
      if (this.mode === 4) this.out = true;
      return;
    }
    if (this.mode === 3) {
      if (--this.half === 0) this.startHalf(!this.out);
      return;
    }
    this.count = (this.count - 1) & 0xffff;
    if (this.mode === 0 && this.count === 0) this.out = true;
    if (this.mode === 2) {
      this.out = this.count !== 1;
      if (this.count === 0) this.count = this.reload;
    }
    if (this.mode === 4) this.out = this.count !== 0;
  }

  private startHalf(high: boolean): void {
    this.out = high;
    this.half = high ? (this.reload + 1) >> 1 : this.reload >> 1;
  }
}

test('pit8254: output and interrupts agree with a clock-by-clock reference', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 2, 3, 4),
      fc.integer({ min: 2, max: 40 }),
      fc.array(fc.record({ after: fc.nat(60), count: fc.integer({ min: 2, max: 40 }) }), {
        maxLength: 4,
      }),
      (mode, first, later) => {
        const { write, go, status, irq } = rig();
        write(0x43, 0x10 | (mode << 1));
        write(0x40, first);
        irq.pulses = 0;
        const reference = new Reference(mode, first);
        let tick = 0;
        let rises = 0;
        const run = (ticks: number) => {
          for (let i = 0; i < ticks; i++) {
            const before = reference.out;
            reference.clock();
            if (reference.out && !before) rises++;
            go(++tick);
            assert.equal((status(0) & 0x80) !== 0, reference.out, `mode ${mode}, tick ${tick}`);
            assert.equal(irq.pulses, rises, `interrupts of mode ${mode} at tick ${tick}`);
          }
        };
        for (const { after, count } of later) {
          run(after);
          const before = reference.out;
          reference.write(count);
          write(0x40, count);
          if (reference.out && !before) rises++;
        }
        run(120);
      },
    ),
    { numRuns: 200 },
  );
});
