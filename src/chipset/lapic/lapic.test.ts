import assert from 'node:assert/strict';
import test from 'node:test';
import { Worker } from 'node:worker_threads';
import { ManualClock } from '../../base/clock.js';
import { CodecError, decode, encode } from '../../base/codec.js';
import { conform } from '../../device/conformance.js';
import { ManualTimers } from '../../device/timer.js';
import { ApicBus } from './apic-bus.js';
import { Lapic, type LapicOptions } from './lapic.js';
import { esr, lvt, lvtRegisters, reg, timerMode } from './registers.js';
import { LAPIC_WORDS } from './state.js';

conform(
  test,
  ({ clock, timers }) =>
    new Lapic(
      new Int32Array(LAPIC_WORDS),
      { id: 0, tscHz: 1e9 },
      { clock, timers, signal() {}, startUp() {}, sendIpi() {}, broadcastEoi() {} },
    ),
);

/** CPUs 0 to count - 1 on one bus; `log` tells what reached whom. */
function board(count = 1, options: Partial<LapicOptions> = {}) {
  const clock = new ManualClock();
  const timers = new ManualTimers();
  const log: string[] = [];
  const lapics: Lapic[] = [];
  const bus = new ApicBus(lapics);
  for (let id = 0; id < count; id++) {
    const words = new Int32Array(new SharedArrayBuffer(4 * LAPIC_WORDS));
    lapics.push(
      new Lapic(
        words,
        { id, tscHz: 2e9, ...options },
        {
          clock,
          timers,
          signal: (what) => log.push(`${what} ${id}`),
          startUp: (vector) => log.push(`start ${id} ${vector}`),
          sendIpi: (...message) => bus.sendIpi(id, ...message),
          broadcastEoi: (vector) => log.push(`eoi ${vector}`),
        },
      ),
    );
  }
  const cpu = lapics[0]!;
  const enable = () => {
    for (const lapic of lapics) lapic.write(reg.svr, 0x1ff);
  };
  const pass = (ns: number) => {
    clock.advance(ns);
    timers.fire(clock.nowNs());
  };
  /** Takes the pending interrupt as a CPU does. */
  const take = (lapic = cpu) => {
    const vector = lapic.pendingVector();
    if (vector >= 0) lapic.acknowledge(vector);
    return vector;
  };
  return { clock, timers, log, lapics, bus, cpu, enable, pass, take };
}

test('state after reset [SDM 3A 11.4.7.1]', () => {
  const { lapics } = board(2);
  const [bsp, ap] = lapics as [Lapic, Lapic];
  assert.equal(ap.read(reg.id), 0x0100_0000);
  assert.equal(ap.read(reg.version), 0x0005_0014);
  assert.equal(ap.read(reg.svr), 0xff);
  assert.equal(ap.read(reg.dfr), 0xffff_ffff);
  assert.equal(ap.read(reg.ldr), 0);
  for (const register of lvtRegisters) assert.equal(ap.read(register), 0x1_0000);
  assert.equal(bsp.read(reg.lvtLint0), 0x700);
  assert.equal(bsp.readMsr(0x1b, 0), 0xfee0_0900);
  assert.equal(ap.readMsr(0x1b, 0), 0xfee0_0800);
  assert.equal(bsp.mmioBase, 0xfee0_0000);
});

test('a second object over the same words sees the same APIC and resets nothing', () => {
  const words = new Int32Array(LAPIC_WORDS);
  const { clock, timers } = board();
  const wiring = {
    clock,
    timers,
    signal() {},
    startUp() {},
    sendIpi() {},
    broadcastEoi() {},
  };
  const one = new Lapic(words, { id: 3, tscHz: 1e9 }, wiring);
  one.write(reg.svr, 0x1ff);
  const other = new Lapic(words, { id: 3, tscHz: 1e9 }, wiring);
  assert.equal(other.accept(0x40, false), true);
  assert.equal(one.pendingVector(), 0x40);
});

