import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { loopGuest, loopGuestStatus } from '../guests/loop-guest.js';
import { ChassisProcess } from './chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-trace-jit-'));
after(() => rmSync(folder, { recursive: true }));

function start(kernel: Uint8Array): ChassisProcess {
  const file = join(folder, 'kernel');
  writeFileSync(file, kernel);
  const flags = ['--engine', 'soft', '--trace', 'jit', '--device', 'isa-debug-exit'];
  return new ChassisProcess(['run', '--kernel', file, ...flags]);
}

/** What ECX counts down. */
const loops = 500_000_000;

/** The last statistics that were printed. */
function statistics(text: string) {
  const line = text.split('\n').findLast((one) => one.startsWith('jit: {'));
  return line && JSON.parse(line.slice('jit: '.length));
}

test('--trace jit says what is translated, and at the end what became of it', async () => {
  // Much longer: the thread that translates has to start first.
  const long = loopGuest.slice();
  new DataView(long.buffer).setUint32(0x21, loops, true);
  const { status, err } = await start(long).ended;
  assert.equal(status, loopGuestStatus);
  assert.match(
    err,
    /^jit: 100025 at [\da-f]+: 4 instructions in 2 blocks, 8 bytes; 1 of 1 in \d+ bytes of wasm, translated in \d+ us, compiled in \d+ us$/m,
  );
  for (const row of [
    'regions alive +1',
    'regions evicted +0',
    'bytes of wasm alive +\\d+',
    'entries by the run loop +\\d+',
    'instructions run in regions +\\d+ \\(\\d\\d\\.\\d % of all\\)',
    'instructions per dispatch +[\\d.]+',
    'dispatches that leave generated code +[\\d.]+ %',
    'exits: interrupt or budget +\\d+',
    'exits: to the interpreter +\\d+',
    'exits: unknown target +\\d+',
    'exits: guard +0',
    'longest pause for translation, ms +[\\d.]+',
  ]) {
    assert.match(err, new RegExp(`^jit: ${row}$`, 'm'));
  }
  const counted = statistics(err);
  assert.ok(counted.retired > loops && counted.retired < 3 * loops + 10, `${counted.retired}`);
  assert.ok(counted.instructionsPerDispatch > 200);
  assert.equal(counted.translated, 1);
});

test('--trace jit shows the same on SIGUSR2 while the guest runs', async () => {
  const endless = loopGuest.slice();
  // jmp 100025 in place of mov al,5
  endless.set([0xeb, 0xf8], 0x2b);
  const run = start(endless);
  const shown = async (): Promise<number> => {
    const before = run.err.length;
    run.signal('SIGUSR2');
    while (!/jit: \{.*\n/.test(run.err.slice(before))) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return statistics(run.err).retired;
  };
  while (!/jit: 100025/.test(run.err)) await new Promise((resolve) => setTimeout(resolve, 20));
  const first = await shown();
  assert.ok((await shown()) > first);
  run.signal('SIGTERM');
  assert.equal((await run.ended).status, 128 + 15);
});
