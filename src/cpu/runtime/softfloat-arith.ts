/** Add, multiply, divide, square root, compare and integer rounding on Floats; exact up to the sticky bit. */
import {
  CHOP,
  copyFloat,
  DE,
  divide128,
  DOWN,
  FINITE,
  Float,
  float,
  Fp,
  IE,
  INFINITE,
  mulHigh,
  NAN,
  normalise,
  PE,
  QNAN,
  QUIET_BIT,
  Remainder,
  roundSig,
  setInfinite,
  setInvalid,
  setZero,
  shiftRightSticky,
  SNAN,
  TOP_BIT,
  UNSUPPORTED,
  ZE,
  ZERO,
} from './softfloat-core';

export const ADD: i32 = 0;
export const MUL: i32 = 1;
export const SUB: i32 = 2;
export const SUBR: i32 = 3;
export const DIV: i32 = 4;
export const DIVR: i32 = 5;

/** The NaN an operation on (a, b), at least one a NaN, gives [SDM 1 4.8.3.5, table 4-7]. */
export function propagate(r: Float, a: Float, b: Float): void {
  if ((a.kind | b.kind) & SNAN) Fp.flags |= IE;
  let from = a.kind & NAN ? a : b;
  if (Fp.x87 && a.kind & NAN && b.kind & NAN) {
    if (a.kind != b.kind) from = a.kind == QNAN ? a : b;
    else if (a.sig != b.sig) from = a.sig > b.sig ? a : b;
    else from = a.sign ? b : a;
  }
  const sign = from.sign;
  r.sig = from.sig | QUIET_BIT;
  r.sign = sign;
  r.kind = QNAN;
}

/** Handles NaN and unsupported operands: true when r is the result. Notes denormals otherwise. */
export function special(r: Float, a: Float, b: Float): bool {
  const kinds = a.kind | b.kind;
  if (kinds & UNSUPPORTED) {
    setInvalid(r);
    return true;
  }
  if (kinds & NAN) {
    propagate(r, a, b);
    return true;
  }
  return false;
}

/** r = a op b, unrounded. r may be a or b. */
export function arithmetic(op: i32, r: Float, a: Float, b: Float): void {
  if (op == SUBR || op == DIVR) {
    const t = a;
    a = b;
    b = t;
  }
  if (special(r, a, b)) return;
  const denormal = (a.denormal | b.denormal) != 0;
  const before = Fp.flags;
  Fp.flags &= ~(IE | ZE);
  if (op == MUL) multiply(r, a, b);
  else if (op >= DIV) divide(r, a, b);
  else addFloats(r, a, b, op == ADD ? b.sign : b.sign ^ 1);
  // An invalid operation and a division by zero hide a denormal operand.
  if (denormal && !(Fp.flags & (IE | ZE))) Fp.flags |= DE;
  Fp.flags |= before;
}

/** r = a + b with b's sign as given, on all 128 bits. r may be a or b; uses float(15). */
export function addFloats(r: Float, a: Float, b: Float, bSign: i32): void {
  const kinds = a.kind | b.kind;
  if (kinds & INFINITE) {
    if (a.kind == b.kind && a.sign != bSign) setInvalid(r);
    else setInfinite(r, a.kind == INFINITE ? a.sign : bSign);
    return;
  }
  if (kinds & ZERO) {
    if (kinds == ZERO) setZero(r, a.sign == bSign ? bSign : i32(Fp.rc == DOWN));
    else if (a.kind == ZERO) {
      copyFloat(r, b);
      r.sign = bSign;
    } else copyFloat(r, a);
    return;
  }
  let big = a;
  let small = b;
  let sign = a.sign;
  const subtract = a.sign != bSign;
  if (b.exp > a.exp || (b.exp == a.exp && (b.sig > a.sig || (b.sig == a.sig && b.low > a.low)))) {
    big = b;
    small = a;
    sign = bSign;
  }
  const t = float(15);
  copyFloat(t, small);
  shiftRightSticky(t, big.exp - small.exp);
  const bigSig = big.sig;
  const bigLow = big.low;
  r.exp = big.exp;
  r.kind = FINITE;
  r.sign = sign;
  if (subtract) {
    r.low = bigLow - t.low;
    r.sig = bigSig - t.sig - u64(bigLow < t.low);
    if ((r.sig | r.low) == 0) setZero(r, i32(Fp.rc == DOWN));
    else normalise(r);
  } else {
    const low = bigLow + t.low;
    const carryLow = u64(low < bigLow);
    const sum = bigSig + t.sig;
    const sig = sum + carryLow;
    r.low = low;
    r.sig = sig;
    if (sum < bigSig || sig < sum) {
      r.low = (sig << 63) | (low >> 1) | (low & 1);
      r.sig = (sig >> 1) | TOP_BIT;
      r.exp++;
    }
  }
}

/** Uses the upper 64 bits of each significand. */
function multiply(r: Float, a: Float, b: Float): void {
  const sign = a.sign ^ b.sign;
  const kinds = a.kind | b.kind;
  if (kinds & INFINITE) {
    if (kinds & ZERO) setInvalid(r);
    else setInfinite(r, sign);
    return;
  }
  if (kinds & ZERO) {
    setZero(r, sign);
    return;
  }
  const high = mulHigh(a.sig, b.sig);
  r.low = a.sig * b.sig;
  r.sig = high;
  r.exp = a.exp + b.exp + 1;
  r.sign = sign;
  r.kind = FINITE;
  normalise(r);
}

