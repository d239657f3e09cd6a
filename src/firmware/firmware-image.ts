import { FOUR_GIB } from './e820.js';
import { type GuestWrite, LoadError, type NamedFile } from './load-error.js';
import { describe } from './memory-size.js';

const UNIT = 0x1_0000;
const MAX = 16 * 2 ** 20;
/** As much of the image as a PC shows below 1 MiB. */
const LOW_WINDOW = 0x2_0000;

/** Where a BIOS image appears: whole below 4 GiB, and its end again below 1 MiB. */
export interface FirmwareMapping {
  readonly high: GuestWrite;
  readonly low: GuestWrite;
}

/** Throws {@link LoadError} unless the file can be a BIOS flash chip. */
export function mapFirmware(file: NamedFile): FirmwareMapping {
  const size = file.data.length;
  if (size < UNIT || size > MAX || size % UNIT !== 0) {
    throw new LoadError(
      'bad-firmware-size',
      file.name,
      'the size of the firmware image',
      size % 1024 === 0 ? describe(size) : `${size} bytes`,
      'it has to be a multiple of 64 KiB, from 64 KiB to 16 MiB',
    );
  }
  const low = file.data.subarray(Math.max(0, size - LOW_WINDOW));
  return {
    high: { gpa: FOUR_GIB - size, data: file.data },
    low: { gpa: 0x10_0000 - low.length, data: low },
  };
}
