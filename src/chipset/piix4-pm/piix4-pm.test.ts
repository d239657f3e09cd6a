import assert from 'node:assert/strict';
import test from 'node:test';
import { ManualClock } from '../../base/clock.js';
import { CodecError, decode, encode } from '../../base/codec.js';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { ManualTimers } from '../../device/timer.js';
import { Piix4Pm, type Piix4PmOptions } from './piix4-pm.js';
import { PM_TIMER_HZ } from './registers.js';

conform(
  test,
  (ctx) =>
    new Piix4Pm({
      clock: ctx.clock,
      timers: ctx.timers,
      sci: ctx.line('sci'),
      onIoBase() {},
      onPowerOff() {},
    }),
);

const [STS, EN, CNT, TMR, GPSTS, GPEN] = [0, 2, 4, 8, 0xc, 0xe];

function board(options?: Piix4PmOptions) {
  const clock = new ManualClock();
  const timers = new ManualTimers();
  const sci = new RecordingLine();
  const events: (string | number | undefined)[] = [];
  const pm = new Piix4Pm(
    {
      clock,
      timers,
      sci,
      onIoBase: (base) => events.push(base),
      onPowerOff: () => events.push('off'),
    },
    options,
  );
  const pass = (ns: number) => {
    clock.advance(ns);
    timers.fire(clock.nowNs());
  };
  return { pm, clock, timers, sci, events, pass };
}

test('identity [PIIX4 7.1]', () => {
  const { pm } = board();
  assert.equal(pm.pci.configRead(0, 4), 0x7113_8086);
  assert.equal(pm.pci.configRead(8, 4), 0x0680_0003);
  assert.equal(pm.pci.configRead(0x3c, 2), 0x0109);
});

test('what SeaBIOS does: PMBA and PMREGMISC move the ports', () => {
  const { pm, events } = board({ ioBase: 0x4000 });
  assert.equal(pm.pmBase, 0x4000);
  pm.pci.configWrite(0x40, 4, 0x601);
  assert.equal(pm.pci.configRead(0x40, 4), 0x601);
  pm.pci.configWrite(0x80, 1, 1);
  pm.pci.configWrite(0x80, 1, 0);
  pm.pci.configWrite(0x80, 1, 1);
  assert.deepEqual(events, [0x600, undefined, 0x600]);
  pm.reset();
  assert.equal(events.at(-1), 0x4000);
});

test('the PM timer counts at 3.579545 MHz in 24 or 32 bits [ACPI 4.8.3.3]', () => {
  const { pm, clock } = board();
  clock.ns = 1e9;
  assert.equal(pm.read(0, TMR, 4), PM_TIMER_HZ);
  clock.ns = 5e9;
  assert.equal(pm.read(0, TMR, 4), (PM_TIMER_HZ * 5) & 0xff_ffff);
  assert.equal(pm.read(0, TMR + 1, 2), ((PM_TIMER_HZ * 5) >>> 8) & 0xffff);
  const wide = board({ timerBits: 32 });
  wide.clock.ns = 3600e9;
  assert.equal(wide.pm.read(0, TMR, 4), (PM_TIMER_HZ * 3600) % 2 ** 32);
});

test('an overflow of the timer raises the SCI once it is enabled', () => {
  const { pm, sci, pass } = board();
  pm.write(0, EN, 2, 1);
  pm.write(1, 0, 1, 0xf1);
  pass(2.3e9);
  assert.equal(sci.high, false);
  pass(0.1e9);
  assert.equal(sci.high, true);
  assert.equal(pm.read(0, STS, 2), 1);
  pm.write(0, STS, 2, 1);
  assert.equal(sci.high, false);
  assert.equal(pm.read(0, STS, 2), 0);
  pass(2.3e9);
  assert.equal(sci.high, true);
});

test('without TMROF_EN the overflow shows in status and no timer is armed', () => {
  const { pm, timers, sci, clock } = board();
  pm.write(0, CNT, 2, 1);
  assert.equal(timers.nextNs(), Number.POSITIVE_INFINITY);
  clock.advance(3e9);
  assert.equal(pm.read(0, STS, 4), 1);
  assert.equal(sci.high, false);
});

test('the power button: status, enable and SCI_EN together make an SCI', () => {
  const { pm, sci } = board();
  pm.press();
  assert.equal(pm.read(0, STS, 2), 0x100);
  pm.write(0, EN, 2, 0x100);
  assert.equal(sci.high, false);
  pm.write(1, 0, 1, 0xf1);
  assert.equal(sci.high, true);
  pm.write(0, STS + 1, 1, 0x01);
  assert.equal(sci.high, false);
});

test('APMC hands ACPI over and back; APMS is a scratch byte', () => {
  const { pm } = board();
  pm.write(1, 0, 1, 0xf1);
  assert.equal(pm.read(0, CNT, 2) & 1, 1);
  assert.equal(pm.read(1, 0, 1), 0xf1);
  pm.write(1, 0, 1, 0xf0);
  assert.equal(pm.read(0, CNT, 2) & 1, 0);
  pm.write(1, 1, 1, 0x5a);
  assert.equal(pm.read(1, 1, 1), 0x5a);
});

test('SUS_EN with type 0 powers off; other types do not; SUS_EN reads zero [PIIX4 7.2.3]', () => {
  const { pm, events } = board();
  pm.write(0, CNT, 2, 0x3401 | (1 << 13));
  assert.deepEqual(events, []);
  assert.equal(pm.read(0, CNT, 2), 0x1401);
  pm.write(0, CNT, 2, 0x0001);
  assert.deepEqual(events, []);
  pm.write(0, CNT, 2, 0x2001);
  assert.deepEqual(events, ['off']);
  assert.equal(pm.read(0, CNT, 2), 0x0001);
});

test('general-purpose events', () => {
  const { pm, sci } = board();
  pm.write(0, CNT, 2, 1);
  pm.write(0, GPEN, 2, 0x0002);
  pm.raiseGpe(3);
  assert.equal(sci.high, false);
  pm.raiseGpe(1);
  assert.equal(sci.high, true);
  assert.equal(pm.read(0, GPSTS, 4), 0x0002_000a);
  pm.write(0, GPSTS, 1, 0x02);
  assert.equal(sci.high, false);
  assert.equal(pm.read(0, GPSTS, 2), 0x0008);
});

test('state with reserved bits or a strange tick is refused', () => {
  const { pm } = board();
  const good = encode(pm.stateCodec, pm.save());
  const fields: [number, number][] = [
    [256, 0x02],
    [258, 0x02],
    [261, 0x20],
    [275, 0xff],
  ];
  for (const [at, value] of fields) {
    const bad = good.slice();
    bad[at] = value;
    assert.throws(() => decode(pm.stateCodec, bad), CodecError, `byte ${at}`);
  }
});
