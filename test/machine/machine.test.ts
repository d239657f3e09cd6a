import assert from 'node:assert/strict';
import test from 'node:test';
import type { Exit, InlineBus } from '#src/engine/engine.js';
import { createMachine } from '#src/machine/create-machine.js';
import { FakeEngine, type FakeVcpu } from './fake-engine.js';
import { config, testHost } from './rig.js';

const halt: Exit = { kind: 'hlt' };
const go: Exit = { kind: 'intr' };

/** A machine whose guest does each step once, then halts. */
function machine(steps: ((bus: InlineBus, vcpu: FakeVcpu) => Exit)[], more = {}) {
  let at = 0;
  const engine = new FakeEngine((bus, vcpu) => (steps[at++] ?? (() => halt))(bus, vcpu));
  const rig = testHost(engine);
  return { ...rig, engine, machine: createMachine(config(more), rig.host) };
}

test('ACPI power-off ends the run', async () => {
  const rig = machine([
    (bus) => {
      bus.portWrite(0x604, 2, 0x2000);
      return go;
    },
  ]);
  assert.deepEqual(await rig.machine.run(), { kind: 'powered-off' });
});

test('isa-debug-exit ends the run with its status', async () => {
  const devices = [{ name: 'isa-debug-exit', options: { iobase: '0xf4' } }];
  const rig = machine(
    [
      (bus) => {
        bus.portWrite(0xf4, 1, 0x10);
        return go;
      },
    ],
    { devices },
  );
  assert.deepEqual(await rig.machine.run(), { kind: 'debug-exit', status: 0x21 });
});

test('a triple fault is a crash with a report', async () => {
  const rig = machine([() => ({ kind: 'shutdown' })]);
  const outcome = await rig.machine.run();
  assert.ok(outcome.kind === 'crashed' && outcome.report.includes('rip=000000000000fff0'));
});

test('a bug of the engine rejects', async () => {
  const rig = machine([() => ({ kind: 'internal-error', message: 'broken', cause: undefined })]);
  await assert.rejects(rig.machine.run(), /broken/);
});

for (const [who, port, value] of [
  ['reset control register', 0xcf9, 6],
  ['keyboard controller', 0x64, 0xfe],
  ['port 92h', 0x92, 1],
] as const) {
  test(`a reset by the ${who} starts the guest again`, async () => {
    const rig = machine([
      (bus, vcpu) => {
        bus.portWrite(0x3fb, 1, 0x83);
        vcpu.record = {
          ...vcpu.record,
          registers: { ...vcpu.record.registers, rip: 5n },
        };
        bus.portWrite(port, 1, value);
        return go;
      },
      (bus, vcpu) => {
        assert.equal(vcpu.record.registers.rip, 0xfff0n);
        assert.equal(bus.portRead(0x3fb, 1), 0);
        bus.portWrite(0x604, 2, 0x2000);
        return go;
      },
    ]);
    assert.deepEqual(await rig.machine.run(), { kind: 'powered-off' });
  });
}

test('with reboot set to end, a reset ends the run', async () => {
  const rig = machine(
    [
      (bus) => {
        bus.portWrite(0xcf9, 1, 6);
        return go;
      },
    ],
    { reboot: 'end' },
  );
  assert.deepEqual(await rig.machine.run(), { kind: 'reset' });
});

test('a halted guest sleeps until its timer, and is not run meanwhile', async () => {
  const rig = machine([
    (bus) => {
      // PIC: vectors at 0x20, all but the timer masked. PIT: one shot after 50 ms.
      for (const [port, value] of [
        [0x20, 0x11],
        [0x21, 0x20],
        [0x21, 0x04],
        [0x21, 0x01],
        [0x21, 0xfe],
        [0x43, 0x30],
        [0x40, 59659 & 0xff],
        [0x40, 59659 >> 8],
      ] as const) {
        bus.portWrite(port, 1, value);
      }
      return halt;
    },
    (bus, vcpu) => {
      assert.equal(vcpu.vm.interrupts.acknowledge(0), 0x20);
      bus.portWrite(0x604, 2, 0x2000);
      return go;
    },
  ]);
  const before = performance.now();
  assert.deepEqual(await rig.machine.run(), { kind: 'powered-off' });
  assert.ok(performance.now() - before >= 49);
  assert.equal(rig.engine.vm.vcpu.runs, 2);
});

test('input from the host wakes a halted guest', async () => {
  const rig = machine([
    (bus) => {
      bus.portWrite(0x21, 1, 0xef);
      bus.portWrite(0x3fc, 1, 0x0b);
      bus.portWrite(0x3f9, 1, 0x01);
      return halt;
    },
    (bus) => {
      if ((bus.portRead(0x3fd, 1) & 1) === 0) return halt;
      bus.portWrite(0x3f8, 1, bus.portRead(0x3f8, 1));
      bus.portWrite(0x604, 2, 0x2000);
      return go;
    },
  ]);
  setTimeout(() => rig.serial.type('A'), 20);
  assert.deepEqual(await rig.machine.run(), { kind: 'powered-off' });
  assert.equal(rig.serial.text, 'A');
});

