import assert from 'node:assert/strict';
import test from 'node:test';
import { viewOf } from '../bytes.js';
import { fuzzHeader, refused, sampleBzImage } from '../sample-kernels.test.js';
import { fwCfgKernel } from './fw-cfg-kernel.js';

const MIB = 2 ** 20;
const initrd = { name: 'initrd', data: new Uint8Array(5000).fill(7) };

function items(more: Partial<Parameters<typeof fwCfgKernel>[0]> = {}) {
  const list = fwCfgKernel({
    kernel: { name: 'kernel', data: sampleBzImage() },
    commandLine: 'quiet',
    lowRamEnd: 64 * MIB,
    ...more,
  });
  const data = new Map(list.map((item) => [item.key, item.data]));
  assert.equal(data.size, list.length, 'every key once');
  return { data, number: (key: number) => viewOf(data.get(key)!).getUint32(0, true) };
}

test('setup part and kernel are apart, at the addresses QEMU uses', () => {
  const { data, number } = items();
  assert.deepEqual([number(0x16), number(0x17), data.get(0x18)!.length], [0x1_0000, 2048, 2048]);
  assert.deepEqual([number(0x07), number(0x08), data.get(0x11)!.length], [MIB, 0x4000, 0x4000]);
  assert.deepEqual([number(0x13), number(0x14)], [0x2_0000, 6]);
  assert.equal(Buffer.from(data.get(0x15)!).toString(), 'quiet\0');
  assert.deepEqual([data.has(0x0a), data.has(0x0b), data.has(0x12)], [false, false, false]);
});

test('the setup header is patched in a copy', () => {
  const kernel = { name: 'kernel', data: sampleBzImage() };
  const { data, number } = items({ kernel, initrd });
  const setup = data.get(0x18)!;
  const view = viewOf(setup);
  assert.equal(setup[0x210], 0xb0);
  assert.equal(setup[0x211], 0x81, 'CAN_USE_HEAP');
  assert.equal(view.getUint16(0x224, true), 0xfe00);
  assert.equal(view.getUint32(0x228, true), 0x2_0000);
  assert.equal(view.getUint32(0x218, true), number(0x0a));
  assert.equal(view.getUint32(0x21c, true), 5000);
  assert.deepEqual(kernel.data, sampleBzImage());
});

test('the initrd is page-aligned and leaves the top of RAM to the firmware', () => {
  const { data, number } = items({ initrd });
  assert.equal(number(0x0a) % 4096, 0);
  assert.ok(number(0x0a) + 5000 < 64 * MIB - 0x2_8000);
  assert.equal(number(0x0b), 5000);
  assert.equal(data.get(0x12), initrd.data);
});

test('a kernel that can be above 4 GiB lets its initrd pass initrd_addr_max', () => {
  const kernel = { name: 'kernel', data: sampleBzImage() };
  viewOf(kernel.data).setUint16(0x236, 3, true);
  const { number } = items({ kernel, initrd, lowRamEnd: 0xe000_0000 });
  assert.ok(number(0x0a) > 0x7fff_ffff);
  viewOf(kernel.data).setUint16(0x236, 1, true);
  const low = items({ kernel, initrd, lowRamEnd: 0xe000_0000 });
  assert.ok(low.number(0x0a) + 5000 <= 0x7fff_ffff);
});

test('a kernel larger than RAM', () => {
  refused(() => items({ lowRamEnd: 32 * MIB }), 'larger-than-ram', /is up to 32 MiB, but/);
});

test('an initrd that does not fit', () => {
  refused(
    () => items({ initrd: { name: 'big.cpio', data: new Uint8Array(32 * MIB) } }),
    'initrd-does-not-fit',
    /^big\.cpio: /,
  );
});

test('a command line that is too long', () => {
  const commandLine = 'x'.repeat(2048);
  refused(() => items({ commandLine }), 'command-line-too-long', /2048 bytes long/);
});

test('a truncated payload', () => {
  const kernel = { name: 'kernel', data: sampleBzImage().slice(0, 5000) };
  refused(() => items({ kernel }), 'truncated', /^kernel: /);
});

test('fuzz: flipped header bytes are handed over or refused', () => {
  fuzzHeader(sampleBzImage(), 0x270, (kernel) => {
    const { number } = items({ kernel, initrd });
    assert.ok(number(0x0a) + 5000 <= 64 * MIB);
  });
});