test('interrupts are taken by priority class, and EOI lets the next through [SDM 3A 11.8]', () => {
  const { cpu, enable, take, log } = board();
  enable();
  cpu.accept(0x31, false);
  cpu.accept(0x42, false);
  cpu.accept(0x41, false);
  assert.equal(take(), 0x42);
  assert.equal(cpu.read(reg.ppr), 0x40);
  assert.equal(take(), -1);
  cpu.accept(0x51, false);
  assert.equal(take(), 0x51);
  cpu.write(reg.eoi, 0);
  assert.equal(take(), -1);
  log.length = 0;
  cpu.write(reg.eoi, 0);
  assert.deepEqual(log, ['interrupt 0']);
  assert.equal(take(), 0x41);
  cpu.write(reg.eoi, 0);
  assert.equal(take(), 0x31);
  assert.equal(cpu.read(reg.isr + 0x10), 1 << 17);
});

test('TPR holds its class and below back', () => {
  const { cpu, enable, take, log } = board();
  enable();
  cpu.write(reg.tpr, 0x4f);
  cpu.accept(0x4f, false);
  assert.equal(cpu.pendingVector(), -1);
  assert.equal(cpu.read(reg.ppr), 0x4f);
  cpu.accept(0x50, false);
  assert.equal(take(), 0x50);
  cpu.write(reg.eoi, 0);
  log.length = 0;
  cpu.write(reg.tpr, 0x3f);
  assert.deepEqual(log, ['interrupt 0']);
  assert.equal(take(), 0x4f);
});

test('level-triggered interrupts tell the IOAPICs at EOI, edge-triggered ones do not', () => {
  const { cpu, enable, take, log } = board();
  enable();
  cpu.accept(0x30, true);
  assert.equal(cpu.read(reg.tmr + 0x10), 1 << 16);
  take();
  cpu.write(reg.eoi, 0);
  assert.ok(log.includes('eoi 48'));
  cpu.accept(0x30, false);
  assert.equal(cpu.read(reg.tmr + 0x10), 0);
  take();
  log.length = 0;
  cpu.write(reg.eoi, 0);
  assert.deepEqual(log, []);
});

test('software-disabled: no fixed interrupts, LVT masked; NMI and INIT still come', () => {
  const { cpu, bus, log } = board();
  assert.equal(cpu.accept(0x40, false), false);
  cpu.write(reg.lvtTimer, 0x40);
  assert.equal(cpu.read(reg.lvtTimer), 0x1_0040);
  bus.deliver(0, false, 4, 0, false);
  bus.deliver(0, false, 5, 0, false);
  assert.deepEqual(log, ['nmi 0', 'init 0']);
  cpu.write(reg.svr, 0x1ff);
  cpu.write(reg.lvtTimer, 0x40);
  assert.equal(cpu.read(reg.lvtTimer), 0x40);
  cpu.write(reg.svr, 0xff);
  assert.equal(cpu.read(reg.lvtTimer), 0x1_0040);
});

test('vectors below 16 are errors, shown by a write to ESR [SDM 3A 11.5.3]', () => {
  const { cpu, enable, take } = board();
  enable();
  cpu.write(reg.lvtError, 0xfe);
  cpu.accept(5, false);
  assert.equal(cpu.read(reg.esr), 0);
  cpu.write(reg.esr, 0);
  assert.equal(cpu.read(reg.esr), esr.receiveVector);
  assert.equal(take(), 0xfe);
  cpu.write(reg.eoi, 0);
  cpu.write(reg.icrLow, 0x0000_000f);
  cpu.read(0x020 + 0x20);
  cpu.write(reg.esr, 0);
  assert.equal(cpu.read(reg.esr), esr.sendVector | esr.register);
  cpu.write(reg.esr, 0);
  assert.equal(cpu.read(reg.esr), 0);
});

test('an error vector that is an error itself does not go round', () => {
  const { cpu, enable } = board();
  enable();
  cpu.write(reg.lvtError, 0x0e);
  cpu.accept(3, false);
  cpu.write(reg.esr, 0);
  assert.equal(cpu.read(reg.esr), esr.receiveVector);
});

test('one-shot timer: counts down by the divider, interrupts once [SDM 3A 11.5.4]', () => {
  const { cpu, enable, pass, take } = board();
  enable();
  cpu.write(reg.lvtTimer, 0xef);
  cpu.write(reg.divide, 0b0011);
  cpu.write(reg.initialCount, 1000);
  assert.equal(cpu.read(reg.currentCount), 1000);
  pass(16 * 250);
  assert.equal(cpu.read(reg.currentCount), 750);
  cpu.write(reg.divide, 0b1011);
  assert.equal(cpu.read(reg.currentCount), 750);
  pass(749);
  assert.equal(cpu.read(reg.currentCount), 1);
  assert.equal(take(), -1);
  pass(1);
  assert.equal(cpu.read(reg.currentCount), 0);
  assert.equal(take(), 0xef);
  cpu.write(reg.eoi, 0);
  pass(1e9);
  assert.equal(take(), -1);
});

