import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { concat, viewOf } from './bytes.js';
import { directBoot } from './direct-boot.js';
import { ramLayout } from './e820.js';
import { fwCfgKernel } from './linux-loader/fw-cfg-kernel.js';
import {
  fuzzHeader,
  multibootHeader,
  page,
  pvhNote,
  refused,
  sampleBzImage,
  sampleElf,
  written,
} from './sample-kernels.test.js';

const MIB = 2 ** 20;
const board = { ram: ramLayout(128 * MIB), cpus: 1, serialPorts: 1 } as const;
const boot = (data: Uint8Array, more = {}) =>
  directBoot({ board, kernel: { name: 'kernel', data }, commandLine: '', ...more });

const pvh = sampleElf([
  { gpa: MIB, data: page(1) },
  { type: 4, gpa: 0, data: pvhNote(MIB) },
]);
const flat = concat(multibootHeader(0x1_0000, MIB, MIB, 0, 0, MIB), page(1));

test('the loader is chosen by what the file is', () => {
  assert.equal(boot(sampleBzImage()).cpu.mode, 'long');
  assert.equal(boot(pvh).cpu.rax, 0);
  assert.equal(boot(flat).cpu.rax, 0x2bad_b002);
});

test('a file of no known kind', () => {
  refused(
    () => boot(page(0)),
    'bad-header',
    /^kernel: the kernel is of no known kind, but a Linux/,
  );
  refused(() => boot(new Uint8Array(0)), 'bad-header', /of no known kind/);
});

test('an ELF that is no kernel, and one for another machine', () => {
  const plain = sampleElf([{ gpa: MIB, data: page(1) }]);
  refused(() => boot(plain), 'bad-header', /without a PVH note or a Multiboot header/);
  viewOf(plain).setUint16(18, 40, true);
  refused(() => boot(plain), 'wrong-machine', /e_machine is 40/);
});

for (const [name, kernel] of Object.entries({ linux: sampleBzImage(), pvh, multiboot: flat })) {
  test(`${name}: the RSDP is where the EBDA’s search and the kernel look, and nothing overlaps`, () => {
    const initrd = { name: 'initrd', data: page(7, 5000) };
    const image = boot(kernel, { initrd });
    const ebda = viewOf(written(image, 0x40e)).getUint16(0, true) * 16;
    assert.equal(ebda, 0x9_fc00);
    const rsdp = written(image, ebda + 0x10);
    assert.equal(Buffer.from(rsdp.subarray(0, 8)).toString(), 'RSD PTR ');
    const xsdt = Number(viewOf(rsdp).getBigUint64(24, true));
    assert.equal(Buffer.from(written(image, xsdt).subarray(0, 4)).toString(), 'XSDT');
    assert.ok(xsdt < 128 * MIB);
    assert.equal(Buffer.from(written(image, 0xf_0000).subarray(0, 4)).toString(), '_SM_');
    const sorted = [...image.writes].sort((a, b) => a.gpa - b.gpa);
    for (let i = 1; i < sorted.length; i++) {
      assert.ok(sorted[i].gpa >= sorted[i - 1].gpa + sorted[i - 1].data.length);
    }
    const last = sorted[sorted.length - 1];
    assert.ok(last.gpa + last.data.length <= 128 * MIB);
  });
}

test('fuzz: flipped header bytes of every kind', () => {
  for (const sample of [sampleBzImage(), pvh, flat]) {
    fuzzHeader(sample, Math.min(sample.length, 0x270), ({ data }) => boot(data), 200);
  }
});

const guests = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'chassis', 'guests');

for (const [file, mode, rip] of [
  ['vmlinuz-cloud-amd64', 'long', 0x100_0200],
  ['vmlinuz-686', 'protected', 0x100_0000],
  ['memtest86+x64.bin', 'long', 0x10_0200],
] as const) {
  const path = join(guests, file);
  const skip = existsSync(path) ? false : `${file} was not fetched (tools/fetch-guests.mjs)`;
  test(`Debian’s ${file} is accepted by both ways of loading`, { skip }, () => {
    const kernel = { name: file, data: new Uint8Array(readFileSync(path)) };
    const initrd = { name: 'initrd', data: page(7, 2 * MIB) };
    const commandLine = 'console=ttyS0';
    const { cpu } = directBoot({ board, kernel, initrd, commandLine });
    assert.deepEqual([cpu.mode, cpu.rip], [mode, rip]);
    fwCfgKernel({ kernel, initrd, commandLine, lowRamEnd: board.ram.below4G });
  });
}
