import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { withPayload } from '#src/cli/unpack/unpack-kernel.js';
import { placeUnpacked } from '#src/firmware/linux-loader/unpacked-kernel.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';

const unpack = (data: Uint8Array) => withPayload({ name: 'vmlinuz', data }).unpack!();

/** A bzImage of nothing but a header and this payload. */
function bzImage(payload: Uint8Array): Uint8Array {
  const file = new Uint8Array(1024 + payload.length);
  const view = new DataView(file.buffer);
  file[0x1f1] = 1;
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x24c, payload.length, true);
  file.set(payload, 1024);
  return file;
}

/** The payload of a kernel, as its header says where it is. */
function payloadOf(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset);
  const from = (file[0x1f1]! + 1) * 512 + view.getUint32(0x248, true);
  return file.subarray(from, from + view.getUint32(0x24c, true));
}

test('a payload packed by gzip', () => {
  const elf = Buffer.alloc(5000, 'kernel');
  elf.set([0x7f, 0x45, 0x4c, 0x46]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(elf.length);
  const file = bzImage(Buffer.concat([gzipSync(elf), size]));
  assert.deepEqual(Buffer.from(unpack(file)!), elf);
  size.writeUInt32LE(elf.length + 1);
  assert.equal(unpack(bzImage(Buffer.concat([gzipSync(elf), size]))), undefined);
});

for (const [name, tool] of [
  ['vmlinuz-686', 'xz'],
  ['vmlinuz-cloud-amd64', 'lz4'],
] as const) {
  const options = needsGuests(name);
  test(`${name} is unpacked as ${tool} does it, and damaged never throws`, options, (t) => {
    const file = readFileSync(guestFile(name));
    const unpacked = unpack(file)!;
    const payload = payloadOf(file);
    assert.equal(
      unpacked.length,
      new DataView(file.buffer, payload.byteOffset).getUint32(payload.length - 4, true),
    );
    const answer = spawnSync(tool, ['-dc'], { input: payload.subarray(0, -4), maxBuffer: 2 ** 28 });
    if (answer.error) t.diagnostic(`not compared: ${answer.error.message}`);
    else assert.ok(answer.stdout.equals(unpacked));
    for (let n = 0; n < 6; n++) {
      const spoilt = Uint8Array.from(file);
      const at = payloadOf(spoilt);
      for (let i = n * 40; i < at.length - 4; i += 1 + n * 9973) at[i]! ^= 0x5a;
      unpack(spoilt);
    }
  });
}

test('a 64-bit kernel is moved: words of three kinds follow', () => {
  const base = 0x100_0000;
  const high = (at: number) => 0xffff_ffff_8000_0000n + BigInt(base + at);
  const file = Buffer.alloc(0x1000 + 7 * 4);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeBigUInt64LE(BigInt(base), 24);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(1, 64);
  file.writeBigUInt64LE(0x800n, 72);
  file.writeBigUInt64LE(high(0), 80);
  file.writeBigUInt64LE(BigInt(base), 88);
  file.writeBigUInt64LE(0x800n, 96);
  file.writeBigUInt64LE(0x4000n, 104);
  file.writeUInt32LE(0x8100_1000, 0x800 + 0x10);
  file.writeUInt32LE(0x100, 0x800 + 0x20);
  file.writeBigUInt64LE(high(0x1000), 0x800 + 0x30);
  const words = [0n, high(0x30), 0n, high(0x20), 0n, high(0x10)];
  words.forEach((word, i) => {
    file.writeUInt32LE(Number(word & 0xffff_ffffn), 0x1000 + (i + 1) * 4);
  });
  const align = 0x20_0000;
  const placed = placeUnpacked('vmlinuz', Buffer.from(file), align, () => 3);
  assert.deepEqual([placed.gpa, placed.entry, placed.isRandom], [base, base, true]);
  const image = Buffer.from(placed.writes[0]!.data);
  assert.equal(placed.end, base + 0x4000);
  assert.equal(image.readUInt32LE(0x10), 0x8100_1000 + 3 * align);
  assert.equal(image.readUInt32LE(0x20), (0x100 - 3 * align) >>> 0);
  assert.equal(image.readBigUInt64LE(0x30), high(0x1000 + 3 * align));
  const still = placeUnpacked('vmlinuz', file, 0, () => 3);
  assert.equal(Buffer.from(still.writes[0]!.data).readUInt32LE(0x10), 0x8100_1000);
  assert.equal(still.isRandom, false);
});
