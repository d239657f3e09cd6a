import assert from 'node:assert/strict';
import test from 'node:test';
import { concat, viewOf } from '../bytes.js';
import {
  checkImage,
  fuzzHeader,
  multibootHeader,
  page,
  refused,
  sampleBoot,
  sampleElf,
  textAt,
  written,
} from '../sample-kernels.test.js';
import { loadMultiboot } from './multiboot.js';

const MIB = 2 ** 20;
const load = (data: Uint8Array, more = {}) => {
  const boot = sampleBoot(data, more);
  const image = loadMultiboot(boot);
  checkImage(image, boot);
  return image;
};

const elf = (options: { wide?: boolean; entry?: number } = {}) =>
  sampleElf([{ gpa: MIB, data: page(1), memSize: 5000 }], {
    entry: MIB + 0x10,
    prefix: multibootHeader(3),
    ...options,
  });

/** A flat file: 64 bytes that are not loaded, the header, code. */
const flat = (addresses: number[], flags = 0x1_0003) =>
  concat(page(0xee, 64), multibootHeader(flags, ...addresses), page(1, 4000));
/** header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr */
const addresses = [MIB, MIB, 0, MIB + 0x8000, MIB + 32];

test('ELF: eax holds the magic, ebx the information, flat protected mode', () => {
  for (const wide of [false, true]) {
    const { cpu, writes } = load(elf({ wide }));
    assert.deepEqual([cpu.rax, cpu.rbx, cpu.rip], [0x2bad_b002, 0x2000, MIB + 0x10]);
    assert.deepEqual([cpu.mode, cpu.cr0], ['protected', 0x11]);
    assert.equal(writes.find(({ gpa }) => gpa === MIB)!.data.length, 4096);
  }
});

for (const [wide, gva] of [
  [false, 0xc010_0000n],
  [true, 0xffff_ffff_8010_0000n],
] as const) {
  test(`ELF: an entry at ${gva.toString(16)} becomes the physical address`, () => {
    const segment = { gpa: MIB, gva, data: page(1) };
    const options = { wide, entry: gva + 0x123n, prefix: multibootHeader(0) };
    assert.equal(load(sampleElf([segment], options)).cpu.rip, MIB + 0x123);
  });
}

test('flat: loaded from load_addr on, entry as told', () => {
  const image = load(flat(addresses));
  assert.equal(image.cpu.rip, MIB + 32);
  const code = written(image, MIB);
  assert.equal(viewOf(code).getUint32(0, true), 0x1bad_b002);
  assert.equal(code.length, 32 + 4000);
});

test('flat: load_end_addr cuts the file, bytes before the header can be loaded', () => {
  const image = load(flat([MIB + 64, MIB, MIB + 200, 0, MIB + 100]));
  assert.equal(written(image, MIB).length, 200);
  assert.equal(written(image, MIB)[0], 0xee);
});

test('information: memory, command line, modules, memory map, loader', () => {
  const initrd = { name: 'initrd', data: page(7, 5000) };
  const modules = [{ name: 'second arg=1', data: page(8, 8) }];
  const image = load(flat(addresses), { initrd, modules });
  const info = viewOf(written(image, 0x2000));
  const u32 = (at: number) => info.getUint32(at, true);
  assert.equal(u32(0), 0x24d);
  assert.deepEqual([u32(4), u32(8)], [639, (63 * MIB - 0x1_0000) / 1024]);
  assert.equal(textAt(image, u32(16)), 'console=ttyS0');
  assert.equal(textAt(image, u32(64)), 'Chassis');
  assert.equal(u32(20), 2);
  const list = viewOf(written(image, u32(24)));
  const module = (i: number) => [0, 4, 8].map((at) => list.getUint32(i * 16 + at, true));
  const [first, second] = [module(0), module(1)];
  assert.equal(first[0], MIB + 0x8000, 'after the bss');
  assert.equal(first[1] - first[0], 5000);
  assert.equal(written(image, first[0])[4999], 7);
  assert.equal(textAt(image, first[2]), 'initrd');
  assert.equal(second[0] % 4096, 0);
  assert.equal(textAt(image, second[2]), 'second arg=1');
  const map = viewOf(written(image, u32(48)));
  assert.equal(u32(44), 6 * 24);
  assert.equal(map.getUint32(0, true), 20);
  assert.equal(map.getBigUint64(12, true), 0x9_fc00n);
  assert.equal(map.getUint32(20, true), 1);
});

