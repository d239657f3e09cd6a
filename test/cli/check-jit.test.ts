import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { chassis } from './chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-check-jit-'));
after(() => rmSync(folder, { recursive: true }));

/** A flat Multiboot 1 kernel: mov ecx,1000000; again: sub eax,3; dec ecx; jnz again; mov al,5; out 0xf4,al; hlt */
const loop = join(folder, 'loop');
writeFileSync(
  loop,
  Buffer.from(
    '02b0ad1b00000100fe4f51e40000100000001000300010003000100020001000' +
      'b940420f0083e8034975fab005e6f4f4',
    'hex',
  ),
);
const run = (...flags: string[]) =>
  chassis('run', '--engine', 'soft', '--kernel', loop, '--device', 'isa-debug-exit', ...flags);

test('a guest runs under --check-jit as without', async () => {
  const { status, err } = await run('--check-jit');
  assert.equal(err, '');
  assert.equal(status, 11);
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
