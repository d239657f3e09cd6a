import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { loadSoftCode } from '#src/backend/node/soft-code.js';
import { ManualClock } from '#src/base/clock.js';
import type { Vcpu } from '#src/engine/engine.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import { buildMachine, createMachine } from '#src/machine/create-machine.js';
import type { HostServices, Outcome } from '#src/machine/machine.js';
import type { PcMachine } from '#src/machine/pc-machine.js';
import { ChassisProcess } from '../cli/chassis.js';
import { Random } from '../isa/random.js';
import { config, testHost } from '../machine/rig.js';
import { flatFirmware, type Kind, kinds, randomFirmware } from './random-firmware.js';

/** Turns of the event loop after which a guest has run long enough. */
const TURNS = 5;
/** Time is what instructions and looks at it take: the same guest goes the same way every time. */
const INSTRUCTION_NS = 100;
const LOOK_NS = 50_000;

const code = await loadSoftCode();
let memory: { buffer: ArrayBufferLike } | undefined;
/** Hundreds of machines, one after the other, in one memory. */
const engine = new SoftEngine({
  ...code,
  createMemory(pages) {
    memory ??= code.createMemory(pages);
    new Uint8Array(memory.buffer).fill(0);
    return memory;
  },
});

class CountingClock extends ManualClock {
  vcpu: Vcpu | undefined;
  override nowNs(): number {
    this.ns += LOOK_NS;
    return this.ns + (this.vcpu?.retired?.() ?? 0) * INSTRUCTION_NS;
  }
}

/** Runs `firmware` until it ends or its turns are over. */
async function runWild(firmware: Uint8Array): Promise<Outcome> {
  const { host } = testHost(engine);
  const clock = new CountingClock();
  let turns = 0;
  let machine: PcMachine | undefined;
  const turn = (callback: () => void): void => {
    if (++turns === TURNS) machine!.stop();
    // A stopped machine's loop needs one more turn to notice.
    if (turns <= TURNS + 2) setImmediate(callback);
  };
  const services: HostServices = {
    ...host,
    clock,
    schedule: {
      soon: turn,
      after(delayMs, callback) {
        clock.advance(delayMs * 1e6);
        let wanted = true;
        turn(() => wanted && callback());
        return () => {
          wanted = false;
        };
      },
    },
  };
  const devices = [{ name: 'isa-debug-exit', options: { iobase: '0xf4' } }];
  const image = { name: 'random.bin', data: firmware };
  machine = buildMachine(config({ devices, firmware: image }), services);
  clock.vcpu = machine.vcpus[0];
  machine.powerOn();
  return machine.run();
}

test('a machine whose firmware is random bytes ends or goes on, and never throws', async (t) => {
  const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() & 0xfff_ffff);
  const runs = Number(process.env.CHASSIS_FUZZ_CASES ?? 200);
  t.diagnostic(`seed ${seed} (CHASSIS_FUZZ_SEED repeats it)`);
  const ends = new Map<string, number>();
  for (let n = 0; n < runs; n++) {
    const random = new Random(Math.imul(seed + n, 0x2545_f491));
    const kind: Kind = random.pick(kinds);
    const firmware = randomFirmware(random, kind);
    const outcome = await runWild(firmware).catch((cause) => {
      throw new Error(`seed ${seed + n}, ${kind}`, { cause });
    });
    const what = `${kind} ${outcome.kind}`;
    ends.set(what, (ends.get(what) ?? 0) + 1);
  }
  t.diagnostic(
    [...ends]
      .sort()
      .map(([what, count]) => `${what}: ${count}`)
      .join(', '),
  );
});

/** A firmware that is halts, with code at its reset vector's jump target. */
function firmware(bytes: readonly number[]): Uint8Array {
  const image = new Uint8Array(0x1_0000).fill(0xf4);
  image.set(bytes, 0x8000);
  image.set([0xea, 0x00, 0x80, 0x00, 0xf0], 0xfff0);
  return image;
}

/** mov dx,first; mov eax,-1; again: out dx,{al,ax,eax}; in {al,ax,eax},dx; inc dx; jnz again; hlt */
const everyPort = (first: number) => [
  ...[0xba, first & 0xff, first >> 8, 0x66, 0xb8, 0xff, 0xff, 0xff, 0xff],
  ...[0xee, 0xef, 0x66, 0xef, 0xec, 0xed, 0x66, 0xed, 0x42, 0x75, 0xf5, 0xf4],
];

test('a guest that writes all ones to every port in every width goes on or ends', async () => {
  // Behind the ports that reset or power off as well.
  for (const first of [0, 0x65, 0x93, 0x608, 0xcfa, 0xae14]) {
    const { kind } = await runWild(firmware(everyPort(first)));
    assert.notEqual(kind, 'crashed', `from port ${first.toString(16)}`);
  }
});

for (const [what, opcode] of [
  ['OUTSB', 0x6e],
  ['INSB to ROM', 0x6c],
  ['LODSB', 0xac],
] as const) {
  test(`a REP ${what} of 2^32 - 1 iterations lets the machine be stopped`, {
    timeout: 30_000,
  }, async () => {
    // mov ecx,-1; mov dx,80; mov edi,F0000; mov esi,0; rep ...
    const code = [0xb9, 0xff, 0xff, 0xff, 0xff, 0xba, 0x80, 0, 0, 0, 0xbf, 0, 0, 0x0f, 0];
    const outcome = await runWild(flatFirmware([...code, 0xbe, 0, 0, 0, 0, 0xf3, opcode, 0xf4]));
    assert.equal(outcome.kind, 'stopped');
  });
}

/** mov dr0,4; mov dr7: reads and writes of 4 bytes there; int1: its own vector is watched. */
const watchedVector = [
  ...[0x66, 0xb8, 4, 0, 0, 0, 0x0f, 0x23, 0xc0],
  ...[0x66, 0xb8, 0x02, 0x04, 0x0f, 0x00, 0x0f, 0x23, 0xf8, 0xf1, 0xf4],
];

test('a #DB whose delivery raises the next #DB lets the machine be stopped', async () => {
  const { kind } = await runWild(firmware(watchedVector));
  assert.equal(kind, 'stopped');
});

/** lidt of nothing; int3. */
const tripleFault = firmware([0x2e, 0x0f, 0x01, 0x1e, 0x10, 0x80, 0xcc].concat(Array(16).fill(0)));

test('a triple fault is a crash of the guest, with a report', async () => {
  const outcome = await runWild(tripleFault);
  assert.ok(outcome.kind === 'crashed');
  assert.equal(outcome.reason, 'triple fault');
  assert.match(outcome.report, /rip=0000000000008006/);
});

test('a triple fault ends the command with status 75', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-wild-'));
  try {
    const file = join(folder, 'bios.bin');
    writeFileSync(file, tripleFault);
    const { status, err } = await new ChassisProcess(['run', '--firmware', file]).ended;
    assert.equal(status, 75, err);
    assert.match(err, /triple fault/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a guest that halts with interrupts off sleeps until it is stopped', async () => {
  const { host } = testHost(engine);
  const image = { name: 'halt.bin', data: firmware([0xfa, 0xf4]) };
  const machine = createMachine(config({ firmware: image }), host);
  let outcome: Outcome | undefined;
  const ended = machine.run().then((value) => {
    outcome = value;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { user, system } = process.cpuUsage(before);
  assert.equal(outcome, undefined, 'goes on');
  assert.ok(user + system < 100_000, `${user + system} us of processor time in 300 ms`);
  machine.stop();
  await ended;
  assert.deepEqual(outcome, { kind: 'stopped' });
});
