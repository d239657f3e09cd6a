import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { loadSoftCode } from '#src/backend/node/soft-code.js';
import type { Engine } from '#src/engine/engine.js';
import { loadKvmEngine } from '#src/engine/kvm/kvm-engine.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import type { MachineConfig } from '#src/machine/config.js';
import { createMachine } from '#src/machine/create-machine.js';
import type { Machine } from '#src/machine/machine.js';
import { MachineError } from '#src/machine/machine-error.js';
import { loadMachine } from '#src/machine/snapshot.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';
import { config, testHost } from '../machine/rig.js';
import { kvm } from './engines.js';
import { tickFirmware, tickLines } from './tick-guest.js';

const skip = kvm.problem ?? false;
const TICKS = 12;

async function engineCalled(name: 'soft' | 'kvm'): Promise<Engine> {
  return name === 'kvm' ? loadKvmEngine() : new SoftEngine(await loadSoftCode());
}

const hostOf = async (name: 'soft' | 'kvm') => {
  const rig = testHost(await engineCalled(name));
  const peer = await engineCalled(name === 'kvm' ? 'soft' : 'kvm');
  return { ...rig, host: { ...rig.host, peerCpuid: (vcpus: number) => peer.cpuid(vcpus) } };
};

/** Runs until there are some more lines on the debug console; a line may be cut by the stop. */
async function hear(machine: Machine, console: { text: string }, lines: number): Promise<void> {
  await runUntil(machine, () => console.text.split('\n').length > lines);
}

async function runUntil(machine: Machine, enough: () => boolean): Promise<void> {
  const patience = performance.now() + 20_000;
  const look = setInterval(() => {
    if (enough() || performance.now() > patience) machine.stop();
  }, 2);
  const outcome = await machine.run();
  clearInterval(look);
  assert.equal(outcome.kind, 'stopped');
  assert.ok(enough(), 'waited in vain');
}

/** What a guest says while it is carried from engine to engine, all in one. */
async function journey(stops: readonly ('soft' | 'kvm')[]): Promise<string> {
  let heard = '';
  let snapshot: Uint8Array | undefined;
  for (const stop of stops) {
    const { host, debugcon } = await hostOf(stop);
    const wanted: MachineConfig = config({ firmware: tickFirmware, cpu: 'common' });
    const machine =
      snapshot === undefined
        ? createMachine(wanted, host)
        : loadMachine({ name: 'tick.snap', data: snapshot }, host);
    await hear(machine, debugcon, TICKS);
    heard += debugcon.text;
    snapshot = machine.save();
    machine.close();
  }
  return heard;
}

for (const stops of [
  ['kvm', 'soft', 'kvm', 'soft'],
  ['soft', 'kvm', 'soft', 'kvm'],
  ['kvm', 'kvm', 'kvm'],
] as const) {
  test(`a guest goes from ${stops.join(' to ')} in the middle of its work, its output unbroken`, {
    skip,
    timeout: 60_000,
  }, async () => {
    const heard = (await journey(stops)).split('\n');
    const last = heard.pop()!;
    assert.ok(heard.length >= TICKS * stops.length);
    const wanted = tickLines(heard.length + 1);
    assert.deepEqual(heard, wanted.slice(0, -1));
    assert.ok(wanted.at(-1)!.startsWith(last));
  });
}

/** SeaBIOS, stopped and carried on at each of these lines of its log. */
const lines = [
  'PCI device probing',
  'Found \\d cpu',
  'Scan for VGA',
  'All threads comp',
  'e820 map has',
];

for (const [what, stops, cpus] of [
  ['from engine to engine', ['soft', 'kvm', 'soft', 'kvm', 'soft'], 1],
  ['with two vCPUs', ['kvm', 'kvm', 'kvm', 'kvm', 'kvm'], 2],
] as const) {
  test(`SeaBIOS is carried on in the middle of its POST, ${what}`, {
    skip: skip || needsGuests('bios-256k.bin').skip,
    timeout: 90_000,
  }, async () => {
    const data = new Uint8Array(readFileSync(guestFile('bios-256k.bin')));
    const firmware = { name: 'bios', data };
    const wanted = config({ firmware, cpus, cpu: 'common', memoryBytes: 32 << 20 });
    let log = '';
    let saved: Uint8Array | undefined;
    for (const [i, stop] of stops.entries()) {
      const { host, debugcon } = await hostOf(stop);
      const machine =
        saved === undefined
          ? createMachine(wanted, host)
          : loadMachine({ name: 'bios.snap', data: saved }, host);
      const line = new RegExp(lines[i]!);
      await runUntil(machine, () => line.test(log + debugcon.text));
      log += debugcon.text;
      saved = machine.save();
      machine.close();
    }
    assert.match(log, new RegExp(lines.join('[^]*')));
    assert.match(log, new RegExp(`Found ${cpus} cpu\\(s\\)`));
    // Nothing twice, nothing torn.
    assert.equal(log.split('PCI device probing').length, 2);
    assert.equal(log.split('Scan for VGA option rom').length, 2);
  });
}

test('a stopped machine that runs on has lost no tick and gained none', { skip }, async () => {
  const { host, debugcon } = await hostOf('kvm');
  const machine = createMachine(config({ firmware: tickFirmware }), host);
  await hear(machine, debugcon, 5);
  const before = debugcon.text.split('\n').length;
  // A hundred ticks' worth of the host's time.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const start = performance.now();
  await hear(machine, debugcon, before + 4);
  const heard = debugcon.text.split('\n').slice(0, -1);
  const possible = (performance.now() - start) / 5 + 2;
  assert.ok(heard.length - before <= possible, `${heard.length - before} ticks of ${possible}`);
  assert.deepEqual(heard, tickLines(heard.length));
  machine.close();
});

test('what a snapshot says under kvm is what it says again when it is saved at once', {
  skip,
}, async () => {
  const { host, debugcon } = await hostOf('kvm');
  const machine = createMachine(config({ firmware: tickFirmware }), host);
  await hear(machine, debugcon, 3);
  const first = machine.save();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(Buffer.compare(machine.save(), first) === 0);
  machine.close();
});

test('a guest with features that the engine has not is refused by their names', {
  skip,
}, async () => {
  const soft = await hostOf('soft');
  const offered = soft.host.engine.cpuid(1);
  const cpuid = offered.map((entry) =>
    entry.leaf === 1 ? { ...entry, ecx: entry.ecx | (1 << 28) | (1 << 12) } : entry,
  );
  const machine = createMachine(config({ firmware: tickFirmware, cpuid }), soft.host);
  const data = machine.save();
  assert.throws(
    () => loadMachine({ name: 'avx.snap', data }, soft.host),
    (error: unknown) =>
      error instanceof MachineError &&
      error.code === 'bad-input' &&
      /^avx\.snap: cpuid: found a guest whose CPU has FMA, AVX, wanted .*soft/.test(error.message),
  );
});
