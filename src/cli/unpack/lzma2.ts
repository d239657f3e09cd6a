/**
 * LZMA2: chunks, stored or of LZMA with a range coder of their own. Names are those of the LZMA
 * specification. [LZMA specification 2015, I. Pavlov; The .xz File Format 1.1.0, 5.3.1]
 */

const STATES = 12;
const POS_STATES = 16;
/** Where the probabilities of one kind begin in the one array of them. */
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POS_STATES;
const IS_REP_G0 = IS_REP + STATES;
const IS_REP_G1 = IS_REP_G0 + STATES;
const IS_REP_G2 = IS_REP_G1 + STATES;
const IS_REP0_LONG = IS_REP_G2 + STATES;
const POS_SLOT = IS_REP0_LONG + STATES * POS_STATES;
const POS_SPECIAL = POS_SLOT + 4 * 64;
const ALIGN = POS_SPECIAL + 128;
/** Choice, second choice, low and middle for each position state, high. */
const LENGTH = ALIGN + 16;
const LENGTH_SIZE = 2 + 2 * POS_STATES * 8 + 256;
const REP_LENGTH = LENGTH + LENGTH_SIZE;
const LITERAL = REP_LENGTH + LENGTH_SIZE;

export interface Unpacked {
  /** Ends of what was read and of what was written. */
  readonly at: number;
  readonly to: number;
}

/** From `at` of `packed` to `to` of `out`. Throws RangeError for what is not LZMA2. */
export function unpackLzma2(packed: Uint8Array, at: number, out: Uint8Array, to: number): Unpacked {
  const lzma = new Lzma(packed, out, to);
  const byte = (index: number): number => packed[index] ?? bad();
  const u16 = (index: number): number => (byte(index) << 8) | byte(index + 1);
  for (let from = at; ; ) {
    const control = byte(from);
    if (control === 0) return { at: from + 1, to: lzma.to };
    if (control < 0x80) {
      if (control > 2) bad();
      const size = u16(from + 1) + 1;
      from += 3;
      if (lzma.to + size > out.length || from + size > packed.length) bad();
      out.set(packed.subarray(from, from + size), lzma.to);
      lzma.to += size;
      from += size;
      continue;
    }
    const size = (((control & 31) << 16) | u16(from + 1)) + 1;
    const packedSize = u16(from + 3) + 1;
    const resets = (control >> 5) & 3;
    from += 5;
    if (resets >= 2) lzma.properties(byte(from++));
    if (resets >= 1) lzma.reset();
    if (lzma.to + size > out.length || from + packedSize > packed.length) bad();
    lzma.chunk(from, lzma.to + size);
    from += packedSize;
  }
}

class Lzma {
  private probabilities = new Uint16Array(LITERAL);
  private lc = 0;
  private literalPositionMask = 0;
  private positionMask = 0;
  private state = 0;
  private rep0 = 0;
  private rep1 = 0;
  private rep2 = 0;
  private rep3 = 0;
  private range = 0;
  private code = 0;
  private from = 0;
  private readonly start: number;

  constructor(
    private readonly packed: Uint8Array,
    private readonly out: Uint8Array,
    /** Where the next byte goes. */
    public to: number,
  ) {
    this.start = to;
  }

  properties(byte: number): void {
    if (byte >= 225) bad();
    const pb = Math.floor(byte / 45);
    const lp = Math.floor(byte / 9) % 5;
    this.lc = byte % 9;
    this.positionMask = (1 << pb) - 1;
    this.literalPositionMask = (1 << lp) - 1;
    this.probabilities = new Uint16Array(LITERAL + (0x300 << (this.lc + lp)));
  }

  reset(): void {
    this.probabilities.fill(1024);
    this.state = this.rep0 = this.rep1 = this.rep2 = this.rep3 = 0;
  }

  /** One chunk, up to `end` of what is written. */
  chunk(from: number, end: number): void {
    const { packed } = this;
    this.range = -1;
    this.code =
      (packed[from + 1]! << 24) |
      (packed[from + 2]! << 16) |
      (packed[from + 3]! << 8) |
      packed[from + 4]!;
    this.from = from + 5;
    while (this.to < end) {
      const position = (this.to - this.start) & this.positionMask;
      if (this.bit(IS_MATCH + this.state * POS_STATES + position) === 0) this.literal();
      else this.copy(this.match(position), end);
    }
    if (this.from > packed.length) bad();
  }

  private normalise(): void {
    if (this.range >>> 24 === 0) {
      this.range <<= 8;
      this.code = (this.code << 8) | this.packed[this.from++]!;
    }
  }