test('every divider', () => {
  const { cpu, enable, pass } = board();
  enable();
  const dividers = [
    [0b0000, 2],
    [0b0001, 4],
    [0b0010, 8],
    [0b0011, 16],
    [0b1000, 32],
    [0b1001, 64],
    [0b1010, 128],
    [0b1011, 1],
  ] as const;
  for (const [code, divisor] of dividers) {
    cpu.write(reg.divide, code);
    cpu.write(reg.initialCount, 0xffff_ffff);
    pass(divisor * 1000);
    assert.equal(cpu.read(reg.currentCount), 0xffff_ffff - 1000);
  }
});

test('periodic timer: reloads, loses ticks rather than time, and stops at count 0', () => {
  const { cpu, enable, pass, take, timers } = board();
  enable();
  cpu.write(reg.lvtTimer, timerMode.periodic | 0x60);
  cpu.write(reg.divide, 0b1011);
  cpu.write(reg.initialCount, 1_000_000);
  for (let i = 0; i < 3; i++) {
    pass(1_000_000);
    assert.equal(take(), 0x60);
    cpu.write(reg.eoi, 0);
  }
  assert.equal(timers.nextNs(), 4_000_000);
  pass(2_500_000);
  assert.equal(take(), 0x60);
  cpu.write(reg.eoi, 0);
  assert.equal(take(), -1);
  assert.equal(cpu.read(reg.currentCount), 500_000);
  assert.equal(timers.nextNs(), 6_000_000);
  cpu.write(reg.initialCount, 0);
  assert.equal(timers.nextNs(), Number.POSITIVE_INFINITY);
});

test('a periodic timer of a few nanoseconds does not storm', () => {
  const { cpu, enable, pass, timers, clock } = board();
  enable();
  cpu.write(reg.lvtTimer, timerMode.periodic | 0x60);
  cpu.write(reg.divide, 0b1011);
  cpu.write(reg.initialCount, 1);
  pass(1);
  assert.ok(timers.nextNs() - clock.nowNs() >= 100_000);
});

test('a masked timer counts and does not interrupt', () => {
  const { cpu, enable, pass, take } = board();
  enable();
  cpu.write(reg.lvtTimer, lvt.masked | 0x60);
  cpu.write(reg.initialCount, 100);
  pass(1000);
  assert.equal(cpu.read(reg.currentCount), 0);
  assert.equal(take(), -1);
});

test('TSC-deadline: arms by MSR, fires at the TSC, clears itself [SDM 3A 11.5.4.1]', () => {
  const { cpu, enable, pass, take, timers } = board();
  enable();
  cpu.writeMsr(0x6e0, 5000, 0);
  assert.equal(cpu.readMsr(0x6e0, 0), 0);
  cpu.write(reg.lvtTimer, timerMode.tscDeadline | 0x70);
  cpu.write(reg.initialCount, 1234);
  assert.equal(cpu.read(reg.initialCount), 0);
  pass(1000);
  cpu.writeMsr(0x6e0, 5000, 0);
  assert.equal(timers.nextNs(), 2500);
  assert.equal(cpu.readMsr(0x6e0, 0), 5000);
  pass(1499);
  assert.equal(take(), -1);
  pass(1);
  assert.equal(take(), 0x70);
  assert.equal(cpu.readMsr(0x6e0, 0), 0);
  cpu.write(reg.eoi, 0);
  cpu.writeMsr(0x6e0, 1, 0);
  assert.equal(take(), 0x70);
  cpu.write(reg.eoi, 0);
  cpu.writeMsr(0x6e0, 0, 1);
  assert.equal(timers.nextNs(), 2 ** 31);
  cpu.writeMsr(0x6e0, 0xffff_ffff, 0xffff_ffff);
  assert.equal(timers.nextNs(), Number.POSITIVE_INFINITY);
  assert.equal(cpu.readMsr(0x6e0, 1), 0xffff_ffff);
  cpu.writeMsr(0x6e0, 0, 1);
  cpu.write(reg.lvtTimer, 0x70);
  assert.equal(timers.nextNs(), Number.POSITIVE_INFINITY);
  assert.equal(cpu.readMsr(0x6e0, 1), 0);
});