test('stop works before, during and between runs', async () => {
  const rig = machine([]);
  rig.machine.stop();
  assert.deepEqual(await rig.machine.run(), { kind: 'stopped' });
  setTimeout(() => rig.machine.stop(), 5);
  assert.deepEqual(await rig.machine.run(), { kind: 'stopped' });
});

test('the event loop breathes while the guest is busy', async () => {
  let ticks = 0;
  const rig = machine(
    Array.from({ length: 40 }, () => () => {
      const until = performance.now() + 1;
      while (performance.now() < until);
      return go;
    }),
  );
  const interval = setInterval(() => ticks++, 1);
  setTimeout(() => rig.machine.stop(), 45);
  await rig.machine.run();
  clearInterval(interval);
  assert.ok(ticks >= 4);
});

test('PAM switches between firmware and RAM, and write-only RAM is written', async () => {
  const rig = machine([
    (bus, vcpu) => {
      const { memory, slots } = vcpu.vm;
      const byteAt = (gpa: number) => {
        const slot = [...slots.values()].find(
          (one) => gpa >= one.gpa && gpa < one.gpa + one.sizeBytes,
        );
        return slot === undefined ? -1 : memory.bytes[slot.place + gpa - slot.gpa];
      };
      const pam = (value: number) => {
        bus.portWrite(0xcf8, 4, 0x8000_0058);
        bus.portWrite(0xcfd, 1, value);
      };
      assert.equal(byteAt(0xf_0000), 0xf4);
      assert.equal(byteAt(0xffff_fff0), 0xf4);
      assert.equal(byteAt(0xa_0000), -1);
      assert.equal(byteAt(0xc_0000), -1);
      pam(0x20);
      bus.mmioWrite(0xf_1234, 4, 0x1122_3344);
      assert.equal(byteAt(0xf_1234), 0xf4);
      pam(0x30);
      assert.equal(byteAt(0xf_1234), 0x44);
      assert.equal(byteAt(0xf_1237), 0x11);
      pam(0x10);
      const shadow = [...slots.values()].find((one) => one.gpa === 0xf_0000);
      assert.equal(shadow?.readonly, true);
      bus.portWrite(0x604, 2, 0x2000);
      return go;
    },
  ]);
  assert.deepEqual(await rig.machine.run(), { kind: 'powered-off' });
});

test('A20 follows port 92h and the keyboard controller', async () => {
  const seen: boolean[] = [];
  const rig = machine([
    (bus, vcpu) => {
      const look = () => seen.push(vcpu.vm.a20);
      look();
      bus.portWrite(0x64, 1, 0xd1);
      bus.portWrite(0x60, 1, 0xdd);
      look();
      bus.portWrite(0x92, 1, 2);
      look();
      bus.portWrite(0x604, 2, 0x2000);
      return go;
    },
  ]);
  await rig.machine.run();
  assert.deepEqual(seen, [true, false, true]);
});

test('inspection lists devices, PCI functions and memory', () => {
  const { devices, pci, memoryMap } = machine([]).machine.inspect();
  for (const name of ['pic8259', 'pit8254', 'rtc146818', 'i8042', 'com1', 'ioapic', 'fw-cfg']) {
    assert.ok(
      devices.some((device) => device.name === name),
      name,
    );
  }
  assert.deepEqual(
    pci.map(({ address, deviceId }) => [address, deviceId]),
    [
      ['00:00.0', 0x1237],
      ['00:01.0', 0x7000],
      ['00:01.3', 0x7113],
    ],
  );
  assert.deepEqual(
    memoryMap.map(({ gpa, what }) => [gpa, what]),
    [
      [0, 'ram'],
      [0xe_0000, 'firmware'],
      [0x10_0000, 'ram'],
      [0xfffe_0000, 'firmware'],
    ],
  );
});

test('traces say what happens', async () => {
  const rig = machine(
    [
      (bus) => {
        bus.portWrite(0x80, 1, 0x55);
        bus.mmioRead(0xfec0_0000, 4);
        bus.portWrite(0xcf9, 1, 6);
        return go;
      },
      () => ({ kind: 'shutdown' }),
    ],
    { trace: ['io', 'mmio', 'resets', 'exits'] },
  );
  await rig.machine.run();
  const text = rig.trace.join('\n');
  assert.match(text, /io: out 0x80 1 0x55/);
  assert.match(text, /mmio: read 0xfec00000 4 -> 0x0/);
  assert.match(text, /resets: by the reset control register/);
  assert.match(text, /exits: shutdown/);
});
