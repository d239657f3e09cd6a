/**
 * F2XM1, FYL2X, FYL2XP1, FPATAN, FSIN, FCOS, FSINCOS and FPTAN, computed to over 100 bits and rounded once.
 * Processors give the same but for the last bit of a few results [SDM 1 8.3.10].
 */
import { addFloats, special } from './softfloat-arith';
import {
  copyFloat, DE, FINITE, Float, float, Fp, INFINITE, NEAREST, normalise, PE, setInfinite,
  setInvalid, setZero, TOP_BIT, UE, unpackInt, ZE, ZERO,
} from './softfloat-core';
import {
  constant, divWide, exponentialLess1, inverseTangent, LN2, LOG2E, mulWide, PI_4, setFinite,
  sineOrCosine,
} from './softfloat-wide';
import {
  aborted, begin, C2, end, getSt, moveTop, need, NO_OPERAND, noteRounding, pop, room,
  roundExtended, setIndefinite, setSt, setStatus, status,
} from './x87-state';

const FYL2X = 1;
const FPTAN = 2;
const FPATAN = 3;
const FYL2XP1 = 9;
const FSINCOS = 11;
const FSIN = 14;
/** Below 2^TINY an angle is its own sine. */
const TINY = -33;

/** By the low four bits of the second opcode byte, D9 F0..FF. */
export function x87_transcendental(what: i32): void {
  begin();
  if (what == 0) f2xm1();
  else if (what == FYL2X || what == FYL2XP1 || what == FPATAN) ofTwo(what);
  else trigonometric(what);
  end(NO_OPERAND);
}

/** How a result came about. Some exact ones raise PE, as processors do, and say that they were rounded up. */
const INEXACT: i32 = 0;
const EXACT: i32 = 1;
const EXACT_UP: i32 = 2;

/** Rounds and stores; a transcendental result that is not exact never ends in zeros only. */
function deliver(r: Float, to: i32, how: i32): void {
  if (how == INEXACT && r.kind == FINITE) r.low |= 1;
  roundExtended(r);
  if (how == EXACT_UP) {
    if (r.kind == FINITE && !(r.sig & TOP_BIT)) Fp.flags |= UE;
    else Fp.up = true;
  }
  noteRounding();
  setSt(to, r);
}

// --- one operand ------------------------------------------------------------------------------------

function f2xm1(): void {
  const x = float(0);
  const r = float(2);
  let how = EXACT;
  if (!need(0)) {
    if (!aborted()) setIndefinite(0);
    return;
  }
  getSt(x, 0);
  copyFloat(r, x);
  if (!special(r, x, x)) {
    if (x.denormal) Fp.flags |= DE;
    if (x.kind == INFINITE && x.sign) setFinite(r, TOP_BIT, 0);
    if (x.kind == INFINITE) r.sign = x.sign;
    else if (x.kind == FINITE) {
      // Beyond [-1, 1] nothing is promised; processors leave the operand.
      if (x.exp >= 0) {
        if (x.exp == 0 && x.sig == TOP_BIT && x.sign) r.exp = -1;
        Fp.flags |= PE;
      } else {
        constant(float(3), LN2);
        mulWide(x, x, float(3));
        exponentialLess1(r, x);
        how = INEXACT;
      }
    }
  }
  if (!aborted()) deliver(r, 0, how);
}

// --- trigonometry -------------------------------------------------------------------------------------

/**
 * Reduces |x| by multiples of pi/2, pi to 66 bits as Intel's processors have it [SDM 1 8.3.8]: x becomes the
 * nearest remainder, with its sign; the number of multiples mod 4 comes back.
 */
function reduce(x: Float): i32 {
  const high: u64 = 0xc90fdaa22168c234;
  const low: u64 = 0xc000000000000000;
  x.sign = 0;
  if (x.exp < -1) return 0;
  let q = 0;
  let carry: u64 = 0;
  let exp = x.exp;
  for (; exp >= 0; exp--) {
    q <<= 1;
    if (carry != 0 || x.sig > high || (x.sig == high && x.low >= low)) {
      x.sig -= high + u64(x.low < low);
      x.low -= low;
      q |= 1;
    }
    if (exp == 0) break;
    carry = x.sig >> 63;
    x.sig = (x.sig << 1) | (x.low >> 63);
    x.low <<= 1;
  }
  x.exp = exp;
  normalise(x);
  // Above pi/4, the distance from the next multiple.
  if (x.exp > -1 || (x.exp == -1 && x.sig > high)) {
    const limit = float(3);
    setFinite(limit, high, 0);
    limit.low = low;
    addFloats(x, limit, x, 1);
    x.sign = 1;
    q++;
  }
  return q & 3;
}