test('LINT0 as ExtINT passes the 8259 on; masked it does not; APIC off it is INTR', () => {
  const { cpu, enable, log } = board();
  assert.equal(cpu.acceptsExtInt(), true);
  cpu.lint0.set(true);
  assert.deepEqual(log, ['interrupt 0']);
  cpu.lint0.set(false);
  enable();
  cpu.write(reg.lvtLint0, 0x1_0700);
  assert.equal(cpu.acceptsExtInt(), false);
  cpu.lint0.set(true);
  assert.deepEqual(log, ['interrupt 0']);
  cpu.write(reg.lvtLint0, 0x700);
  assert.deepEqual(log, ['interrupt 0', 'interrupt 0']);
  cpu.write(reg.lvtLint0, 0x1_0000);
  cpu.writeMsr(0x1b, 0xfee0_0000, 0);
  assert.equal(cpu.acceptsExtInt(), true);
  assert.equal(cpu.read(reg.version), 0xffff_ffff);
  assert.equal(cpu.mmioBase, undefined);
});

test('LINT1 as NMI; LINT0 as a level-triggered interrupt', () => {
  const { cpu, enable, log, take } = board();
  enable();
  cpu.write(reg.lvtLint1, 0x400);
  cpu.lint1.set(true);
  cpu.lint1.set(true);
  assert.deepEqual(log, ['nmi 0']);
  cpu.write(reg.lvtLint0, lvt.level | 0x44);
  cpu.lint0.set(true);
  assert.equal(take(), 0x44);
  assert.equal(cpu.read(reg.lvtLint0), lvt.level | lvt.remoteIrr | 0x44);
  cpu.write(reg.eoi, 0);
  assert.equal(take(), 0x44);
  cpu.lint0.set(false);
  cpu.write(reg.eoi, 0);
  assert.equal(take(), -1);
  assert.equal(cpu.read(reg.lvtLint0), lvt.level | 0x44);
});

test('IPIs: destination, shorthands, INIT-SIPI-SIPI [SDM 3A 11.6]', () => {
  const { cpu, lapics, enable, log } = board(3);
  enable();
  cpu.write(reg.icrHigh, 2 << 24);
  cpu.write(reg.icrLow, 0x4055);
  assert.deepEqual(
    lapics.map((lapic) => lapic.pendingVector()),
    [-1, -1, 0x55],
  );
  log.length = 0;
  cpu.write(reg.icrLow, 0x0004_4041);
  cpu.write(reg.icrLow, 0x0008_4042);
  cpu.write(reg.icrLow, 0x000c_4043);
  assert.deepEqual(
    lapics.map((lapic) => lapic.read(reg.irr + 0x20) & 0xe),
    [0b0110, 0b1100, 0b1100],
  );
  log.length = 0;
  cpu.write(reg.icrLow, 0x000c_c500);
  cpu.write(reg.icrLow, 0x000c_8500);
  cpu.write(reg.icrLow, 0x000c_4699);
  assert.deepEqual(log, ['init 1', 'init 2', 'start 1 153', 'start 2 153']);
  assert.equal(cpu.read(reg.icrLow), 0x000c_4699);
});

test('logical destinations: flat and cluster model [SDM 3A 11.6.2.2]', () => {
  const { lapics, bus, enable } = board(3);
  enable();
  lapics.forEach((lapic, id) => {
    lapic.write(reg.ldr, 1 << (24 + id));
  });
  const reached = (dest: number, logical = true) =>
    lapics.map((lapic) => (lapic.matches(dest, logical) ? 1 : 0)).join('');
  assert.equal(reached(0b101), '101');
  assert.equal(reached(0xff), '111');
  assert.equal(reached(1, false), '010');
  assert.equal(reached(0xff, false), '111');
  lapics.forEach((lapic, id) => {
    lapic.write(reg.dfr, 0);
    lapic.write(reg.ldr, id === 2 ? 0x2100_0000 : (0x10 | (1 << id)) * 2 ** 24);
  });
  assert.equal(reached(0x11), '100');
  assert.equal(reached(0x13), '110');
  assert.equal(reached(0x21), '001');
  assert.equal(reached(0xf1), '101');
  assert.equal(bus.deliver(0x43, true, 0, 0x40, false), false);
});

