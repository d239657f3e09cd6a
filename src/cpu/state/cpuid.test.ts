import assert from 'node:assert/strict';
import test from 'node:test';
import { ANY_SUBLEAF, CPUID_MAX_ENTRIES, defaultCpuid, encodeCpuid, TSC_HZ } from './cpuid.js';

const leaf = (n: number, vcpus = 1) => {
  const found = defaultCpuid(vcpus).find((entry) => entry.leaf === n);
  assert.ok(found, `leaf ${n.toString(16)}`);
  return found;
};

test('CPUID: vendor, brand and highest leaves', () => {
  const text = (...words: number[]): string => {
    const bytes = Buffer.alloc(words.length * 4);
    words.forEach((word, i) => {
      bytes.writeUInt32LE(word, i * 4);
    });
    return bytes.toString('latin1').replace(/\0+$/, '');
  };
  const basic = leaf(0);
  assert.equal(text(basic.ebx, basic.edx, basic.ecx), 'GenuineIntel');
  const brand = leaf(0x8000_0002);
  assert.equal(text(brand.eax, brand.ebx, brand.ecx, brand.edx), 'Chassis soft CPU');
  const leaves = defaultCpuid().map((entry) => entry.leaf);
  assert.equal(basic.eax, Math.max(...leaves.filter((n) => n < 0x4000_0000)));
  assert.equal(leaf(0x8000_0000).eax, Math.max(...leaves));
});

test('CPUID: no AVX, no virtualization, and the TSC runs at the clock it names', () => {
  const features = leaf(1);
  for (const absent of [5, 12, 28, 29]) assert.equal((features.ecx >>> absent) & 1, 0);
  assert.equal(leaf(7).ebx & (1 << 5), 0);
  const ratio = leaf(0x15);
  assert.equal((ratio.ecx * ratio.ebx) / ratio.eax, TSC_HZ);
});

test('CPUID: topology follows the number of vCPUs', () => {
  const cores = defaultCpuid(6).find((e) => e.leaf === 0xb && e.subleaf === 1);
  assert.deepEqual([cores?.eax, cores?.ebx], [3, 6]);
  assert.equal((leaf(1, 6).ebx >>> 16) & 0xff, 6);
  assert.equal((leaf(1, 6).edx >>> 28) & 1, 1);
  assert.equal((leaf(1, 1).edx >>> 28) & 1, 0);
});

test('CPUID: the encoded table is a count and six words an entry', () => {
  const entries = defaultCpuid();
  const bytes = encodeCpuid(entries);
  const view = new DataView(bytes.buffer);
  assert.equal(view.getUint32(0, true), entries.length);
  assert.equal(bytes.length, 8 + 24 * entries.length);
  assert.equal(view.getUint32(12, true), ANY_SUBLEAF);
  const first = entries[0]!;
  assert.throws(() => encodeCpuid(Array(CPUID_MAX_ENTRIES + 1).fill(first)), RangeError);
});
