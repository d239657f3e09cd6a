import { unwind } from './env';
import { probe_write, rd8 } from './mmu';

/**
 * Raises unless `size` bytes (less than a page) may be read or written: the environments and state areas of
 * FNSAVE, FXSAVE and XSAVE, of which nothing is transferred if a part faults. As processors do it: the first
 * element, of `first` bytes (0: none), then the last byte.
 */
export function check_area(at: i64, first: i32, size: i32, write: bool): void {
  if (first != 0) {
    const end = at + first - 1;
    touch(at, write);
    if ((at ^ end) >> 12 != 0) touch(end & ~0xfff, write);
  }
  touch(at + size - 1, write);
  touch(at, write);
}

/** Segment 0: an address that is not canonical is #GP, not #SS. */
function touch(at: i64, write: bool): void {
  if (!write) rd8(at);
  else if (!probe_write(at, 1, 0)) unwind();
}
