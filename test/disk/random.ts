/** Reproducible random numbers: the seed is in CHASSIS_FUZZ_SEED. */
export const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? 1);

/** How often a random test runs: `npm run test:long` and CHASSIS_DISK_ROUNDS look further. */
export function roundsOf(short: number): number {
  const asked = process.env.CHASSIS_DISK_ROUNDS;
  if (asked !== undefined) return Number(asked);
  return process.env.CHASSIS_LONG === '1' ? short * 10 : short;
}

/** Numbers in [0, 1) [mulberry32, a public-domain generator]. */
function randomOf(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Random {
  readonly next: () => number;

  constructor(start: number) {
    this.next = randomOf(start);
  }

  /** A whole number from 0 up to but not including `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Bytes that are not zero, a new value at each sector, so that misplaced ones are seen. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at += 512) bytes.fill(1 + this.below(255), at, at + 512);
    return bytes;
  }
}
