import assert from 'node:assert/strict';
import test from 'node:test';
import { setU64, viewOf } from '../bytes.js';
import { e820Map, ramLayout } from '../e820.js';
import {
  checkImage,
  fuzzHeader,
  refused,
  sampleBoot,
  sampleBzImage,
  textAt,
  written,
} from '../sample-kernels.test.js';
import { loadLinux } from './linux-loader.js';

const MIB = 2 ** 20;

/** A sample kernel with some header bytes changed. */
function patched(change: (view: DataView, data: Uint8Array) => void): Uint8Array {
  const data = sampleBzImage();
  change(viewOf(data), data);
  return data;
}

const load = (kernel: Uint8Array, more = {}) => {
  const boot = sampleBoot(kernel, more);
  const image = loadLinux(boot);
  checkImage(image, boot);
  return image;
};

test('64-bit entry: long mode at 0x200 into the kernel, boot_params in rsi', () => {
  const { cpu, writes } = load(sampleBzImage());
  assert.equal(cpu.mode, 'long');
  assert.equal(cpu.rip, 16 * MIB + 0x200);
  assert.equal(cpu.rsi, 0x2000);
  assert.deepEqual([cpu.rax, cpu.rbx, cpu.rflags], [0, 0, 2]);
  assert.equal(cpu.cs.selector, 0x10);
  assert.equal(cpu.cs.access, 0xa09b);
  assert.equal(cpu.data.selector, 0x18);
  assert.equal(cpu.efer, 0x500);
  assert.equal(cpu.cr0 >>> 31, 1);
  assert.equal(writes.find(({ gpa }) => gpa === 16 * MIB)!.data[0], 0x90);
});

test('the page tables map the first 4 GiB onto itself', () => {
  const image = load(sampleBzImage());
  const entry = (table: number, index: number) =>
    Number(viewOf(written(image, table)).getBigUint64(index * 8, true));
  const page = (value: number) => value - (value % 4096);
  for (const gva of [0, 0x2000, 16 * MIB, 0x7fe0_0000, 0xfee0_0000, 0xffff_ffff]) {
    const pdpt = entry(image.cpu.cr3, 0);
    const directory = entry(page(pdpt), Math.floor(gva / 2 ** 30));
    const large = entry(page(directory), Math.floor(gva / 2 ** 21) % 512);
    assert.deepEqual([pdpt & 0xfff, directory & 0xfff, large & 0xfff], [3, 3, 0x83]);
    assert.equal(page(large) + (gva % 2 ** 21), gva);
  }
});

test('the GDT holds what the segment registers say', () => {
  const image = load(sampleBzImage());
  const gdt = viewOf(written(image, image.cpu.gdt.base));
  assert.equal(image.cpu.gdt.limit + 1, gdt.byteLength);
  assert.equal(gdt.getBigUint64(0x10, true), 0x00af9b000000ffffn);
  assert.equal(gdt.getBigUint64(0x18, true), 0x00cf93000000ffffn);
  assert.equal(gdt.getBigUint64(0x20, true), 0x00008b0000000067n);
});

test('without a 64-bit entry: flat protected mode at the kernel’s start', () => {
  const { cpu } = load(patched((view) => view.setUint16(0x236, 0, true)));
  assert.deepEqual([cpu.mode, cpu.rip, cpu.rsi], ['protected', 16 * MIB, 0x2000]);
  assert.deepEqual([cpu.cr0 >>> 31, cpu.cr3, cpu.cr4, cpu.efer], [0, 0, 0, 0]);
  assert.equal(cpu.cs.access, 0xc09b);
});

test('boot_params: the header, command line, initrd, memory map, RSDP', () => {
  const initrd = { name: 'initrd', data: new Uint8Array(5000).fill(7) };
  const image = load(sampleBzImage(), { initrd });
  const page = written(image, 0x2000);
  const view = viewOf(page);
  assert.equal(page.length, 4096);
  assert.equal(view.getUint32(0x202, true), 0x5372_6448);
  assert.equal(page[0x1ef], 0, 'the sentinel says that the rest was cleared');
  assert.equal(page[0x210], 0xff);
  assert.equal(view.getUint32(0x214, true), 16 * MIB, 'code32_start: where it was really put');
  assert.equal(textAt(image, view.getUint32(0x228, true)), 'console=ttyS0');
  const at = view.getUint32(0x218, true);
  assert.equal(view.getUint32(0x21c, true), 5000);
  assert.equal(at % 4096, 0);
  assert.ok(at >= 32 * MIB && at + 5000 <= 64 * MIB - 0x1_0000);
  assert.equal(written(image, at)[4999], 7);
  assert.equal(view.getBigUint64(0x70, true), 0x9_fc10n);
  assert.equal(page[0x1e8], 6);
  assert.equal(view.getBigUint64(0x2d0, true), 0n);
  assert.equal(view.getBigUint64(0x2d8, true), 0x9_fc00n);
  assert.equal(view.getUint32(0x2d0 + 16, true), 1);
  assert.equal(view.getUint32(0x1e0, true), (63 * MIB - 0x1_0000) / 1024);
});

test('no initrd: the fields stay 0, and an empty file counts as none', () => {
  for (const more of [{}, { initrd: { name: 'initrd', data: new Uint8Array(0) } }]) {
    const view = viewOf(written(load(sampleBzImage(), more), 0x2000));
    assert.deepEqual([view.getUint32(0x218, true), view.getUint32(0x21c, true)], [0, 0]);
  }
});

