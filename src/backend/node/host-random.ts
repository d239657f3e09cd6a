import { randomFillSync } from 'node:crypto';

/** 32 bits of the host's randomness a call, drawn a page at a time. */
export function hostRandom(): () => number {
  const pool = new Uint32Array(1024);
  let left = 0;
  return () => {
    if (left === 0) {
      randomFillSync(pool);
      left = pool.length;
    }
    return pool[--left]!;
  };
}