test('lowest priority goes to the least busy CPU', () => {
  const { lapics, bus, enable } = board(3);
  enable();
  lapics.forEach((lapic, id) => {
    lapic.write(reg.ldr, 1 << (24 + id));
    lapic.write(reg.tpr, [0x80, 0x20, 0x40][id]!);
  });
  assert.equal(bus.deliver(0x7, true, 1, 0x90, false), true);
  assert.deepEqual(
    lapics.map((lapic) => lapic.pendingVector()),
    [-1, 0x90, -1],
  );
});

test('x2APIC: MSRs, 32-bit ids, one 64-bit ICR, self IPI [SDM 3A 11.12]', () => {
  const { lapics, enable, log } = board(2);
  enable();
  for (const lapic of lapics) assert.equal(lapic.writeMsr(0x1b, 0xfee0_0c00, 0), true);
  const [bsp, ap] = lapics as [Lapic, Lapic];
  assert.equal(bsp.mmioBase, undefined);
  assert.equal(ap.readMsr(0x802, 0), 1);
  assert.equal(ap.readMsr(0x80d, 0), 2);
  assert.equal(bsp.readMsr(0x80e, 0), -1);
  assert.equal(bsp.readMsr(0x831, 0), -1);
  assert.equal(bsp.readMsr(0x80b, 0), -1);
  assert.equal(bsp.writeMsr(0x802, 0, 0), false);
  assert.equal(bsp.writeMsr(0x808, 0x100, 0), false);
  assert.equal(bsp.writeMsr(0x80b, 1, 0), false);
  assert.equal(bsp.writeMsr(0x830, 0x40a1, 1), true);
  assert.equal(bsp.readMsr(0x830, 1), 1);
  assert.equal(ap.pendingVector(), 0xa1);
  bsp.writeMsr(0x830, 0x4800 | 0x93, 2);
  assert.equal(ap.read(reg.irr + 0x40), 1 << 19);
  assert.equal(bsp.writeMsr(0x83f, 0x77, 0), true);
  assert.equal(bsp.pendingVector(), 0x77);
  log.length = 0;
  bsp.writeMsr(0x830, 0xc500, 0xffff_ffff);
  assert.deepEqual(log, ['init 0', 'init 1']);
  assert.equal(bsp.writeMsr(0x838, 500, 0), true);
  assert.equal(bsp.readMsr(0x839, 0), 500);
});

test('IA32_APIC_BASE: forbidden changes of mode are #GP [SDM 3A 11.12.5]', () => {
  const { cpu } = board();
  assert.equal(cpu.writeMsr(0x1b, 0xfee0_0400, 0), false);
  assert.equal(cpu.writeMsr(0x1b, 0xfee0_0801, 0), false);
  assert.equal(cpu.writeMsr(0x1b, 0xfee0_0c00, 0), true);
  assert.equal(cpu.writeMsr(0x1b, 0xfee0_0800, 0), false);
  assert.equal(cpu.writeMsr(0x1b, 0xfee0_0000, 0), true);
  assert.equal(cpu.writeMsr(0x1b, 0xfee0_0c00, 0), false);
  assert.equal(cpu.writeMsr(0x1b, 0xfed0_0800, 1), true);
  assert.equal(cpu.mmioBase, 0x1_fed0_0000);
  assert.equal(cpu.readMsr(0x1b, 0), 0xfed0_0900);
  const plain = board(1, { x2apic: false }).cpu;
  assert.equal(plain.writeMsr(0x1b, 0xfee0_0c00, 0), false);
});

test('INIT resets registers and keeps base and id [SDM 3A 11.4.7.3]', () => {
  const { cpu, enable } = board();
  enable();
  cpu.writeMsr(0x1b, 0xfed0_0800, 0);
  cpu.write(reg.tpr, 0x20);
  cpu.accept(0x50, false);
  cpu.reset('warm');
  assert.equal(cpu.mmioBase, 0xfed0_0000);
  assert.equal(cpu.read(reg.tpr), 0);
  assert.equal(cpu.pendingVector(), -1);
  cpu.reset('power-on');
  assert.equal(cpu.mmioBase, 0xfee0_0000);
});

