import assert from 'node:assert/strict';
import test from 'node:test';
import { ConformanceContext, conform } from '../../device/conformance.js';
import { FwCfg } from './fw-cfg.js';
import { fwCfgKey } from './registers.js';

const text = (value: string) => Uint8Array.from(value, (c) => c.charCodeAt(0));

function withItems(ctx: ConformanceContext) {
  const fw = new FwCfg(ctx);
  fw.addNumber(fwCfgKey.ramSize, 512 * 2 ** 20, 8);
  fw.addNumber(fwCfgKey.cpuCount, 2, 2);
  fw.add(fwCfgKey.kernelData, text('kernel'));
  fw.add('etc/e820', text('e820'));
  fw.add('bootorder', text('/rom@genroms/linuxboot_dma.bin'));
  fw.add('etc/acpi/tables', () => text('tables'));
  return fw;
}

conform(test, (ctx) => withItems(ctx));

function device() {
  const ctx = new ConformanceContext();
  const fw = withItems(ctx);
  const view = new DataView(ctx.ram.buffer);
  const select = (key: number) => fw.write(0, 0, 2, key);
  const readBytes = (count: number) => Uint8Array.from({ length: count }, () => fw.read(0, 1, 1));
  const be = (value: number) => new DataView(Uint32Array.of(value).buffer).getUint32(0);
  /** Runs a descriptor that lies at 0x1000 and says its control word after. */
  const dma = (control: number, length: number, gpa: number, descriptorGpa = 0x1000) => {
    view.setUint32(descriptorGpa, control);
    view.setUint32(descriptorGpa + 4, length);
    view.setUint32(descriptorGpa + 8, Math.floor(gpa / 2 ** 32));
    view.setUint32(descriptorGpa + 12, gpa % 2 ** 32);
    fw.write(1, 4, 4, be(descriptorGpa));
    return view.getUint32(descriptorGpa);
  };
  return { ctx, fw, view, select, readBytes, dma, be };
}

const [READ, SKIP, SELECT, WRITE] = [2, 4, 8, 0x10];

test('signature and id: traditional interface and DMA', () => {
  const { select, readBytes, fw } = device();
  select(0);
  assert.deepEqual(readBytes(4), text('QEMU'));
  select(1);
  assert.deepEqual(readBytes(4), Uint8Array.of(3, 0, 0, 0));
  assert.equal(fw.read(1, 0, 4), 0x554d4551);
  assert.equal(fw.read(1, 4, 4), 0x47464320);
});

test('numbers are little-endian, and past the end there are zeros', () => {
  const { select, readBytes } = device();
  select(fwCfgKey.ramSize);
  assert.deepEqual(readBytes(10), Uint8Array.of(0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0));
  select(0x3fff);
  assert.deepEqual(readBytes(2), Uint8Array.of(0, 0));
});

test('the directory is big-endian, and its keys follow the names', () => {
  const { select, readBytes } = device();
  select(fwCfgKey.fileDirectory);
  const bytes = readBytes(4 + 3 * 64);
  const view = new DataView(bytes.buffer);
  assert.equal(view.getUint32(0), 3);
  const entries = [0, 1, 2].map((i) => {
    const at = 4 + 64 * i;
    const name = bytes.subarray(at + 8, bytes.indexOf(0, at + 8));
    return [view.getUint32(at), view.getUint16(at + 4), String.fromCharCode(...name)];
  });
  assert.deepEqual(entries, [
    [30, 0x20, 'bootorder'],
    [6, 0x21, 'etc/acpi/tables'],
    [4, 0x22, 'etc/e820'],
  ]);
  select(0x22);
  assert.deepEqual(readBytes(4), text('e820'));
});

test('DMA selects, reads, skips and reads on', () => {
  const { ctx, dma } = device();
  assert.equal(dma(((fwCfgKey.kernelData << 16) | SELECT | READ) >>> 0, 2, 0x2000), 0);
  assert.deepEqual(ctx.ram.slice(0x2000, 0x2002), text('ke'));
  assert.equal(dma(SKIP, 2, 0), 0);
  assert.equal(dma(READ, 4, 0x2000), 0);
  assert.deepEqual(ctx.ram.slice(0x2000, 0x2004), Uint8Array.of(0x65, 0x6c, 0, 0));
});

test('a 64-bit descriptor address takes both halves, high first', () => {
  const { fw, be, view, dma } = device();
  view.setUint32(0x1000, READ);
  fw.write(1, 0, 4, be(1));
  fw.write(1, 4, 4, be(0x1000));
  assert.equal(view.getUint32(0x1000), READ);
  assert.equal(dma(READ, 0, 0), 0);
});

test('items cannot be written', () => {
  const { dma } = device();
  assert.equal(dma(((fwCfgKey.kernelData << 16) | SELECT | WRITE) >>> 0, 2, 0x2000), 1);
});

test('DMA outside RAM is an error, at any length and address', () => {
  const { dma, ctx } = device();
  const control = ((fwCfgKey.kernelData << 16) | SELECT | READ) >>> 0;
  assert.equal(dma(control, 6, 0x4_0000), 1);
  assert.equal(dma(control, 6, 0x3_fffd), 1);
  assert.equal(dma(control, 0xffff_ffff, 0x2000), 1);
  assert.equal(dma(control, 6, 2 ** 64 - 4096), 1);
  assert.equal(dma(control, 6, 0xffff_fffc), 1);
  assert.equal(ctx.ram[0x2000], 0x6b);
});

test('DMA into its own descriptor uses the copy', () => {
  const { dma, ctx, fw } = device();
  fw.add(0x100, new Uint8Array(64).fill(0xee));
  assert.equal(dma(((0x100 << 16) | SELECT | READ) >>> 0, 64, 0x1000), 0);
  assert.equal(ctx.ram[0x1004], 0xee);
  assert.equal(ctx.ram[0x103f], 0xee);
});

test('zero fill has an end', () => {
  let written = 0;
  const fw = new FwCfg({
    read(_gpa, into) {
      new DataView(into.buffer).setUint32(0, READ);
      new DataView(into.buffer).setUint32(4, 0xffff_ffff);
      return true;
    },
    write(_gpa, from) {
      written += from.length;
      return true;
    },
  });
  fw.write(1, 4, 4, 0);
  assert.equal(written, (16 << 20) + 4 + 4);
});

test('words and dwords at the ports do nothing they should not', () => {
  const { fw, select, readBytes } = device();
  select(0);
  fw.write(0, 0, 1, 5);
  fw.write(0, 1, 1, 5);
  assert.equal(fw.read(0, 0, 2), 0xffff);
  assert.deepEqual(readBytes(4), text('QEMU'));
});
