import assert from 'node:assert/strict';
import test from 'node:test';
import type { Exit } from '#src/engine/engine.js';
import { crc32 } from '#src/machine/crc32.js';
import { createMachine } from '#src/machine/create-machine.js';
import { MachineError } from '#src/machine/machine-error.js';
import { loadMachine } from '#src/machine/snapshot.js';
import { FakeEngine } from './fake-engine.js';
import { config, testHost } from './rig.js';

const go: Exit = { kind: 'intr' };

function engine() {
  return new FakeEngine((bus, vcpu) => {
    // Not the ports that reset.
    const ports = [0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x43, 0x61, 0x70, 0x71, 0x3f8, 0x3f9, 0x3fb];
    for (let i = 0; i < 200; i++) bus.portWrite(ports[i % 13]!, 1, (i * 31) & 0xff);
    bus.portWrite(0xcf8, 4, 0x8000_0058);
    bus.portWrite(0xcfc, 4, 0x3333_3010);
    vcpu.vm.memory.bytes.fill(0x5a, 0x20_0000, 0x20_3000);
    vcpu.vm.memory.bytes[0x10_0001] = 7;
    bus.portWrite(0x604, 2, 0x2000);
    return go;
  });
}

/** A machine that has done something, saved. */
async function saved(): Promise<Uint8Array> {
  const { host } = testHost(engine());
  const machine = createMachine(
    config({ devices: [{ name: 'isa-debug-exit', options: { iobase: '0x501' } }] }),
    host,
  );
  machine.stop();
  await machine.run();
  await machine.run();
  return machine.save();
}

const load = (data: Uint8Array) => loadMachine({ name: 'vm.snap', data }, testHost(engine()).host);

function rejects(data: Uint8Array, pattern: RegExp, what: string): void {
  assert.throws(
    () => load(data),
    (error: unknown) =>
      error instanceof MachineError &&
      error.code === 'bad-input' &&
      error.message.startsWith('vm.snap: ') &&
      pattern.test(error.message),
    what,
  );
}

test('CRC-32 gives its check value', () => {
  const digits = Uint8Array.from('123456789', (c) => c.charCodeAt(0));
  assert.equal(crc32(digits), 0xcbf4_3926);
  assert.equal(crc32(digits.subarray(0, 4), digits.subarray(4)), 0xcbf4_3926);
});

test('save, load, save gives the same bytes, and zero pages take no room', async () => {
  const bytes = await saved();
  assert.ok(bytes.length < 0x2_0000 + 0x4_0000);
  const again = load(bytes).save();
  assert.deepEqual(Buffer.compare(again, bytes), 0);
});

test('a loaded machine has its configuration and goes on', async () => {
  const machine = load(await saved());
  assert.equal(machine.config.memoryBytes, 4 << 20);
  assert.equal(machine.config.devices[0]?.options.iobase, '0x501');
  assert.equal((await machine.run()).kind, 'powered-off');
});

test('every truncation is found', async () => {
  const bytes = await saved();
  const step = Math.max(1, Math.floor(bytes.length / 300));
  for (let length = 0; length < bytes.length; length += step) {
    rejects(bytes.subarray(0, length), /truncated|wanted/, `${length} bytes`);
  }
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  rejects(longer, /1 bytes after it/, 'a byte more');
});

test('any flipped byte is found', async () => {
  const bytes = await saved();
  const places = new Set(Array.from({ length: 64 }, (_, i) => i));
  for (let i = 0; i < 400; i++) places.add(Math.floor((i * bytes.length) / 400));
  for (const at of places) {
    const bad = bytes.slice();
    bad[at]! ^= 1 << (at % 8);
    rejects(bad, /found/, `byte ${at}`);
  }
});

test('a newer version is rejected, of the file and of a part', async () => {
  const bytes = await saved();
  const newer = bytes.slice();
  newer[8] = 2;
  rejects(newer, /version: found 2, wanted 1 or older: it was saved by a newer chassis/, 'file');
  // The first part: length of name, "config", version, length, data, check sum.
  const part = bytes.slice();
  const view = new DataView(part.buffer);
  const start = 12;
  const versionAt = start + 1 + 'config'.length;
  view.setUint32(versionAt, 99, true);
  const end = versionAt + 8 + view.getUint32(versionAt + 4, true);
  view.setUint32(end, crc32(part.subarray(start, end)), true);
  rejects(part, /config: found version 99, wanted 1 or older/, 'part');
});
