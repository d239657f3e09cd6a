/** A Linux kernel that was unpacked already: what the decompressor in a bzImage leaves to the kernel. */
import { viewOf } from '../bytes.js';
import { parseElf } from '../elf.js';
import { type GuestWrite, hex, LoadError } from '../load-error.js';

/** Virtual addresses of 64-bit kernels, sign-extended: where physical address 0 would be, and room from there on. */
const START_KERNEL_MAP = -0x8000_0000;
const KERNEL_IMAGE_BYTES = 0x4000_0000;

export interface PlacedKernel {
  /** Its segments; the rest of memory is zero. */
  readonly writes: readonly GuestWrite[];
  readonly gpa: number;
  readonly end: number;
  /** Physical. */
  readonly entry: number;
  readonly isRandom: boolean;
}

/**
 * @param unpacked the ELF file of the payload, with the relocations that follow it; it is moved in place
 * @param align steps in which a 64-bit kernel's virtual addresses may be moved, in bytes; 0: stays where it is
 * Throws {@link LoadError}.
 */
export function placeUnpacked(
  name: string,
  unpacked: Uint8Array,
  align: number,
  randomU32: () => number,
): PlacedKernel {
  const { segments, entry } = parseElf({ name: `${name}, unpacked`, data: unpacked });
  const gpa = segments[0]!.gpa;
  const { gpa: last, memSize } = segments.at(-1)!;
  const at = Number(entry) - gpa;
  const bytes = last + memSize - gpa;
  if (at < 0 || at >= bytes || gpa + bytes > KERNEL_IMAGE_BYTES) {
    const found = `${hex(Number(entry))} in ${hex(gpa)} to ${hex(gpa + bytes)}`;
    const wanted = 'it has to be inside, below 1 GiB';
    throw new LoadError('bad-header', name, 'the unpacked kernel’s entry', found, wanted);
  }
  const slots = align === 0 ? 0 : Math.floor((KERNEL_IMAGE_BYTES - gpa - bytes) / align);
  const delta = (randomU32() % (slots + 1)) * align;
  if (delta > 0) relocate(segments, unpacked, delta);
  return { writes: segments, gpa, end: gpa + bytes, entry: Number(entry), isRandom: slots > 0 };
}

/**
 * Behind the ELF file, read from the end: addresses of 32-bit words that grow with the kernel's address, of such that shrink
 * with it, and of 64-bit words; a zero ends each. [Linux, arch/x86/boot/compressed/misc.c, handle_relocations]
 */
function relocate(segments: readonly GuestWrite[], unpacked: Uint8Array, delta: number): void {
  const words = viewOf(unpacked);
  let at = unpacked.length & ~3;
  const each = (width: 4 | 8, change: (place: number) => void): void => {
    for (;;) {
      at -= 4;
      const virtual = at < 0 ? 0 : words.getInt32(at, true);
      if (virtual === 0) return;
      const gpa = virtual - START_KERNEL_MAP;
      const inside = segments.find(
        (one) => gpa >= one.gpa && gpa + width <= one.gpa + one.data.length,
      );
      if (inside) change(inside.data.byteOffset - unpacked.byteOffset + gpa - inside.gpa);
    }
  };
  each(4, (place) => words.setUint32(place, words.getUint32(place, true) + delta, true));
  each(4, (place) => words.setUint32(place, words.getUint32(place, true) - delta, true));
  const wide = BigInt(delta);
  each(8, (place) => words.setBigUint64(place, words.getBigUint64(place, true) + wide, true));
}
