import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { ChassisProcess, chassis } from './chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-jit-dump-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** xor eax,eax; mov ecx,10; again: add eax,ecx; mov [rsp],rax; dec ecx; jne again; ret */
const sum = file('sum', Buffer.from('31c0b90a00000001c848890424ffc975f6c3', 'hex'));

test('jit-dump shows blocks, flags, edges and wasm of code in a file', async () => {
  const { status, out, err } = await chassis('jit-dump', '0x1000', '--base', '0x1000', sum);
  assert.equal(err, '');
  assert.equal(status, 0);
  const lines = out.split('\n').map((line) => line.trim().replace(/ +/g, ' '));
  for (const line of [
    'block 1 at 1007, a loop',
    '1007 add eax,ecx ; writes OSZAPC, needed C',
    '100d dec ecx ; writes OSZAP, needed OSZAP',
    'jcc -> block 1, block 2',
    'ret -> wherever it leads',
    'loop',
    'i64.store 0',
  ]) {
    assert.ok(lines.includes(line), `"${line}" in\n${out}`);
  }
  assert.match(out, /; .*flags made/);
  assert.match(out, /^r0: locals /m);
});

test('jit-dump --json is the same as data', async () => {
  const { out } = await chassis('jit-dump', '7', '--bits', '64', '--json', sum);
  const dump = JSON.parse(out);
  assert.equal(dump.address, '7');
  assert.deepEqual(
    dump.blocks.map(({ loop, flow }: { loop: boolean; flow: string }) => [loop, flow]),
    [
      [true, 'jcc'],
      [false, 'ret'],
    ],
  );
  assert.deepEqual(dump.blocks[1].edges, []);
  assert.match(dump.wasm, /local\.get/);
});

test('jit-dump shows code of a saved machine, and says what it cannot show', async () => {
  // Reset vector: jmp to F0000, where hlt; jmp back.
  const bios = new Uint8Array(0x1_0000).fill(0xf4);
  const saved = join(folder, 'saved');
  const run = new ChassisProcess(
    ['run', '--engine', 'soft', '--serial', 'none', '--save-on-exit', saved].concat([
      '--firmware',
      file('bios', bios),
    ]),
  );
  await new Promise((resolve) => setTimeout(resolve, 1500));
  run.signal('SIGTERM');
  await run.ended;
  const real = await chassis('jit-dump', '0xffff0', '--load', saved);
  assert.equal(real.status, 65);
  assert.match(real.err, /code in 16-bit segments, .* is not translated/);
});

const refused: readonly [string, RegExp, ...string[]][] = [
  ['no address', /wanted an ADDRESS/],
  ['a bad address', /found "here", wanted an address/, 'here', sum],
  ['no code', /wanted one file, or --load/, '0'],
  ['16-bit code', /--bits: found "16", wanted 32 or 64/, '0', '--bits', '16', sum],
  ['a place outside', /5000: no memory is there/, '0x5000', sum],
];
for (const [what, message, ...args] of refused) {
  test(`jit-dump refuses ${what}`, async () => {
    const { status, err } = await chassis('jit-dump', ...args);
    assert.notEqual(status, 0);
    assert.match(err, message);
  });
}