function divide(r: Float, a: Float, b: Float): void {
  const sign = a.sign ^ b.sign;
  if (a.kind == b.kind && a.kind != FINITE) {
    setInvalid(r);
    return;
  }
  if (a.kind == INFINITE || b.kind == ZERO) {
    if (b.kind == ZERO && a.kind == FINITE) Fp.flags |= ZE;
    setInfinite(r, sign);
    return;
  }
  if (a.kind == ZERO || b.kind == INFINITE) {
    setZero(r, sign);
    return;
  }
  const d = b.sig;
  let exp = a.exp - b.exp;
  let high = a.sig;
  let low: u64 = 0;
  if (high >= d) {
    low = high << 63;
    high >>= 1;
  } else exp--;
  r.sig = divide128(high, low, d);
  r.low = divide128(Remainder.value, 0, d) | u64(Remainder.value != 0);
  r.exp = exp;
  r.sign = sign;
  r.kind = FINITE;
}

/** Square root, unrounded: the remainder tells on which side of the half the root lies. */
export function squareRoot(r: Float, a: Float): void {
  if (special(r, a, a)) return;
  if (a.kind != ZERO && a.sign) {
    setInvalid(r);
    return;
  }
  if (a.denormal) Fp.flags |= DE;
  if (a.kind != FINITE) {
    copyFloat(r, a);
    return;
  }
  const odd = a.exp & 1;
  const high = odd ? a.sig : a.sig >> 1;
  const low: u64 = odd ? 0 : a.sig << 63;
  // An estimate from below good to 2^13, one Newton step, then by ones to the exact floor.
  const guess = Math.sqrt(<f64>high) * 4294967296.0;
  let q: u64 = guess >= 18446744073709549568.0 ? 0xffff_ffff_ffff_f000 : <u64>guess - 4096;
  let left = low - q * q;
  let over = high - mulHigh(q, q) - u64(low < q * q);
  q += <u64>((<f64>over * 18446744073709551616.0 + <f64>left) / (2.0 * <f64>q)) - 1;
  left = low - q * q;
  over = high - mulHigh(q, q) - u64(low < q * q);
  while (over > q >> 63 || (over == q >> 63 && left > q << 1)) {
    const step = (q << 1) + 1;
    over -= (q >> 63) + u64(left < step);
    left -= step;
    q++;
  }
  r.sig = q;
  r.low = (left | over) == 0 ? 0 : over != 0 || left > q ? <u64>3 << 62 : <u64>1 << 62;
  r.exp = a.exp >> 1;
  r.sign = 0;
  r.kind = FINITE;
}

export const LESS: i32 = -1;
export const EQUAL: i32 = 0;
export const GREATER: i32 = 1;
export const UNORDERED: i32 = 2;

/** `quiet`: only signalling NaNs are invalid. */
export function compare(a: Float, b: Float, quiet: bool): i32 {
  const kinds = a.kind | b.kind;
  if (kinds & (NAN | UNSUPPORTED)) {
    if (!quiet || kinds & (SNAN | UNSUPPORTED)) Fp.flags |= IE;
    return UNORDERED;
  }
  if (a.denormal | b.denormal) Fp.flags |= DE;
  if (kinds == ZERO) return EQUAL;
  if (a.kind == ZERO) return b.sign ? GREATER : LESS;
  if (b.kind == ZERO || a.sign != b.sign) return a.sign ? LESS : GREATER;
  const larger = a.sign ? LESS : GREATER;
  const rankA = a.kind == INFINITE ? 0x10000 : a.exp;
  const rankB = b.kind == INFINITE ? 0x10000 : b.exp;
  if (rankA != rankB) return rankA > rankB ? larger : -larger;
  return a.sig == b.sig ? EQUAL : a.sig > b.sig ? larger : -larger;
}

/** Rounds a finite number to an integer by Fp.rc; `quiet` leaves PE alone. */
export function roundToInteger(r: Float, quiet: bool): void {
  Fp.inexact = false;
  Fp.up = false;
  if (r.kind != FINITE || r.exp >= 63) return;
  const kept = roundSig(r, 63 - r.exp);
  if (Fp.inexact && !quiet) Fp.flags |= PE;
  r.low = 0;
  r.sig = kept;
  r.exp = 63;
  if (kept == 0) setZero(r, r.sign);
  else normalise(r);
}

/** Signed integer of `bits` bits; out of range or not a number: IE and the integer indefinite. */
export function toInt(f: Float, bits: i32, chop: bool): i64 {
  const indefinite: i64 = <i64>-1 << (bits - 1);
  Fp.inexact = false;
  Fp.up = false;
  if (f.kind == ZERO) return 0;
  let magnitude: u64 = 0;
  if (f.kind == FINITE && f.exp <= 63) {
    const rc = Fp.rc;
    if (chop) Fp.rc = CHOP;
    magnitude = roundSig(f, 63 - f.exp);
    Fp.rc = rc;
    if (magnitude <= ((<u64>1) << (bits - 1)) - u64(f.sign == 0)) {
      if (Fp.inexact) Fp.flags |= PE;
      return f.sign ? 0 - magnitude : magnitude;
    }
  }
  Fp.flags |= IE;
  Fp.inexact = false;
  Fp.up = false;
  return indefinite;
}
