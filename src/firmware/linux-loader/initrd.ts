import { alignDown } from '../bytes.js';
import { LoadError, type NamedFile } from '../load-error.js';
import { describe } from '../memory-size.js';

const PAGE = 4096;

/** Page-aligned as high as possible from `from` to `to`; throws {@link LoadError} if too large. */
export function placeInitrd(initrd: NamedFile, from: number, to: number): number {
  const gpa = alignDown(to - initrd.data.length, PAGE);
  if (gpa >= from) return gpa;
  throw new LoadError(
    'initrd-does-not-fit',
    initrd.name,
    'the initrd’s size',
    describe(initrd.data.length),
    `RAM has ${describe(Math.max(0, to - from))} for it after the kernel`,
  );
}
