/** A set of feature bits 0 to 63, as the two words that registers show. [VIRTIO 2.2] */
export class Features {
  constructor(
    readonly low: number,
    readonly high: number,
  ) {}

  static of(bits: Iterable<number>): Features {
    let low = 0;
    let high = 0;
    for (const bit of bits) {
      if (bit < 32) low |= 1 << bit;
      else high |= 1 << (bit - 32);
    }
    return new Features(low >>> 0, high >>> 0);
  }

  has(bit: number): boolean {
    return (((bit < 32 ? this.low : this.high) >>> (bit & 31)) & 1) !== 0;
  }

  /** Bits 32 * `index` and up; words beyond the second are 0. */
  word(index: number): number {
    return index === 0 ? this.low : index === 1 ? this.high : 0;
  }

  withWord(index: number, value: number): Features {
    if (index > 1) return this;
    return index === 0 ? new Features(value, this.high) : new Features(this.low, value);
  }

  isWithin(other: Features): boolean {
    return (this.low & ~other.low) === 0 && (this.high & ~other.high) === 0;
  }
}