test('saved state goes on elsewhere: pending interrupts, timer, mode', () => {
  const { cpu, enable, clock } = board();
  enable();
  cpu.accept(0x81, true);
  cpu.write(reg.lvtTimer, timerMode.periodic | 0x60);
  cpu.write(reg.divide, 0b1011);
  cpu.write(reg.initialCount, 5_000_000);
  clock.advance(2_000_000);
  const bytes = encode(cpu.stateCodec, cpu.save());
  const other = board();
  other.clock.ns = clock.ns;
  other.cpu.restore(decode(other.cpu.stateCodec, bytes));
  assert.equal(other.take(), 0x81);
  assert.equal(other.cpu.read(reg.currentCount), 3_000_000);
  assert.equal(other.timers.nextNs(), 5_000_000);
  assert.deepEqual(other.log, ['interrupt 0']);
});

test('state with reserved bits, another version or a strange deadline is refused', () => {
  const { cpu } = board();
  const good = encode(cpu.stateCodec, cpu.save());
  const page = 8;
  const broken: [number, number][] = [
    [page + 0x04, 1],
    [page + reg.version, 1],
    [page + reg.tpr + 1, 1],
    [page + reg.isr, 1],
    [page + reg.lvtTimer + 1, 1],
    [page + reg.currentCount, 1],
    [page + 0x400 + 7, 0x7f],
  ];
  for (const [at, bit] of broken) {
    const bad = good.slice();
    bad[at] = bad[at]! ^ bit;
    assert.throws(() => decode(cpu.stateCodec, bad), CodecError, `byte ${at}`);
  }
});

test('unaligned and narrow accesses answer, and writes of bytes change nothing', () => {
  const { cpu } = board();
  assert.equal(cpu.io.read(0, 0x31, 1), 0);
  assert.equal(cpu.io.read(0, 0x32, 1), 0x05);
  assert.equal(cpu.io.read(0, 0x30, 2), 0x14);
  cpu.io.write(0, 0x80, 1, 0x55);
  cpu.write(0x84, 0x55);
  assert.equal(cpu.read(reg.tpr), 0);
});

test('MSRs of every kind, with any value, never throw', () => {
  const { lapics } = board(2);
  let x = 0x5eed;
  const random = () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
  for (let i = 0; i < 20_000; i++) {
    const lapic = lapics[random() % 2]!;
    const index = [0x1b, 0x6e0, 0x800 + (random() % 0x100)][random() % 3]!;
    const low = random() % 4 === 0 ? random() : random() & 0x7ff;
    lapic.writeMsr(index, index === 0x1b ? 0xfee0_0000 | low : low, random() & random() & 3);
    const value = lapic.readMsr(index, (random() & 1) as 0 | 1);
    assert.ok(value === -1 || (value >= 0 && value < 2 ** 32), `MSR ${index}: ${value}`);
  }
});

test('no interrupt from other threads is lost', async () => {
  const words = new Int32Array(new SharedArrayBuffer(4 * LAPIC_WORDS));
  const { clock, timers } = board();
  const wiring = { clock, timers, signal() {}, startUp() {}, sendIpi() {}, broadcastEoi() {} };
  const cpu = new Lapic(words, { id: 0, tscHz: 1e9 }, wiring);
  cpu.write(reg.svr, 0x1ff);
  const code = `
    const { workerData: { words, from, lapic, device } } = require('node:worker_threads');
    Promise.all([import(lapic), import(device)]).then(([{ Lapic }, { ManualTimers }]) => {
      const none = () => {};
      const wiring = { clock: { nowNs: () => 0 }, timers: new ManualTimers(), signal: none };
      const mine = new Lapic(words, { id: 0, tscHz: 1e9 }, wiring);
      for (let vector = from; vector < 256; vector += 2) mine.accept(vector, vector % 3 === 0);
    });`;
  const lapic = new URL('./lapic.js', import.meta.url).href;
  const device = new URL('../../device/timer.js', import.meta.url).href;
  const senders = [32, 33].map(
    (from) => new Worker(code, { eval: true, workerData: { words, from, lapic, device } }),
  );
  const done = Promise.all(senders.map((one) => new Promise((end) => one.once('exit', end))));
  const taken: number[] = [];
  const drain = () => {
    for (let vector = cpu.pendingVector(); vector >= 0; vector = cpu.pendingVector()) {
      cpu.acknowledge(vector);
      taken.push(vector);
      cpu.write(reg.eoi, 0);
    }
  };
  const polling = setInterval(drain, 0);
  await done;
  clearInterval(polling);
  drain();
  taken.sort((a, b) => a - b);
  assert.deepEqual(
    taken,
    Array.from({ length: 224 }, (_, i) => 32 + i),
  );
});