/** sin or cos of reduced x in quadrant n. */
function sine(r: Float, x: Float, n: i32): void {
  sineOrCosine(r, x, (n & 1) != 0);
  if (n & 2) r.sign ^= 1;
}

function trigonometric(what: i32): void {
  const pushes = what == FSINCOS || what == FPTAN;
  const x = float(0);
  const r = float(2);
  const second = float(4);
  setStatus(status() & ~C2);
  if (!need(0) || (pushes && !room())) {
    if (aborted()) return;
    setIndefinite(0);
    if (pushes) {
      moveTop(-1);
      setIndefinite(0);
    }
    return;
  }
  getSt(x, 0);
  let how = EXACT;
  if (special(r, x, x)) copyFloat(second, r);
  else if (x.kind == INFINITE) {
    setInvalid(r);
    copyFloat(second, r);
  } else {
    if (x.denormal) Fp.flags |= DE;
    if (aborted()) return;
    const sign = x.sign;
    if (x.kind == ZERO) {
      unpackInt(second, 1);
      copyFloat(r, x);
    } else if (x.exp >= 63) {
      setStatus(status() | C2);
      return;
    } else if (x.exp < TINY) {
      // sin x = x and cos x = 1 by any rounding, though not exactly.
      Fp.rc = NEAREST;
      how = INEXACT;
      copyFloat(r, x);
      setFinite(second, TOP_BIT, 0);
    } else {
      const n = reduce(x);
      how = INEXACT;
      sine(r, x, n);
      r.sign ^= sign;
      sine(second, x, n + 1);
      if (what == FPTAN) {
        copyFloat(float(5), r);
        divWide(r, float(5), second);
        unpackInt(second, 1);
      }
    }
  }
  if (aborted()) return;
  if (what == FSIN || pushes) deliver(r, 0, how);
  else deliver(second, 0, how);
  if (!pushes) return;
  const up = Fp.up;
  moveTop(-1);
  deliver(second, 0, what == FPTAN ? EXACT : how);
  Fp.up = up;
}

// --- two operands -------------------------------------------------------------------------------------

/** ST(1) = f(ST(1), ST(0)), pop. */
function ofTwo(what: i32): void {
  const x = float(0);
  const y = float(1);
  const r = float(2);
  if (!(need(0) && need(1))) {
    if (aborted()) return;
    setIndefinite(1);
    pop();
    return;
  }
  getSt(x, 0);
  getSt(y, 1);
  let how = INEXACT;
  if (special(r, x, y)) how = EXACT;
  else {
    const denormal = (x.denormal | y.denormal) != 0;
    if (what == FPATAN) how = arctangent(r, y, x);
    else how = what == FYL2X ? logarithm(r, y, x) : logarithmPlus1(r, y, x);
    if (denormal && !(Fp.flags & 5)) Fp.flags |= DE;
  }
  if (aborted()) {
    Fp.flags &= ~PE;
    return;
  }
  deliver(r, 1, how);
  pop();
}

/** r = y * log2 x. */
function logarithm(r: Float, y: Float, x: Float): i32 {
  if (x.kind != ZERO && x.sign) {
    setInvalid(r);
    return EXACT;
  }
  const isOne = x.kind == FINITE && x.exp == 0 && x.sig == TOP_BIT;
  const negative = i32(x.kind == ZERO || (x.kind == FINITE && x.exp < 0));
  const sign = y.sign ^ negative;
  if (x.kind != FINITE || y.kind != FINITE || isOne) {
    if ((y.kind == ZERO && x.kind != FINITE) || (y.kind == INFINITE && isOne)) setInvalid(r);
    else if (y.kind == ZERO || isOne) setZero(r, sign);
    else {
      if (x.kind == ZERO && y.kind == FINITE) Fp.flags |= ZE;
      setInfinite(r, sign);
    }
    return EXACT;
  }
  // x = 2^e * m, m in [1/sqrt 2, sqrt 2].
  let e = x.exp;
  x.exp = 0;
  if (x.sig >= 0xb504f333f9de6484) {
    x.exp = -1;
    e++;
  }
  const whole = float(6);
  unpackInt(whole, e);
  const powerOf2 = x.sig == TOP_BIT && x.low == 0;
  if (powerOf2) copyFloat(r, whole);
  else {
    // (m - 1) / (m + 1)
    const above = float(7);
    setFinite(above, TOP_BIT, 0);
    addFloats(float(8), x, above, 1);
    addFloats(above, x, above, 0);
    divWide(float(9), float(8), above);
    log2Series(r, float(9));
    addFloats(r, whole, r, r.sign);
  }
  mulWide(r, r, y);
  if (!powerOf2) return INEXACT;
  Fp.flags |= PE;
  return e == 1 ? EXACT : EXACT_UP;
}