test('the initrd stays below initrd_addr_max', () => {
  const ram = ramLayout(512 * MIB);
  const kernel = patched((view) => view.setUint32(0x22c, 0x03ff_ffff, true));
  const boot = { e820: e820Map(ram), lowRamEnd: ram.below4G };
  const initrd = { name: 'initrd', data: new Uint8Array(4096) };
  const image = load(kernel, { ...boot, initrd });
  assert.equal(viewOf(written(image, 0x2000)).getUint32(0x218, true), 0x0400_0000 - 4096);
});

test('a file up to 15 bytes short of its last paragraph is complete, as memtest86+ is', () => {
  load(sampleBzImage().slice(0, -8));
});

test('a kernel with something after its payload loads whole', () => {
  const image = load(new Uint8Array([...sampleBzImage(), ...new Array(512).fill(1)]));
  assert.equal(written(image, 16 * MIB).length, 0x4000 + 512);
});

test('an empty file', () => {
  refused(() => load(new Uint8Array(0)), 'bad-header', /^kernel: the file is 0 bytes long, but /);
});

test('a file that ends in its header', () => {
  refused(() => load(sampleBzImage().slice(0, 0x230)), 'bad-header', /is 560 bytes long/);
});

test('a kernel with a bad magic', () => {
  const kernel = patched((view) => view.setUint32(0x202, 0x1234, true));
  refused(() => load(kernel), 'bad-header', /magic at 0x202 is 0x1234, but .*"HdrS"/);
});

test('a kernel with a bad boot flag', () => {
  const kernel = patched((view) => view.setUint16(0x1fe, 0, true));
  refused(() => load(kernel), 'bad-header', /boot_flag at 0x1fe is 0x0/);
});

test('a kernel of too old a protocol', () => {
  const kernel = patched((view) => view.setUint16(0x206, 0x209, true));
  refused(() => load(kernel), 'old-protocol', /version at 0x206 is 2\.09, but 2\.12 or later/);
});

test('a zImage, which is loaded low', () => {
  const kernel = patched((_, data) => {
    data[0x211] = 0;
  });
  refused(() => load(kernel), 'bad-header', /loadflags .*LOADED_HIGH/);
});

test('a header that ends before init_size', () => {
  const kernel = patched((_, data) => {
    data[0x201] = 0x10;
  });
  refused(() => load(kernel), 'bad-header', /header’s end .* is 0x212, .* 0x264/);
});

test('a kernel without a protected-mode part', () => {
  const kernel = patched((view) => view.setUint32(0x1f4, 0, true));
  refused(() => load(kernel), 'bad-header', /syssize at 0x1f4 is 0/);
});

test('a truncated payload', () => {
  const kernel = sampleBzImage().slice(0, -16);
  refused(() => load(kernel), 'truncated', /^kernel: the file is 18416 bytes long, .* 18432/);
});

test('a payload that ends outside the kernel', () => {
  const kernel = patched((view) => view.setUint32(0x24c, 0x4000, true));
  refused(() => load(kernel), 'bad-header', /payload_offset and payload_length .* 0x4100/);
});

test('a kernel larger than RAM', () => {
  const kernel = patched((view) => view.setUint32(0x260, 48 * MIB, true));
  refused(() => load(kernel), 'larger-than-ram', /init_size is 48 MiB at 16 MiB, .* to 63\.9 MiB/);
});

test('a kernel that wants to be at 2^60', () => {
  const kernel = patched((view) => setU64(view, 0x258, 2 ** 60));
  refused(() => load(kernel), 'larger-than-ram', /pref_address/);
});

test('a kernel that wants to be below 1 MiB', () => {
  const kernel = patched((view) => setU64(view, 0x258, 0x8_0000));
  refused(() => load(kernel), 'larger-than-ram', /from 1 MiB/);
});

test('an initrd that does not fit', () => {
  const initrd = { name: 'big.cpio', data: new Uint8Array(32 * MIB) };
  refused(
    () => load(sampleBzImage(), { initrd }),
    'initrd-does-not-fit',
    /^big\.cpio: the size .* is 32 MiB, but there is 31\.9 MiB for it after the kernel$/,
  );
});

test('a kernel whose initrd_addr_max leaves no room', () => {
  const kernel = patched((view) => view.setUint32(0x22c, 0, true));
  const initrd = { name: 'initrd', data: new Uint8Array(1) };
  refused(() => load(kernel, { initrd }), 'initrd-does-not-fit', /there is 0 bytes for it/);
});

test('a command line that is too long; the longest one is not', () => {
  load(sampleBzImage(), { commandLine: 'x'.repeat(2047) });
  refused(
    () => load(sampleBzImage(), { commandLine: 'x'.repeat(2048) }),
    'command-line-too-long',
    /^--append: the kernel’s command line is 2048 bytes long, but kernel takes 2047 at most$/,
  );
});

test('a command line is counted in bytes, not in characters', () => {
  refused(
    () => load(sampleBzImage(), { commandLine: 'é'.repeat(1024) }),
    'command-line-too-long',
    /2048 bytes/,
  );
});

test('a kernel that claims a limitless command line gets 64 KiB at most', () => {
  const kernel = patched((view) => view.setUint32(0x238, 0xffff_ffff, true));
  refused(
    () => load(kernel, { commandLine: 'x'.repeat(0x1_0000) }),
    'command-line-too-long',
    /takes 65535 at most/,
  );
});

test('a module for Linux', () => {
  const modules = [{ name: 'extra.bin', data: new Uint8Array(1) }];
  refused(() => load(sampleBzImage(), { modules }), 'bad-header', /^extra\.bin: .* no modules$/);
});

test('fuzz: flipped header bytes load cleanly or are refused', () => {
  const initrd = { name: 'initrd', data: new Uint8Array(12345) };
  fuzzHeader(sampleBzImage(), 0x270, (kernel) => {
    const boot = sampleBoot(kernel.data, { initrd });
    checkImage(loadLinux(boot), boot);
  });
});
