import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { encode } from '#src/base/codec.js';
import { ioapicCodec } from '#src/chipset/ioapic/state.js';
import { lapicCodec } from '#src/chipset/lapic/state.js';
import { pic8259Codec } from '#src/chipset/pic8259/state.js';
import { pit8254Codec } from '#src/chipset/pit8254/state.js';
import { loadKvmEngine } from '#src/engine/kvm/kvm-engine.js';
import type { ChipRecords, PicRecord } from '#src/engine/records.js';
import { createMachine } from '#src/machine/create-machine.js';
import { config, testHost } from '../machine/rig.js';
import { EngineRig, kvm } from './engines.js';

const skip = kvm.problem ?? false;
const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? 20_261_122);

const byte = fc.nat(0xff);
const chip = (elcr: number): fc.Arbitrary<PicRecord> =>
  fc.record({
    lines: byte,
    irr: byte,
    isr: byte,
    imr: byte,
    vectorBase: byte.map((bits) => bits & 0xf8),
    topPriority: fc.nat(7),
    expects: fc.constantFrom('mask', 'icw2', 'icw3', 'icw4'),
    icw4Follows: fc.boolean(),
    single: fc.constant(false),
    autoEoi: fc.boolean(),
    rotateInAutoEoi: fc.boolean(),
    specialMask: fc.boolean(),
    specialFullyNested: fc.boolean(),
    readIsr: fc.boolean(),
    poll: fc.boolean(),
    elcr: byte.map((bits) => bits & elcr),
  });

/** A VM with the kernel's chips, and those chips as they come. */
function chips() {
  const { host } = testHost(loadKvmEngine());
  const machine = createMachine(config(), host);
  const { vm } = machine as unknown as {
    vm: { chips: { get(): ChipRecords; set(c: ChipRecords): void } };
  };
  return { chips: vm.chips, machine };
}

test('the 8259 pair goes into the kernel and comes back as it was', { skip }, () => {
  const { chips: kernel, machine } = chips();
  const fresh = kernel.get();
  fc.assert(
    fc.property(chip(0xf8), chip(0xde), (master, slave) => {
      kernel.set({ ...fresh, pic: { master, slave } });
      const { pic } = kernel.get();
      // The kernel follows the cascade itself, and pulses the timer's input.
      const own = (one: PicRecord) => ({ ...one, lines: one.lines & ~5, irr: one.irr & ~4 });
      assert.deepEqual(own(pic.master), own(master));
      assert.deepEqual(pic.slave, { ...slave });
      encode(pic8259Codec, pic);
    }),
    { numRuns: 50, seed },
  );
  machine.close();
});

test('the IOAPIC goes into the kernel and comes back as it was', { skip }, () => {
  const { chips: kernel, machine } = chips();
  const fresh = kernel.get();
  const entry = fc.tuple(fc.nat(0xff), byte, fc.boolean()).map(([dest, vector, level]) => {
    // Masked: nothing is delivered.
    const low = BigInt(vector) | (level ? 0x8000n : 0n) | 0x1_0000n;
    return (BigInt(dest) << 56n) | low;
  });
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 24, maxLength: 24 }),
      fc.nat(15),
      fc.nat(0xff),
      fc.nat(0xff_ffff),
      (redirection, id, select, lines) => {
        const ioApic = { redirection, id, select, lines };
        kernel.set({ ...fresh, ioApic });
        const got = kernel.get().ioApic;
        assert.deepEqual(got, ioApic);
        encode(ioapicCodec, got);
      },
    ),
    { numRuns: 50, seed },
  );
  machine.close();
});

test('the 8254 goes into the kernel and comes back, but for where in its period it was', {
  skip,
}, () => {
  const { chips: kernel, machine } = chips();
  const fresh = kernel.get();
  const channel = fc.record({
    mode: fc.nat(5),
    bcd: fc.boolean(),
    access: fc.integer({ min: 1, max: 3 }),
    reload: fc.integer({ min: 1, max: 0xffff }),
    gate: fc.boolean(),
    latchedCount: fc.nat(0xffff),
    latchedStatus: byte,
    lowByte: byte,
  });
  fc.assert(
    fc.property(fc.array(channel, { minLength: 3, maxLength: 3 }), (some) => {
      const channels = some.map((one, i) => ({
        ...fresh.pit.channels[i]!,
        ...one,
        phase: 'counting' as const,
        period: one.reload,
        gate: i < 2 ? one.gate : false,
      }));
      kernel.set({ ...fresh, pit: { ...fresh.pit, channels } });
      const got = kernel.get().pit;
      got.channels.forEach((one, i) => {
        const { elapsed, since, running, ...rest } = one;
        const { elapsed: _e, since: _s, running: _r, ...wanted } = channels[i]!;
        assert.deepEqual(rest, wanted);
        assert.ok(elapsed >= 0 && since >= 0 && running === one.gate);
      });
      encode(pit8254Codec, got);
    }),
    { numRuns: 50, seed },
  );
  machine.close();
});

test('a local APIC goes into the kernel and comes back, its timer on the machine’s clock', {
  skip,
}, () => {
  const rig = new EngineRig(loadKvmEngine(), [0xf4], { ownChips: true });
  const { vcpu, clock } = rig;
  clock.advance(5e9);
  // On, and that of the CPU that boots.
  const record = { ...vcpu.getLocalApic(), base: 0xfee0_0900n };
  const view = new DataView(record.registers.buffer);
  encode(lapicCodec, { ...record, registers: withVersion(record.registers) });
  // SVR on; timer periodic, divided by 16; an interrupt requested and one in service; TPR.
  const words: [number, number][] = [
    [0x20, 0],
    [0x80, 0x20],
    [0xd0, 0x0100_0000],
    [0xe0, 0xffff_ffff],
    [0xf0, 0x1ff],
    [0x320, 0x2_0040],
    [0x380, 1_000_000],
    [0x3e0, 3],
    [0x140, 1],
    [0x220, 4],
  ];
  for (const [offset, value] of words) view.setUint32(offset, value, true);
  vcpu.setLocalApic({ ...record, timerNs: 5e9 + 8_000_000 });
  const got = vcpu.getLocalApic();
  const gotView = new DataView(got.registers.buffer);
  for (const [offset, value] of words) {
    assert.equal(gotView.getUint32(offset, true), value, `0x${offset.toString(16)}`);
  }
  // The kernel's timer goes on, this clock stands still.
  assert.ok(got.timerNs > 5e9 && got.timerNs <= 5e9 + 8_000_016, `${got.timerNs}`);
  // A TSC deadline.
  view.setUint32(0x320, 0x4_0040, true);
  vcpu.setLocalApic({ ...record, timerNs: 6e9, tscDeadline: 77n });
  const deadline = vcpu.getLocalApic();
  assert.ok(Math.abs(deadline.timerNs - 6e9) < 100e6, `${deadline.timerNs}`);
  rig.vm.close();
});

function withVersion(registers: Uint8Array): Uint8Array {
  assert.equal(new DataView(registers.buffer).getUint32(0x30, true), 0x5_0014);
  return registers;
}
