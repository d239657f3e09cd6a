import assert from 'node:assert/strict';
import test from 'node:test';
import { LINUXBOOT_BOOT_PATH, LINUXBOOT_FILE, linuxbootRom } from './linuxboot-rom.js';

const rom = linuxbootRom();
const view = new DataView(rom.buffer);
const total = (bytes: Uint8Array) => bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);
const textAt = (offset: number) => {
  const end = rom.indexOf(0, offset);
  return String.fromCharCode(...rom.subarray(offset, end));
};

test('a valid option ROM: signature, length, checksum', () => {
  assert.equal(view.getUint16(0, true), 0xaa55);
  assert.equal(rom.length, rom[2]! * 512);
  assert.equal(rom[3], 0xcb);
  assert.equal(total(rom), 0);
  assert.equal(view.getUint16(0x18, true), 0);
});

test('a PnP expansion header with a bootstrap entry vector [PnP 3.2]', () => {
  const pnp = view.getUint16(0x1a, true);
  assert.equal(String.fromCharCode(...rom.subarray(pnp, pnp + 4)), '$PnP');
  assert.equal(rom[pnp + 4], 1);
  assert.equal(rom[pnp + 5], 2);
  assert.equal(total(rom.subarray(pnp, pnp + 32)), 0);
  assert.equal(textAt(view.getUint16(pnp + 0x0e, true)), 'Chassis');
  assert.equal(textAt(view.getUint16(pnp + 0x10, true)), 'Linux by fw_cfg');
  assert.equal(view.getUint16(pnp + 0x16, true), 0);
  const bev = view.getUint16(pnp + 0x1a, true);
  assert.deepEqual([...rom.subarray(bev, bev + 4)], [0xfa, 0xfc, 0x0e, 0x1f]);
});

test('calls land on the routines', () => {
  const at = (bytes: number[]) => {
    for (let i = 0; i < rom.length; i++) if (bytes.every((b, k) => rom[i + k] === b)) return i;
    return -1;
  };
  const number = at([0xad, 0x66, 0xb9, 4, 0, 0, 0]);
  const fetch = number + 7;
  const first = at([0x66, 0x67, 0x8d, 0x7b, 16, 0xe8]) + 5;
  assert.equal(first + 3 + view.getInt16(first + 1, true), number);
  const call = at([0x66, 0x8b, 0x4e, 20, 0xe8]) + 4;
  assert.equal(call + 3 + view.getInt16(call + 1, true), fetch);
  const keys = at([0x0a, 0, 0x0b, 0, 0x12, 0]);
  const load = at([0xbe, keys & 0xff, keys >>> 8]);
  assert.ok(load > 0);
  assert.equal(view.getUint16(keys + 24, true), 0x13);
});

test('the boot path names the file', () => {
  assert.equal(LINUXBOOT_BOOT_PATH, `/rom@${LINUXBOOT_FILE}`);
});
