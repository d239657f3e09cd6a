import assert from 'node:assert/strict';
import test from 'node:test';
import { type CpuidEntry, defaultCpuid } from '#src/cpu/state/cpuid.js';
import { cpuidOf, featuresOf, missingFeatures } from '#src/engine/cpu-models.js';
import { EngineError } from '#src/engine/engine.js';
import { createMachine } from '#src/machine/create-machine.js';
import { config, testHost } from '../machine/rig.js';
import { engines } from './engines.js';

const soft = defaultCpuid(1);

/** The table with bits of a register set or cleared. */
function bent(
  leaf: number,
  register: 'eax' | 'ebx' | 'ecx' | 'edx',
  set: number,
  clear = 0,
): CpuidEntry[] {
  return soft.map((entry) =>
    entry.leaf === leaf
      ? { ...entry, [register]: ((entry[register] & ~clear) | set) >>> 0 }
      : entry,
  );
}

test('common is what both engines have, and nothing else', () => {
  const other = bent(1, 'ecx', 1 << 28, (1 << 0) | (1 << 25));
  const common = cpuidOf('common', 1, soft, other);
  const has = featuresOf(common);
  assert.ok(!has.has('SSE3') && !has.has('AES') && !has.has('AVX'));
  assert.ok(has.has('SSE2') && has.has('SSSE3') && has.has('LM'));
  assert.deepEqual(missingFeatures(common, soft), []);
  assert.deepEqual(missingFeatures(common, other), []);
});

test('missing features come by name, and without one by their place', () => {
  const wanted = bent(7, 'ebx', (1 << 5) | (1 << 15)).map((entry) =>
    entry.leaf === 1 ? { ...entry, ecx: entry.ecx | (1 << 28) } : entry,
  );
  assert.deepEqual(missingFeatures(wanted, soft), ['AVX', 'AVX2', 'CPUID.7:ebx[15]']);
  assert.deepEqual(missingFeatures(soft, wanted), []);
});

test('the levels of the psABI have what they name', () => {
  const v1 = featuresOf(cpuidOf('x86-64-v1', 1, soft));
  assert.ok(v1.has('SSE2') && v1.has('SYSCALL') && !v1.has('SSE3') && !v1.has('POPCNT'));
  const v2 = featuresOf(cpuidOf('x86-64-v2', 1, soft));
  assert.ok(v2.has('SSE4_2') && v2.has('CMPXCHG16B') && !v2.has('MOVBE'));
  assert.throws(
    () => cpuidOf('x86-64-v3', 1, soft),
    (error: unknown) =>
      error instanceof EngineError &&
      error.code === 'limit' &&
      /x86-64-v3: found no AVX, AVX2, F16C, FMA, wanted/.test(error.message),
  );
});

for (const { name, skip, open } of engines) {
  test(`${name}: what CPUID answers is the table of the model`, { skip }, async () => {
    const engine = await open();
    for (const cpu of ['common', 'x86-64-v1', 'host'] as const) {
      const { host } = testHost(engine);
      // A guest that asks: leaf 7 into ECX, leaf 1 into ESI and EDI.
      const machine = createMachine(config({ cpu }), host);
      const { vm } = machine as unknown as { vm: { cpuid: readonly CpuidEntry[] } };
      assert.deepEqual(missingFeatures(vm.cpuid, engine.cpuid(1)), []);
      machine.close();
    }
  });

  test(`${name}: a model that is not there is a clear sentence`, { skip }, async () => {
    const { host } = testHost(await open());
    assert.throws(
      () => createMachine(config({ cpu: 'pentium' as 'host' }), host),
      /--cpu: found "pentium", wanted host, common, x86-64-v1, x86-64-v2, x86-64-v3/,
    );
  });
}
