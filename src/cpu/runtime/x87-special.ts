/** x87 instructions of the D9 E0..FF block that are exact: signs, classes, remainders, scaling, constants. */
import { roundToInteger, special, squareRoot } from './softfloat-arith';
import {
  copyFloat, DE, FINITE, Float, float, Fp, INFINITE, NAN, normalise, setInfinite, setInvalid,
  setZero, UE, unpackInt, UP, ZE, ZERO,
} from './softfloat-core';
import {
  aborted, begin, C0, C1, C2, C3, end, getSt, isEmpty, moveTop, need, NO_OPERAND, noteRounding,
  pushFloat, room, roundExtended, roundToControl, setConditions, setIndefinite, setSt, setStatus,
  st, status,
} from './x87-state';

/** FCHS (flip 1) and FABS (flip 0): of whatever bits there are. */
export function x87_sign(flip: i32): void {
  begin();
  if (need(0)) {
    const p = st(0);
    const signExp = <i32>load<u16>(p, 8);
    store<u16>(p, <u16>(flip ? signExp ^ 0x8000 : signExp & 0x7fff), 8);
  } else if (!aborted()) setIndefinite(0);
  end(NO_OPERAND);
}

/** FXAM: the class in C3 C2 C0, the sign in C1, of empty registers too. */
export function x87_examine(): void {
  begin();
  const f = float(0);
  getSt(f, 0);
  let bits = f.sign ? C1 : 0;
  if (isEmpty(0)) bits |= C3 | C0;
  else if (f.kind == ZERO) bits |= C3;
  else if (f.kind == INFINITE) bits |= C2 | C0;
  else if (f.kind & NAN) bits |= C0;
  else if (f.denormal) bits |= C3 | C2;
  else if (f.kind == FINITE) bits |= C2;
  setConditions(bits);
}

/** One operand in, one result out at ST(0): 0 FSQRT, 1 FRNDINT. */
export function x87_unary(what: i32): void {
  begin();
  const f = float(0);
  if (need(0)) {
    getSt(f, 0);
    if (what == 0) squareRoot(f, f);
    else if (!special(f, f, f)) {
      if (f.denormal) Fp.flags |= DE;
      if (!aborted()) roundToInteger(f, false);
    }
    if (!aborted()) {
      if (what == 0) roundToControl(f);
      noteRounding();
      setSt(0, f);
    }
  } else if (!aborted()) setIndefinite(0);
  end(NO_OPERAND);
}

/** Significands, rounded to nearest below (PI, LG2, LN2, L2E: up), without the exception [SDM 2A "FLD1"]. */
export function x87_constant(n: i32): void {
  begin();
  const f = float(0);
  f.kind = FINITE;
  f.sign = 0;
  let nearestIsUp = 1;
  switch (n) {
    case 0:
      unpackInt(f, 1);
      nearestIsUp = -1;
      break;
    case 1:
      f.sig = 0xd49a784bcd1b8afe;
      f.exp = 1;
      nearestIsUp = 0;
      break;
    case 2:
      f.sig = 0xb8aa3b295c17f0bb;
      f.exp = 0;
      break;
    case 3:
      f.sig = 0xc90fdaa22168c234;
      f.exp = 1;
      break;
    case 4:
      f.sig = 0x9a209a84fbcff798;
      f.exp = -2;
      break;
    case 5:
      f.sig = 0xb17217f7d1cf79ab;
      f.exp = -1;
      break;
    default:
      setZero(f, 0);
      nearestIsUp = -1;
  }
  if (nearestIsUp >= 0) f.sig += u64(Fp.rc == UP || (Fp.rc == 0 && nearestIsUp != 0));
  const fits = room();
  if (!aborted()) {
    moveTop(-1);
    if (fits) setSt(0, f);
    else setIndefinite(0);
  }
  end(NO_OPERAND);
}

/** FPREM (nearest 0) and FPREM1: C2 while the reduction is not complete, quotient bits in C0 C3 C1. */
export function x87_remainder(nearest: i32): void {
  begin();
  setStatus(status() & ~C2);
  if (!(need(0) && need(1))) {
    if (!aborted()) setIndefinite(0);
    end(NO_OPERAND);
    return;
  }
  const a = float(0);
  const b = float(1);
  getSt(a, 0);
  getSt(b, 1);
  // C0 and C3 are those of a complete reduction, or stay.
  let bits = status() & (C0 | C3);
  if (!special(a, a, b)) {
    if (a.kind == INFINITE || b.kind == ZERO) setInvalid(a);
    else {
      if (a.denormal | b.denormal) Fp.flags |= DE;
      if (b.kind == INFINITE) Fp.masks |= UE; // Unchanged, though it may be a denormal.
      bits = a.kind == FINITE && b.kind == FINITE ? reduce(a, b, nearest != 0) : 0;
    }
  }
  if (!aborted()) {
    roundExtended(a);
    setConditions(bits);
    setSt(0, a);
  }
  end(NO_OPERAND);
}

