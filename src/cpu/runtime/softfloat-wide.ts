/**
 * Arithmetic on all 128 bits of Floats, and the series of the elementary functions. Results are good to more
 * than 100 bits: rounded to 64 they are the correctly rounded ones but for one in 2^36.
 */
import { addFloats } from './softfloat-arith';
import {
  divide128, FINITE, Float, float, mulHigh, normalise, TOP_BIT, ZERO,
} from './softfloat-core';

/** Constants: significand, its lower half, exponent. */
const CONSTANTS = memory.data<u64>([
  0xfeadd4d5617b6e32, 0xc897989f3e888ef8, -4,
  0xfadbafc96406eb15, 0x6dc79ef5f7a217e6, -3,
  0xb7b0ca0f26f78473, 0x8aa32122dcfe4483, -2,
  0xed63382b0dda7b45, 0x6fe445ecbc3a8d03, -2,
  0x8f005d5ef7f59f9b, 0x5c835e1665c43748, -1,
  0xa4bc7d1934f70924, 0x19a87f2a457dac9f, -1,
  0xb8053e2bc2319e73, 0xcb2da55210a4443d, -1,
  0xc90fdaa22168c234, 0xc4c6628b80dc1cd1, -1,
  0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af, -1,
  0xb8aa3b295c17f0bb, 0xbe87fed0691d3e89, 0,
]);
/** Constant n < 8 is atan((n + 1) / 8). */
export const PI_4: i32 = 7;
export const LN2: i32 = 8;
export const LOG2E: i32 = 9;

export function constant(f: Float, n: i32): void {
  const at = CONSTANTS + n * 24;
  setFinite(f, load<u64>(at), load<i32>(at, 16));
  f.low = load<u64>(at, 8);
}

export function setFinite(f: Float, sig: u64, exp: i32): void {
  f.kind = FINITE;
  f.sign = 0;
  f.sig = sig;
  f.low = 0;
  f.exp = exp;
  f.denormal = 0;
}

/** r = a * b; the last bits of the product are dropped. */
export function mulWide(r: Float, a: Float, b: Float): void {
  const sign = a.sign ^ b.sign;
  if ((a.kind | b.kind) & ZERO) {
    r.kind = ZERO;
    r.sign = sign;
    return;
  }
  const low = a.sig * b.sig;
  const cross1 = mulHigh(a.sig, b.low);
  const cross2 = mulHigh(a.low, b.sig);
  const sum1 = low + cross1;
  const sum2 = sum1 + cross2;
  const exp = a.exp + b.exp + 1;
  r.sig = mulHigh(a.sig, b.sig) + u64(sum1 < low) + u64(sum2 < sum1);
  r.low = sum2;
  r.exp = exp;
  r.sign = sign;
  r.kind = FINITE;
  normalise(r);
}

/** r = r / n, for 0 < n < 2^31. */
export function divSmall(r: Float, n: u64): void {
  if (r.kind == ZERO) return;
  let rest: u64 = 0;
  const high = r.sig;
  const low = r.low;
  const d3 = (rest << 32) | (high >> 32);
  rest = d3 % n;
  const d2 = (rest << 32) | (high & 0xffff_ffff);
  rest = d2 % n;
  const d1 = (rest << 32) | (low >> 32);
  rest = d1 % n;
  const d0 = (rest << 32) | (low & 0xffff_ffff);
  r.sig = ((d3 / n) << 32) | (d2 / n);
  r.low = ((d1 / n) << 32) | (d0 / n);
  normalise(r);
}

/** r = a / b by a 63-bit reciprocal and one Newton step. Uses float(14); r may be neither a nor b. */
export function divWide(r: Float, a: Float, b: Float): void {
  const inverse = float(14);
  setFinite(inverse, 0, 0);
  // 2^127 / b.sig lies in [2^63, 2^64]; at 2^64 one less will do.
  inverse.sig = b.sig == TOP_BIT ? <u64>-1 : divide128(TOP_BIT, 0, b.sig);
  inverse.exp = -b.exp - 1;
  normalise(inverse);
  // inverse * (2 - b * inverse), as inverse + inverse * (1 - b * inverse).
  const sign = b.sign;
  b.sign = 0;
  mulWide(r, b, inverse);
  r.sign = 1;
  setFinite(float(13), TOP_BIT, 0);
  addFloats(r, float(13), r, r.sign);
  mulWide(r, r, inverse);
  addFloats(inverse, inverse, r, r.sign);
  b.sign = sign;
  inverse.sign = sign;
  mulWide(r, a, inverse);
}

/** r = 1 + s * r * x, s the sign given. */
function oneAnd(r: Float, x: Float, sign: i32): void {
  mulWide(r, r, x);
  r.sign ^= sign;
  setFinite(float(13), TOP_BIT, 0);
  addFloats(r, float(13), r, r.sign);
}

/** r = sin x or cos x, for |x| <= pi/4. Uses float(12). */
export function sineOrCosine(r: Float, x: Float, cosine: bool): void {
  const square = float(12);
  mulWide(square, x, x);
  setFinite(r, TOP_BIT, 0);
  for (let k = 14; k > 0; k--) {
    const n = cosine ? 2 * k - 1 : 2 * k;
    divSmall(r, <u64>(n * (n + 1)));
    oneAnd(r, square, 1);
  }
  if (!cosine) mulWide(r, r, x);
}

/** r = e^x - 1, for |x| <= ln 2. Changes x. */
export function exponentialLess1(r: Float, x: Float): void {
  x.exp -= 3;
  setFinite(r, TOP_BIT, 0);
  for (let k = 19; k > 1; k--) {
    divSmall(r, k);
    oneAnd(r, x, 0);
  }
  mulWide(r, r, x);
  const two = float(12);
  for (let i = 0; i < 3; i++) {
    setFinite(two, TOP_BIT, 1);
    addFloats(two, two, r, r.sign);
    mulWide(r, r, two);
  }
}

/** r = s (1 + q/3 + q^2/5 + ...), q = s^2 or, alternating, -s^2: artanh s or arctan s. Uses float(12), float(11). */
export function inverseTangent(r: Float, s: Float, alternating: i32, terms: i32): void {
  const square = float(12);
  mulWide(square, s, s);
  square.sign = alternating;
  const fraction = float(11);
  r.kind = ZERO;
  r.sign = 0;
  for (let k = terms; k >= 0; k--) {
    mulWide(r, r, square);
    setFinite(fraction, TOP_BIT, 0);
    divSmall(fraction, 2 * k + 1);
    addFloats(r, fraction, r, r.sign);
  }
  mulWide(r, r, s);
}
