import assert from 'node:assert/strict';
import test from 'node:test';
import type { Exit } from '#src/engine/engine.js';
import { createMachine } from '#src/machine/create-machine.js';
import { loadMachine } from '#src/machine/snapshot.js';
import { FakeEngine } from './fake-engine.js';
import { config, testHost } from './rig.js';

const SLICES = 400;
const ACCESSES = 250;
const WIDTHS = [1, 2, 4] as const;

/** xorshift32. */
function seeded(seed: number): (below: number) => number {
  let x = seed | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** A guest that knows nothing and touches everything: ports, MMIO, and DMA by fw_cfg. */
function wildEngine(seed: number): FakeEngine {
  const random = seeded(seed);
  return new FakeEngine((bus, vcpu): Exit => {
    for (let i = 0; i < ACCESSES; i++) {
      const width = WIDTHS[random(3)]!;
      const value = (random(2) === 0 ? random(256) : random(2 ** 32)) % 2 ** (8 * width);
      // Half of the accesses go where the chips are.
      const port = random(2) === 0 ? random(0x1_0000) : random(0x1000);
      switch (random(6)) {
        case 0:
        case 1:
          bus.portWrite(port, width, value);
          break;
        case 2:
          bus.portRead(port, width);
          break;
        case 3:
          bus.mmioWrite(
            random(2) === 0 ? 0xfec0_0000 + random(0x40) : random(2 ** 32),
            width,
            value,
          );
          break;
        case 4:
          bus.mmioRead(random(2 ** 32), width);
          break;
        default:
          bus.portWrite(0x514, 4, 0);
          bus.portWrite(0x518, 4, random(0x40) << 24);
      }
    }
    vcpu.vm.interrupts.acknowledge(0);
    vcpu.vm.interrupts.lapicWrite(0, random(0x40) * 16, random(2 ** 32));
    return random(8) === 0 ? { kind: 'hlt' } : { kind: 'intr' };
  });
}

test('a guest that runs wild in I/O space never throws, and can be saved', async (t) => {
  const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() & 0xfff_ffff);
  t.diagnostic(`seed ${seed} (CHASSIS_FUZZ_SEED repeats it)`);
  const engine = wildEngine(seed);
  const machine = createMachine(config(), testHost(engine).host);
  for (let slice = 0; slice < SLICES; slice++) {
    const run = machine.run();
    const stop = setImmediate(() => machine.stop());
    const { kind } = await run;
    clearImmediate(stop);
    assert.ok(['stopped', 'powered-off', 'reset'].includes(kind), kind);
  }
  assert.ok(engine.vm.vcpu.runs > SLICES / 4);
  const saved = machine.save();
  const copy = loadMachine({ name: 'wild.snap', data: saved }, testHost(wildEngine(1)).host);
  assert.equal(Buffer.compare(copy.save(), saved), 0);
});
