/** Operand values drawn towards extremes: integers, floats, doubles, x87 registers. */
import type { Random } from './random.js';

const EXTREMES: readonly bigint[] = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x1_0000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
  0xffff_ffff_8000_0000n,
  0xffff_ffff_ffff_fffen,
  0xffff_ffff_ffff_ff80n,
  0x5555_5555_5555_5555n,
  0xaaaa_aaaa_aaaa_aaaan,
];
const COUNTS: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  8n,
  9n,
  15n,
  16n,
  17n,
  30n,
  31n,
  32n,
  33n,
  62n,
  63n,
  64n,
  65n,
  127n,
  128n,
];
const F32: readonly number[] = [
  0, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_1234,
  0x7f80_0001, 0xffa0_0000, 1, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0xff7f_ffff,
  0x3fff_ffff, 0x4f00_0000, 0xcf00_0000, 0x5f00_0000, 0x3400_0000, 0x4b00_0001,
];
const F64 = [
  '0',
  '8000000000000000',
  '3ff0000000000000',
  'bff0000000000000',
  '7ff0000000000000',
  'fff0000000000000',
  '7ff8000000000000',
  'fff8000000001234',
  '7ff0000000000001',
  'fff4000000000000',
  '1',
  '8000000000000001',
  '000fffffffffffff',
  '0010000000000000',
  '7fefffffffffffff',
  'ffefffffffffffff',
  '41dfffffffc00000',
  'c1e0000000000000',
  '43e0000000000000',
  '3cb0000000000000',
  '4340000000000001',
  '36a0000000000000',
  '47efffffffffffff',
].map((h): [number, number] => {
  const bits = BigInt(`0x${h}`);
  return [Number(bits & 0xffff_ffffn), Number(bits >> 32n)];
});

/** An integer of 64 bits. */
export function integer(random: Random): bigint {
  const kind = random.below(8);
  if (kind < 3) return random.pick(EXTREMES);
  if (kind === 3) return random.pick(COUNTS);
  if (kind === 4) return BigInt(random.u32());
  if (kind === 5) return BigInt.asUintN(64, BigInt.asIntN(32, BigInt(random.u32())));
  if (kind === 6)
    return BigInt.asUintN(64, 1n << BigInt(random.below(64))) - BigInt(random.below(2));
  return random.u64();
}

/** 16 bytes as integers, floats or doubles of the interesting kinds. */
export function vector(random: Random, out: DataView, at: number): void {
  const kind = random.below(5);
  for (let i = 0; i < 16; i += 8) {
    const word = at + i;
    if (kind === 0) out.setBigUint64(word, integer(random), true);
    else if (kind === 1) {
      out.setUint32(word, float(random), true);
      out.setUint32(word + 4, float(random), true);
    } else if (kind === 2) double(random, out, word);
    else {
      // Kind 3: few different bytes, zeros among them, for comparisons and strings.
      const mask = kind === 3 ? 0x0101_0303 : -1;
      out.setUint32(word, random.u32() & mask, true);
      out.setUint32(word + 4, random.u32() & mask, true);
    }
  }
}

function float(random: Random): number {
  if (random.chance(2)) return random.pick(F32);
  const bits = random.u32();
  return random.chance(2) ? bits : (bits & 0x807f_ffff) | ((120 + random.below(20)) << 23);
}

function double(random: Random, out: DataView, at: number): void {
  let low = random.u32();
  let high = random.u32();
  const kind = random.below(4);
  if (kind < 2) [low, high] = random.pick(F64);
  else if (kind === 2) high = (high & 0x800f_ffff) | ((1010 + random.below(40)) << 20);
  out.setUint32(at, low, true);
  out.setUint32(at + 4, high, true);
}

/** An FXSAVE image: x87 and XMM registers and both control registers. */
export function fpuState(random: Random, out: DataView, at: number): void {
  const plain = random.chance(2);
  const control = plain
    ? 0x37f
    : 0x40 |
      (random.chance(2) ? 0x3f : random.below(64)) |
      (random.below(4) << 10) |
      ([0, 2, 3][random.below(3)]! << 8);
  out.setUint16(at, control, true);
  out.setUint16(at + 2, (random.below(8) << 11) | (random.u32() & 0x4700), true);
  out.setUint8(at + 4, random.chance(2) ? 0xff : random.u32() & 0xff);
  // With PE set already, arithmetic may take the fast paths (SSE_FAST).
  const mxcsr = random.chance(2)
    ? 0x1f80 | (random.below(2) << 5)
    : (random.chance(3) ? random.below(64) << 7 : 0x1f80) |
      (random.below(4) << 13) |
      (random.chance(4) ? 0x8000 : 0) |
      (random.chance(4) ? 0x40 : 0) |
      random.below(64);
  out.setUint32(at + 24, mxcsr, true);
  for (let i = 0; i < 8; i++) {
    const register = at + 32 + i * 16;
    const kind = random.below(6);
    let exponent = 0x3ff0 + random.below(32);
    let significand = random.u64() | (1n << 63n);
    if (kind === 0) [exponent, significand] = [0, random.chance(2) ? 0n : random.u64() >> 1n];
    if (kind === 1) [exponent, significand] = [0x7fff, random.chance(2) ? 1n << 63n : significand];
    if (kind === 2)
      [exponent, significand] = [
        0x3fff + random.below(64),
        random.pick([1n << 63n, 3n << 62n, (1n << 64n) - 1n]),
      ];
    if (kind === 3) exponent = random.below(0x7fff);
    out.setBigUint64(register, significand, true);
    out.setUint16(register + 8, exponent | (random.chance(2) ? 0x8000 : 0), true);
  }
  for (let i = 0; i < 16; i++) vector(random, out, at + 160 + i * 16);
}
