import assert from 'node:assert/strict';
import test from 'node:test';
import { mapFirmware } from './firmware-image.js';
import { LoadError } from './load-error.js';

const KIB = 1024;
const image = (size: number) => ({ name: 'bios.bin', data: new Uint8Array(size) });

test('a 256 KiB BIOS ends at 4 GiB, and its last 128 KiB at 1 MiB', () => {
  const file = image(256 * KIB);
  file.data[file.data.length - 1] = 0x5a;
  const { high, low } = mapFirmware(file);
  assert.equal(high.gpa, 0xfffc_0000);
  assert.equal(high.data.length, 256 * KIB);
  assert.equal(low.gpa, 0xe_0000);
  assert.equal(low.data.length, 128 * KIB);
  assert.equal(low.data[128 * KIB - 1], 0x5a);
});

test('a 64 KiB BIOS fills the last segment only', () => {
  const { high, low } = mapFirmware(image(64 * KIB));
  assert.deepEqual([high.gpa, low.gpa, low.data.length], [0xffff_0000, 0xf_0000, 64 * KIB]);
});

for (const [symptom, size] of [
  ['empty firmware', 0],
  ['firmware that is a truncated download', 256 * KIB - 1],
  ['firmware with a byte too many', 256 * KIB + 1],
  ['firmware of half a segment', 32 * KIB],
  ['firmware beyond 16 MiB', 16 * 1024 * KIB + 64 * KIB],
] as const) {
  test(symptom, () => {
    assert.throws(
      () => mapFirmware(image(size)),
      (error) => {
        assert.ok(error instanceof LoadError);
        assert.equal(error.code, 'bad-firmware-size');
        assert.match(
          error.message,
          /^bios\.bin: the size .* multiple of 64 KiB, from 64 KiB to 16 MiB$/,
        );
        return true;
      },
    );
  });
}

test('the largest firmware', () => {
  assert.equal(mapFirmware(image(16 * 1024 * KIB)).high.gpa, 0xff00_0000);
});
