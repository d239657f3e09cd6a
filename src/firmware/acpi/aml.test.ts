import assert from 'node:assert/strict';
import test from 'node:test';
import { concat } from '../bytes.js';
import * as aml from './aml.js';
import * as resources from './resources.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('pkgLength takes 1 to 4 bytes and counts itself', () => {
  assert.equal(hex(aml.pkgLength(0)), '01');
  assert.equal(hex(aml.pkgLength(0x3e)), '3f');
  assert.equal(hex(aml.pkgLength(0x3f)), '4104');
  assert.equal(hex(aml.pkgLength(0xffd)), '4fff');
  assert.equal(hex(aml.pkgLength(0xffe)), '810001');
  assert.equal(hex(aml.pkgLength(0xffffc)), '8fffff');
  assert.equal(hex(aml.pkgLength(0xffffd)), 'c1000001');
  assert.throws(() => aml.pkgLength(2 ** 28), RangeError);
});

test('names: padded, rooted, dual and multi prefixes', () => {
  assert.equal(Buffer.from(aml.nameString('_SB')).toString(), '_SB_');
  assert.equal(Buffer.from(aml.nameString('^^LNKA')).toString(), '^^LNKA');
  assert.equal(Buffer.from(aml.nameString('\\_SB.PCI0')).toString(), '\\._SB_PCI0');
  assert.equal(Buffer.from(aml.nameString('\\_SB.PCI0.ISA')).toString(), '\\/\x03_SB_PCI0ISA_');
  for (const wrong of ['', 'TOOLONG', 'lower', '1ABC', 'A..B']) {
    assert.throws(() => aml.nameString(wrong), /not an ACPI name/);
  }
});

test('integers in their shortest form', () => {
  const forms = [0, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000].map((value) =>
    hex(aml.integer(value)),
  );
  assert.deepEqual(forms, [
    '00',
    '01',
    '0a02',
    '0aff',
    '0b0001',
    '0bffff',
    '0c00000100',
    '0cffffffff',
    '0e0000000001000000',
  ]);
});

test('EISA ids are compressed', () => {
  assert.equal(hex(aml.eisaId('PNP0A03')), '0c41d00a03');
  assert.equal(hex(aml.eisaId('PNP0C0F')), '0c41d00c0f');
  assert.throws(() => aml.eisaId('pnp0a03'), /not an EISA id/);
});

test('packages, methods and conditions nest by length', () => {
  assert.equal(hex(aml.aPackage(0, 1, 5)), '1206030001' + '0a05');
  assert.equal(hex(aml.method('_STA', 0, [aml.giveBack(0x0f)])), '1409' + '5f535441' + '00a40a0f');
  assert.equal(hex(aml.ifThen(aml.lessThan(aml.arg0, 1), aml.giveBack(0))), 'a006' + '956801a400');
});

test('resources: an ISA device', () => {
  const bytes = resources.resourceTemplate(resources.ioPorts(0x3f8, 8), resources.isaIrq(4));
  assert.equal(hex(bytes), '11100a0d' + '4701f803f8030108' + '221000' + '7900');
});

test('resources: an interrupt number is where CreateDWordField looks for it', () => {
  const bytes = resources.levelInterrupts(0x1234_5678);
  assert.equal(hex(bytes), '890600' + '09' + '01' + '78563412');
  assert.equal(bytes[resources.INTERRUPT_NUMBER_OFFSET], 0x78);
});

test('resources: windows', () => {
  assert.equal(hex(resources.busNumbers(0, 0xff)), '880d00' + '020c00' + '00000000ff0000000001');
  assert.equal(
    hex(resources.ioWindow(0xd00, 0xffff)),
    '880d00' + '010c03' + '0000000dffff000000f3',
  );
  assert.equal(
    hex(resources.memoryWindow(0xe000_0000, 0xfebf_ffff)),
    `871700000c01${'00000000'}${'000000e0'}${'ffffbffe'}${'00000000'}${'0000c01e'}`,
  );
});

test('terms are joined as they are', () => {
  assert.equal(hex(concat(aml.name('_ADR', 0), aml.string('A'))), '085f41445200' + '0d4100');
});
