/**
 * Floating point against the host CPU: committed cases always, fresh ones where gcc is and the host is an
 * x86-64 that computes RCPPS as Intel's do. `FP_ROUNDS` and `CHASSIS_FUZZ_SEED` ask for more.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import * as L from '#src/cpu/state/layout.js';
import { BareRuntime, RAM } from './bare-runtime.js';
import {
  type FpInstruction,
  OPERAND,
  sseInstructions,
  x87Control,
  x87Instructions,
} from './fp-instructions.js';
import { sseDifference, x87Difference } from './fp-record.js';

const folder = fileURLToPath(new URL('../../../test/isa/', import.meta.url));
const place = RAM + OPERAND;
const SETS: readonly [string, FpInstruction[], number][] = [
  ['sse', sseInstructions(), 80],
  ['x87', x87Instructions(place), 224],
  ['control', x87Control(place), 416],
];

/** Protected mode at CPL 0, CR0.NE, CR4.OSXMMEXCPT: #MF and #XM are raised as such. */
function runtime(): BareRuntime {
  const made = new BareRuntime();
  made.set64(L.CR0, 0x31n);
  made.set64(L.CR4, 0x600n);
  made.call('after_restore');
  made.set32(L.EVENT, 0);
  return made;
}

function check(instructions: FpInstruction[], size: number, records: Buffer): string {
  const bare = runtime();
  let lastPlace = 0;
  let approximate = 0;
  for (let at = 0; at < records.length; at += size) {
    const record = records.subarray(at, at + size);
    const insn = instructions[record.readUInt16LE(0)]!;
    if (size === 80) {
      assert.equal(sseDifference(bare, insn, record), '');
      continue;
    }
    if (insn.approximate) approximate++;
    const found = x87Difference(bare, insn, record);
    if (found && !found.lastPlace) assert.fail(found.text);
    if (found) lastPlace++;
  }
  assert.ok(
    lastPlace <= approximate * 0.05 + 2,
    `${lastPlace} of ${approximate} in the last place`,
  );
  return `${records.length / size} cases, ${lastPlace} of ${approximate} transcendental differ in the last place`;
}

function fixture(name: string): string {
  return join(folder, 'fixtures', `fp-${name}.gz`);
}

for (const [name, instructions, size] of SETS) {
  test(`${name}: the committed answers of a host CPU`, (t) => {
    t.diagnostic(check(instructions, size, gunzipSync(readFileSync(fixture(name)))));
  });
}

/** The oracle's program, or null and why not. */
function compile(into: string): { program: string } | { missing: string } {
  if (process.arch !== 'x64') return { missing: 'the host is not an x86-64' };
  const cpu = readFileSync('/proc/cpuinfo', 'utf8');
  if (!cpu.includes('GenuineIntel')) return { missing: 'the host CPU is not of Intel' };
  const program = join(into, 'fp-native');
  try {
    execFileSync('gcc', ['-O2', '-o', program, join(folder, 'fp-native.c')], { stdio: 'ignore' });
  } catch {
    return { missing: 'gcc is not here' };
  }
  return { program };
}

test('the host CPU, fresh cases', async (t) => {
  const into = mkdtempSync(join(tmpdir(), 'chassis-fp-'));
  t.after(() => rmSync(into, { recursive: true }));
  const made = compile(into);
  if ('missing' in made) {
    t.skip(made.missing);
    return;
  }
  const seed = process.env.CHASSIS_FUZZ_SEED ?? String(Math.floor(Math.random() * 1e9));
  const rounds = process.env.FP_ROUNDS ?? '60';
  const record = process.env.FP_RECORD;
  t.diagnostic(`CHASSIS_FUZZ_SEED=${seed} FP_ROUNDS=${rounds}`);
  for (const [name, instructions, size] of SETS) {
    await t.test(name, (inner) => {
      const input = `${instructions.map((insn) => insn.line).join('\n')}\n`;
      const { stdout, status } = spawnSync(made.program, [seed, rounds], {
        input,
        maxBuffer: 2 ** 31,
      });
      assert.equal(status, 0);
      inner.diagnostic(check(instructions, size, stdout));
      if (record) writeFileSync(fixture(name), gzipSync(stdout, { level: 9 }));
    });
  }
});