test('a file without a Multiboot header', () => {
  refused(() => load(page(0)), 'bad-header', /Multiboot header is not in the first 8 KiB/);
});

test('a header with a wrong checksum, or beyond 8 KiB, is none', () => {
  const wrong = flat(addresses);
  wrong[64 + 8] ^= 1;
  refused(() => load(wrong), 'bad-header', /not in the first 8 KiB/);
  refused(() => load(concat(page(0, 8192), flat(addresses))), 'bad-header', /not in the first/);
});

test('a kernel that asks for features unknown', () => {
  refused(
    () => load(flat(addresses, 0x1_0008)),
    'bad-header',
    /flags is 0x10008, but bits 3 to 15/,
  );
});

test('no addresses and no ELF', () => {
  refused(() => load(flat([], 3)), 'bad-header', /without bit 16 \(addresses\), but only an ELF/);
});

test('a file that ends in its addresses', () => {
  const data = concat(page(0, 64), multibootHeader(0x1_0000, MIB));
  refused(() => load(data), 'truncated', /is 80 bytes long, but its header ends at 96/);
});

for (const [symptom, code, sentence, list] of [
  ['load_addr above header_addr', 'bad-header', /load_addr is 0x100004/, [MIB, MIB + 4, 0, 0, MIB]],
  ['load_addr before the file', 'bad-header', /load_addr is 0xff000/, [MIB, MIB - 4096, 0, 0, MIB]],
  ['load_end_addr too low', 'bad-header', /load_end_addr is 0x10/, [MIB, MIB, 16, 0, MIB]],
  ['a truncated image', 'truncated', /load_end_addr asks for/, [MIB, MIB, 2 * MIB, 0, MIB]],
  ['bss_end_addr too low', 'bad-header', /bss_end_addr is/, [MIB, MIB, 0, MIB + 16, MIB]],
  ['an entry outside the image', 'outside', /entry_addr is 0x200000/, [MIB, MIB, 0, 0, 2 * MIB]],
  ['a bss larger than RAM', 'larger-than-ram', /the image/, [MIB, MIB, 0, 128 * MIB, MIB]],
  ['an image in the VGA hole', 'outside', /is 0xa0000/, [0xa_0000, 0xa_0000, 0, 0, 0xa_0000]],
] as const) {
  test(`flat: ${symptom}`, () => {
    refused(() => load(flat([...list])), code, sentence);
  });
}

test('ELF: an entry outside the segments', () => {
  refused(() => load(elf({ entry: 0x30_0000 })), 'outside', /e_entry is 0x300000/);
});

test('an initrd that does not fit', () => {
  const initrd = { name: 'big', data: page(0, 64 * MIB) };
  refused(() => load(flat(addresses), { initrd }), 'initrd-does-not-fit', /^big: .* 64 MiB/);
});

test('a command line that is too long', () => {
  const commandLine = 'x'.repeat(0x1_0000);
  refused(() => load(elf(), { commandLine }), 'command-line-too-long', /takes 65527 at most/);
});

test('fuzz: flipped bytes load cleanly or are refused', () => {
  const initrd = { name: 'initrd', data: page(7, 5000) };
  for (const [sample, length] of [
    [flat(addresses), 96],
    [elf(), 96],
    [elf({ wide: true }), 132],
  ] as const) {
    fuzzHeader(sample, length, ({ data }) => load(data, { initrd }));
  }
});