/** a = a mod b, or part of the way (exponents 64 and more apart); gives the condition bits. */
function reduce(a: Float, b: Float, nearest: bool): i32 {
  const apart = a.exp - b.exp;
  const least = nearest ? -1 : 0;
  if (apart < least) return 0;
  const partial = apart >= 64;
  // How far a partial reduction goes is the processor's choice, 32 to 63.
  const steps = partial ? 32 + (apart & 31) : apart;
  let rest = a.sig;
  let carry: u64 = 0;
  let q: u64 = 0;
  if (apart >= 0) {
    for (let i = 0; ; i++) {
      if (carry != 0 || rest >= b.sig) {
        rest -= b.sig;
        q |= 1;
      }
      if (i == steps) break;
      carry = rest >> 63;
      rest <<= 1;
      q <<= 1;
    }
  }
  if (nearest && !partial) {
    if (apart < 0) {
      // Half a quotient: |a| is rest / 2 in units of b's last place.
      if (rest <= b.sig) return 0;
      a.sig = b.sig - (rest >> 1) - (rest & 1);
      a.low = (rest & 1) << 63;
      a.exp = b.exp;
      a.sign ^= 1;
      normalise(a);
      return C1;
    }
    const other = b.sig - rest;
    if (rest > other || (rest == other && q & 1)) {
      rest = other;
      a.sign ^= 1;
      q++;
    }
  }
  a.sig = rest;
  a.low = 0;
  a.exp = b.exp + apart - steps;
  if (rest == 0) setZero(a, a.sign);
  else normalise(a);
  if (partial) return C2;
  return (q & 4 ? C0 : 0) | (q & 2 ? C3 : 0) | (q & 1 ? C1 : 0);
}

/** FSCALE: ST(0) * 2^trunc(ST(1)). */
export function x87_scale(): void {
  begin();
  if (!(need(0) && need(1))) {
    if (!aborted()) setIndefinite(0);
    end(NO_OPERAND);
    return;
  }
  const a = float(0);
  const b = float(1);
  getSt(a, 0);
  getSt(b, 1);
  if (!special(a, a, b)) {
    if (b.kind == INFINITE && a.kind == (b.sign ? INFINITE : ZERO)) setInvalid(a);
    else {
      if (a.denormal | b.denormal) Fp.flags |= DE;
      if (a.kind == FINITE) {
        if (b.kind == INFINITE) {
          if (b.sign) setZero(a, a.sign);
          else setInfinite(a, a.sign);
        } else if (b.kind == FINITE && b.exp >= 0) {
          const by = b.exp > 16 ? 0x10000 : <i32>(b.sig >> (63 - b.exp));
          a.exp += b.sign ? -by : by;
        } else if (b.kind == ZERO) Fp.masks |= UE; // Unchanged, though it may be a denormal.
      }
    }
  }
  if (!aborted()) {
    roundExtended(a);
    noteRounding();
    setSt(0, a);
  }
  end(NO_OPERAND);
}

/** FXTRACT: exponent to ST(0), then the significand is pushed. */
export function x87_extract(): void {
  begin();
  const present = need(0);
  const fits = present && room();
  const a = float(0);
  const exponent = float(1);
  if (fits) {
    getSt(a, 0);
    if (special(a, a, a)) copyFloat(exponent, a);
    else {
      if (a.denormal) Fp.flags |= DE;
      if (a.kind == ZERO) {
        Fp.flags |= ZE;
        setInfinite(exponent, 1);
      } else if (a.kind == INFINITE) setInfinite(exponent, 0);
      else {
        unpackInt(exponent, a.exp);
        a.exp = 0;
      }
    }
  }
  if (!aborted()) {
    if (fits) {
      setSt(0, exponent);
      pushFloat(a);
    } else {
      setIndefinite(0);
      moveTop(-1);
      setIndefinite(0);
    }
  }
  end(NO_OPERAND);
}
