import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { loopGuest, loopGuestStatus } from '../guests/loop-guest.js';
import { chassis } from './chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-check-jit-'));
after(() => rmSync(folder, { recursive: true }));

const loop = join(folder, 'loop');
writeFileSync(loop, loopGuest);
const run = (...flags: string[]) =>
  chassis('run', '--engine', 'soft', '--kernel', loop, '--device', 'isa-debug-exit', ...flags);

test('a guest runs under --check-jit as without', async () => {
  const { status, err } = await run('--check-jit');
  assert.equal(err, '');
  assert.equal(status, loopGuestStatus);
});

test('code that is translated wrongly ends a run with both states, the code and 70', async () => {
  const fault = new URL('../engine/planted-fault.js', import.meta.url);
  process.env.NODE_OPTIONS = `--import=data:text/javascript,import{plantFault}from'${fault}';plantFault()`;
  try {
    assert.notEqual((await run()).status, 70, 'nobody looks');
    const { status, err } = await run('--check-jit');
    assert.equal(status, 70);
    assert.match(err, /--check-jit: the region at 100025 and the interpreter: they differ/);
    assert.match(err, /\n {15}translated +interpreted\n\* rax +[\da-f]{16} {2}[\da-f]{16}\n/);
    assert.match(err, /\n {2}100025 {2}sub +eax,0x3 /);
  } finally {
    delete process.env.NODE_OPTIONS;
  }
});
