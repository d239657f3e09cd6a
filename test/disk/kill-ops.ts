import { Random } from './random.js';

export const diskBytes = 16 << 20;

/** The requests of one life of the writer: it and who kills it make the same ones from the seed. */
export function* requests(
  seed: number,
): Generator<{ offset: number; bytes: Uint8Array; flush: boolean }> {
  const random = new Random(seed);
  for (;;) {
    const first = random.below(diskBytes / 512);
    const longest = Math.min(random.pick([1, 8, 128, 512]), diskBytes / 512 - first);
    const length = (1 + random.below(longest)) * 512;
    const zero = random.below(5) === 0;
    const bytes = zero ? new Uint8Array(length) : random.bytes(length);
    yield { offset: first * 512, bytes, flush: random.below(6) === 0 };
  }
}
