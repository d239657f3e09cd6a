/** Places for initrds and boot modules. */
import { alignDown, alignUp } from './bytes.js';
import { LoadError, type NamedFile } from './load-error.js';
import { describe } from './memory-size.js';

const PAGE = 4096;
/** As many as fit the page of the start information beside the memory map. */
const MAX_MODULES = 64;

/** Page-aligned as high as possible from `from` to `to`; throws {@link LoadError} if too large. */
export function placeHigh(initrd: NamedFile, from: number, to: number): number {
  const gpa = alignDown(to - initrd.data.length, PAGE);
  if (gpa >= from) return gpa;
  throw doesNotFit(initrd, to - from);
}

/** One after the other, page-aligned, from `from` on; throws {@link LoadError} if too large. */
export function placeInOrder(files: readonly NamedFile[], from: number, to: number): number[] {
  if (files.length > MAX_MODULES) {
    throw new LoadError(
      'initrd-does-not-fit',
      files[MAX_MODULES].name,
      'the number of modules',
      String(files.length),
      `${MAX_MODULES} is the most that the start information has room for`,
    );
  }
  let at = alignUp(from, PAGE);
  return files.map((file) => {
    const gpa = at;
    if (gpa + file.data.length > to) throw doesNotFit(file, to - gpa);
    at = alignUp(gpa + file.data.length, PAGE);
    return gpa;
  });
}

function doesNotFit({ name, data }: NamedFile, room: number): LoadError {
  return new LoadError(
    'initrd-does-not-fit',
    name,
    'the size of the file to put into RAM',
    describe(data.length),
    `there is ${describe(Math.max(0, room))} for it after the kernel`,
  );
}