  private bit(at: number): number {
    this.normalise();
    const { probabilities } = this;
    const p = probabilities[at]!;
    const bound = Math.imul(this.range >>> 11, p);
    if (this.code >>> 0 < bound >>> 0) {
      this.range = bound;
      probabilities[at] = p + ((2048 - p) >> 5);
      return 0;
    }
    this.range = (this.range - bound) | 0;
    this.code = (this.code - bound) | 0;
    probabilities[at] = p - (p >> 5);
    return 1;
  }

  /**
   * Bits by a tree of probabilities, the highest first, from `node` on until the node is `end` or more.
   * Most bits are read here, so that `bit` is written out with its state in locals.
   */
  private walk(at: number, from: number, end: number): number {
    const { probabilities, packed } = this;
    let { range, code } = this;
    let node = from;
    while (node < end) {
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | packed[this.from++]!;
      }
      const p = probabilities[at + node]!;
      const bound = Math.imul(range >>> 11, p);
      if (code >>> 0 < bound >>> 0) {
        range = bound;
        probabilities[at + node] = p + ((2048 - p) >> 5);
        node <<= 1;
      } else {
        range = (range - bound) | 0;
        code = (code - bound) | 0;
        probabilities[at + node] = p - (p >> 5);
        node = (node << 1) | 1;
      }
    }
    this.range = range;
    this.code = code;
    return node;
  }

  private tree(at: number, bits: number): number {
    return this.walk(at, 1, 1 << bits) - (1 << bits);
  }

  private reverseTree(at: number, bits: number): number {
    let node = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(at + node);
      node = (node << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  private literal(): void {
    const { out, to } = this;
    const before = to > this.start ? out[to - 1]! : 0;
    const place = (to - this.start) & this.literalPositionMask;
    const at = LITERAL + 0x300 * ((place << this.lc) + (before >> (8 - this.lc)));
    let symbol = 1;
    if (this.state >= 7) {
      let match = out[to - this.rep0 - 1]!;
      while (symbol < 0x100) {
        const matchBit = (match >> 7) & 1;
        match <<= 1;
        const bit = this.bit(at + ((1 + matchBit) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (matchBit !== bit) break;
      }
    }
    out[this.to++] = this.walk(at, symbol, 0x100);
    this.state = this.state < 4 ? 0 : this.state < 10 ? this.state - 3 : this.state - 6;
  }

  /** Sets rep0 to the distance less one; answers the length. */
  private match(position: number): number {
    const { state } = this;
    if (this.bit(IS_REP + state) === 0) {
      this.rep3 = this.rep2;
      this.rep2 = this.rep1;
      this.rep1 = this.rep0;
      const length = this.length(LENGTH, position);
      this.state = state < 7 ? 7 : 10;
      this.rep0 = this.distance(length);
      return length;
    }
    if (this.bit(IS_REP_G0 + state) === 0) {
      if (this.bit(IS_REP0_LONG + state * POS_STATES + position) === 0) {
        this.state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      let distance = this.rep1;
      if (this.bit(IS_REP_G1 + state) !== 0) {
        distance = this.rep2;
        if (this.bit(IS_REP_G2 + state) !== 0) {
          distance = this.rep3;
          this.rep3 = this.rep2;
        }
        this.rep2 = this.rep1;
      }
      this.rep1 = this.rep0;
      this.rep0 = distance;
    }
    this.state = state < 7 ? 8 : 11;
    return this.length(REP_LENGTH, position);
  }

  private length(at: number, position: number): number {
    if (this.bit(at) === 0) return 2 + this.tree(at + 2 + position * 8, 3);
    if (this.bit(at + 1) === 0) return 10 + this.tree(at + 2 + (POS_STATES + position) * 8, 3);
    return 18 + this.tree(at + 2 + 2 * POS_STATES * 8, 8);
  }

  private distance(length: number): number {
    const slot = this.tree(POS_SLOT + Math.min(length - 2, 3) * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const high = (2 | (slot & 1)) << bits;
    if (slot < 14) return high + this.reverseTree(POS_SPECIAL + high - slot, bits);
    let middle = 0;
    for (let i = 0; i < bits - 4; i++) {
      this.normalise();
      this.range >>>= 1;
      const bit = this.code >>> 0 >= this.range >>> 0 ? 1 : 0;
      if (bit) this.code = (this.code - this.range) | 0;
      middle = (middle << 1) | bit;
    }
    return ((high + (middle << 4)) | this.reverseTree(ALIGN, 4)) >>> 0;
  }

  private copy(length: number, end: number): void {
    const { out, to } = this;
    const from = to - this.rep0 - 1;
    if (from < this.start || to + length > end) bad();
    for (let i = 0; i < length; i++) out[to + i] = out[from + i]!;
    this.to = to + length;
  }
}

function bad(): never {
  throw new RangeError('not LZMA2');
}
