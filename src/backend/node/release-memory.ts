import koffi from 'koffi';

const MADV_DONTNEED = 4;

/**
 * Gives whole pages of guest memory back to the host: they read as zeroes then. `undefined` where the
 * host has no such call, and the pages are kept.
 */
export function memoryRelease(): ((pages: Uint8Array) => void) | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const madvise = koffi.load('libc.so.6').func('int madvise(void *at, size_t size, int advice)');
    return (pages) => void madvise(pages, pages.length, MADV_DONTNEED);
  } catch {
    return undefined;
  }
}
