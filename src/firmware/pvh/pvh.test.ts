import assert from 'node:assert/strict';
import test from 'node:test';
import { viewOf } from '../bytes.js';
import {
  checkImage,
  fuzzHeader,
  page,
  pvhNote,
  refused,
  sampleBoot,
  sampleElf,
  textAt,
  written,
} from '../sample-kernels.test.js';
import { loadPvh } from './pvh.js';

const MIB = 2 ** 20;

const kernel = (note = pvhNote(16 * MIB + 0x40), wide = true) =>
  sampleElf(
    [
      {
        gpa: 16 * MIB,
        gva: wide ? 0xffff_ffff_8100_0000n : 0x8100_0000n,
        data: page(1),
        memSize: 3 * 4096 + 100,
      },
      { type: 4, gpa: 0, data: note },
    ],
    { wide },
  );

const load = (data: Uint8Array, more = {}) => {
  const boot = sampleBoot(data, more);
  const image = loadPvh(boot);
  checkImage(image, boot);
  return image;
};

for (const size of [4, 8] as const) {
  test(`entry from a note of ${size} bytes: flat protected mode, ebx holds the start info`, () => {
    const { cpu } = load(kernel(pvhNote(16 * MIB + 0x40, size)));
    assert.equal(cpu.mode, 'protected');
    assert.equal(cpu.rip, 16 * MIB + 0x40);
    assert.equal(cpu.rbx, 0x2000);
    assert.equal(cpu.cr0, 0x11);
    assert.deepEqual(
      [cpu.cs.limit, cpu.data.limit, cpu.tr.limit],
      [0xffff_ffff, 0xffff_ffff, 0x67],
    );
  });
}

test('hvm_start_info: command line, modules, RSDP and memory map', () => {
  const initrd = { name: 'initrd', data: page(7, 5000) };
  const modules = [{ name: 'more', data: page(8) }];
  const image = load(kernel(), { initrd, modules });
  const view = viewOf(written(image, 0x2000));
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  assert.equal(view.getUint32(0, true), 0x336e_c578);
  assert.equal(view.getUint32(4, true), 1);
  assert.equal(view.getUint32(12, true), 2);
  assert.equal(textAt(image, u64(24)), 'console=ttyS0');
  assert.equal(u64(32), 0x9_fc10);
  const list = viewOf(written(image, u64(16)));
  const first = Number(list.getBigUint64(0, true));
  assert.equal(first, 16 * MIB + 4 * 4096, 'the next page after the bss');
  assert.equal(Number(list.getBigUint64(8, true)), 5000);
  assert.equal(written(image, first)[0], 7);
  assert.equal(written(image, Number(list.getBigUint64(32, true)))[0], 8);
  const map = viewOf(written(image, u64(40)));
  assert.equal(view.getUint32(48, true), 6);
  assert.equal(Number(map.getBigUint64(8, true)), 0x9_fc00);
  assert.equal(map.getUint32(16, true), 1);
});

test('a kernel without a PVH note', () => {
  refused(() => load(kernel(page(0, 16))), 'bad-header', /XEN_ELFNOTE_PHYS32_ENTRY is absent/);
});

test('a PVH note of an odd size', () => {
  const note = pvhNote(16 * MIB);
  viewOf(note).setUint32(4, 3, true);
  refused(() => load(kernel(note)), 'bad-header', /is 3 bytes long/);
});

test('a PVH entry outside the segments', () => {
  refused(() => load(kernel(pvhNote(MIB))), 'bad-header', /is 0x100000, but no segment/);
});

test('a kernel larger than RAM', () => {
  const data = sampleElf([
    { gpa: 16 * MIB, data: page(1), memSize: 64 * MIB },
    { type: 4, gpa: 0, data: pvhNote(16 * MIB) },
  ]);
  refused(() => load(data), 'larger-than-ram', /memory of segment 0/);
});

test('an initrd that does not fit', () => {
  const initrd = { name: 'big.cpio', data: page(0, 60 * MIB) };
  refused(() => load(kernel(), { initrd }), 'initrd-does-not-fit', /^big\.cpio: .* is 60 MiB/);
});

test('more modules than the start information has room for', () => {
  const modules = Array.from({ length: 65 }, (_, i) => ({ name: `m${i}`, data: page(0, 4) }));
  refused(() => load(kernel(), { modules }), 'initrd-does-not-fit', /^m64: .* 65, but 64 /);
  load(kernel(), { modules: modules.slice(1) });
});

test('a command line that is too long', () => {
  const commandLine = 'x'.repeat(0x1_0000);
  refused(() => load(kernel(), { commandLine }), 'command-line-too-long', /65536 bytes long/);
});

for (const wide of [false, true]) {
  test(`fuzz: flipped bytes of a ${wide ? 64 : 32}-bit file load cleanly or are refused`, () => {
    const sample = kernel(undefined, wide);
    fuzzHeader(sample, wide ? 176 : 116, ({ data }) => load(data));
    fuzzHeader(sample, sample.length, ({ data }) => load(data), 1000);
  });
}