/** r = 2 log2(e) artanh(s) */
function log2Series(r: Float, s: Float): void {
  inverseTangent(r, s, 0, 22);
  constant(float(10), LOG2E);
  mulWide(r, r, float(10));
  r.exp++;
}

/** r = y * log2(1 + x); inexact by PE always. */
function logarithmPlus1(r: Float, y: Float, x: Float): i32 {
  if (x.kind == INFINITE && x.sign) {
    setInvalid(r);
    return EXACT;
  }
  const sign = x.sign ^ y.sign;
  const kinds = x.kind | y.kind;
  if (kinds == (ZERO | INFINITE)) setInvalid(r);
  else if (kinds & INFINITE) setInfinite(r, sign);
  else if (kinds & ZERO) setZero(r, sign);
  else if (x.sign && x.exp >= 0) {
    // Outside the domain, processors give the operand.
    copyFloat(r, x);
    Fp.flags |= PE;
  } else if (x.exp >= -2) {
    setFinite(float(7), TOP_BIT, 0);
    addFloats(x, x, float(7), 0);
    Fp.flags |= PE;
    return logarithm(r, y, x);
  } else {
    const two = float(7);
    setFinite(two, TOP_BIT, 1);
    addFloats(two, two, x, x.sign);
    divWide(float(9), x, two);
    log2Series(r, float(9));
    mulWide(r, r, y);
    return INEXACT;
  }
  return EXACT;
}

/** r = a multiple of pi/4. */
function quarters(r: Float, n: i32, sign: i32): void {
  constant(r, PI_4);
  if (n == 3) {
    const double = float(7);
    copyFloat(double, r);
    double.exp++;
    addFloats(r, r, double, 0);
  } else r.exp += n >> 1;
  r.sign = sign;
}

/** r = the angle of (x, y). */
function arctangent(r: Float, y: Float, x: Float): i32 {
  const sign = y.sign;
  if (y.kind == INFINITE) {
    quarters(r, x.kind != INFINITE ? 2 : x.sign ? 3 : 1, sign);
    return INEXACT;
  }
  if (y.kind == ZERO || x.kind == INFINITE) {
    if (x.sign) quarters(r, 4, sign);
    else setZero(r, sign);
    return x.sign ? INEXACT : EXACT;
  }
  if (x.kind == ZERO) {
    quarters(r, 2, sign);
    return INEXACT;
  }
  const negative = x.sign != 0;
  x.sign = 0;
  y.sign = 0;
  const steep = compareMagnitudes(y, x);
  const a = steep ? x : y;
  const b = steep ? y : x;
  // a / b <= 1: near k/8, arctan(a/b) = arctan(k/8) + arctan((8a - kb) / (8b + ka)).
  const apart = b.exp - a.exp;
  const k = apart > 5 ? 0 : <i32>(<f64>a.sig / <f64>b.sig / <f64>(1 << apart) * 8.0 + 0.5);
  const t = float(9);
  if (k == 0) divWide(t, a, b);
  else {
    const above = float(6);
    const below = float(7);
    const times = float(8);
    unpackInt(times, k);
    mulWide(above, b, times);
    mulWide(below, a, times);
    a.exp += 3;
    b.exp += 3;
    addFloats(above, a, above, 1);
    addFloats(below, b, below, 0);
    if (above.kind == ZERO) setZero(t, 0);
    else divWide(t, above, below);
  }
  inverseTangent(r, t, 1, 14);
  if (k != 0) {
    constant(float(10), k - 1);
    addFloats(r, float(10), r, r.sign);
  }
  if (steep) {
    quarters(t, 2, 0);
    addFloats(r, t, r, 1);
  }
  if (negative) {
    quarters(t, 4, 0);
    addFloats(r, t, r, 1);
  }
  r.sign = sign;
  return INEXACT;
}

/** |y| > |x| */
function compareMagnitudes(y: Float, x: Float): bool {
  return y.exp != x.exp ? y.exp > x.exp : y.sig > x.sig;
}
