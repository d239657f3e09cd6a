/**
 * The one core of all exact floating point: numbers of any format are unpacked into a Float, computed
 * with 128 bits of significand, and rounded once by `roundTo`. Works for binary32, binary64 and the
 * x87's 80-bit format alike [SDM 1 4.8, 8.5, 11.5].
 */
import { CPU } from './env';
import { RUNTIME_PRIVATE_END } from './generated-layout';

/** Exception flags: same bits in MXCSR and in the x87's status word. */
export const IE: i32 = 1;
export const DE: i32 = 2;
export const ZE: i32 = 4;
export const OE: i32 = 8;
export const UE: i32 = 16;
export const PE: i32 = 32;

/** Rounding control, as in MXCSR and the x87's control word. */
export const NEAREST: i32 = 0;
export const DOWN: i32 = 1;
export const UP: i32 = 2;
export const CHOP: i32 = 3;

/** What a Float is: bits, so that the kinds of two operands can be tested together. */
export const ZERO: i32 = 1;
export const FINITE: i32 = 2;
export const INFINITE: i32 = 4;
export const QNAN: i32 = 8;
export const SNAN: i32 = 16;
/** 80-bit encodings the 387 and later refuse: unnormals, pseudo-NaNs, pseudo-infinities [SDM 1 8.2.2]. */
export const UNSUPPORTED: i32 = 32;
export const NAN: i32 = QNAN | SNAN;

export const TOP_BIT: u64 = 0x8000_0000_0000_0000;
export const QUIET_BIT: u64 = 0x4000_0000_0000_0000;

/** What an operation reads and leaves besides its operands. One instance of this module is one vCPU's. */
export class Fp {
  static rc: i32 = 0;
  /** Exception masks, 1 = masked, in flag order. */
  static masks: i32 = 0x3f;
  static daz: bool = false;
  static ftz: bool = false;
  /** NaN rules: the x87's choose the larger significand, SSE's the first operand. */
  static x87: bool = false;
  /** Flags raised so far. */
  static flags: i32 = 0;
  /** The last rounding lost bits; and added one to the magnitude (C1 of the x87). */
  static inexact: bool = false;
  static up: bool = false;
}

/** A finite one is (-1)^sign * (sig : low) / 2^127 * 2^exp with bit 63 of sig set. */
@unmanaged
export class Float {
  sig: u64;
  /** 64 more bits of significand; the last is sticky. */
  low: u64;
  exp: i32;
  sign: i32;
  kind: i32;
  /** The operand was a denormal (or pseudo-denormal). */
  denormal: i32;
}

/** What unmasked overflow and underflow take from and add to the exponent. */
const WRAP: i32 = 24576;

const FLOATS: usize = <usize>RUNTIME_PRIVATE_END - 0x200;

/** The n-th of the vCPU's sixteen scratch numbers. */
@inline
export function float(n: usize): Float {
  return changetype<Float>(<usize>CPU + FLOATS + n * 32);
}

@inline
export function copyFloat(to: Float, from: Float): void {
  memory.copy(changetype<usize>(to), changetype<usize>(from), 32);
}

// --- 128-bit steps --------------------------------------------------------------------------------

export function mulHigh(a: u64, b: u64): u64 {
  const al = a & 0xffff_ffff;
  const ah = a >> 32;
  const bl = b & 0xffff_ffff;
  const bh = b >> 32;
  const mid = ah * bl + ((al * bl) >> 32);
  const mid2 = al * bh + (mid & 0xffff_ffff);
  return ah * bh + (mid >> 32) + (mid2 >> 32);
}

/** Remainder of the last `divide128`. */
export class Remainder {
  static value: u64 = 0;
}

/** (high : low) / d, for high < d and d with its top bit set (Knuth's algorithm D on two digits). */
export function divide128(high: u64, low: u64, d: u64): u64 {
  const first = divideStep(high, low >> 32, d);
  const second = divideStep(Remainder.value, low & 0xffff_ffff, d);
  return (first << 32) | second;
}

function divideStep(high: u64, digit: u64, d: u64): u64 {
  const dh = d >> 32;
  const dl = d & 0xffff_ffff;
  let q = high / dh;
  let r = high - q * dh;
  while (q >> 32 != 0 || q * dl > ((r << 32) | digit)) {
    q--;
    r += dh;
    if (r >> 32 != 0) break;
  }
  Remainder.value = ((high << 32) | digit) - q * d;
  return q;
}

/** Shifts sig : low right by n, or-ing what falls out into the last bit. */
export function shiftRightSticky(f: Float, n: i32): void {
  if (n == 0) return;
  if (n < 64) {
    const lost = f.low << (64 - n);
    f.low = (f.sig << (64 - n)) | (f.low >> n) | u64(lost != 0);
    f.sig >>= n;
  } else if (n < 128) {
    const lost = f.low | (n == 64 ? 0 : f.sig << (128 - n));
    f.low = (f.sig >> (n - 64)) | u64(lost != 0);
    f.sig = 0;
  } else {
    f.low = u64((f.sig | f.low) != 0);
    f.sig = 0;
  }
}

/** Brings the top bit of a number whose sig : low is not 0 to bit 63. */
export function normalise(f: Float): void {
  if (f.sig == 0) {
    f.sig = f.low;
    f.low = 0;
    f.exp -= 64;
  }
  const n = <i32>clz(f.sig);
  if (n != 0) {
    f.sig = (f.sig << n) | (f.low >> (64 - n));
    f.low <<= n;
    f.exp -= n;
  }
}

// --- unpacking --------------------------------------------------------------------------------------

/** binary32 (8, 23) and binary64 (11, 52). */
function unpackBinary(f: Float, bits: u64, expBits: i32, fracBits: i32): void {
  const max = (1 << expBits) - 1;
  const field = <i32>(bits >> fracBits) & max;
  let sig = bits << (63 - fracBits);
  f.sign = <i32>(bits >> (fracBits + expBits)) & 1;
  f.low = 0;
  f.denormal = 0;
  f.exp = field - (max >> 1);
  f.kind = FINITE;
  if (field == 0) {
    sig &= ~TOP_BIT;
    if (sig == 0 || Fp.daz) {
      f.kind = ZERO;
      sig = 0;
    } else {
      const n = <i32>clz(sig);
      sig <<= n;
      f.exp += 1 - n;
      f.denormal = 1;
    }
  } else {
    sig |= TOP_BIT;
    if (field == max) f.kind = sig << 1 == 0 ? INFINITE : sig & QUIET_BIT ? QNAN : SNAN;
  }
  f.sig = sig;
}

export function unpack32(f: Float, bits: u32): void {
  unpackBinary(f, bits, 8, 23);
}

export function unpack64(f: Float, bits: u64): void {
  unpackBinary(f, bits, 11, 52);
}

export function unpack80(f: Float, sig: u64, signExp: u32): void {
  const field = <i32>(signExp & 0x7fff);
  f.sign = <i32>(signExp >> 15) & 1;
  f.sig = sig;
  f.low = 0;
  f.denormal = 0;
  f.exp = field - 16383;
  f.kind = FINITE;
  if (field == 0) {
    if (sig == 0) f.kind = ZERO;
    else {
      const n = <i32>clz(sig);
      f.sig = sig << n;
      f.exp += 1 - n;
      f.denormal = 1;
    }
  } else if (!(sig & TOP_BIT)) f.kind = UNSUPPORTED;
  else if (field == 0x7fff) f.kind = sig << 1 == 0 ? INFINITE : sig & QUIET_BIT ? QNAN : SNAN;
}

export function unpackInt(f: Float, value: i64): void {
  f.sign = i32(value < 0);
  f.sig = value < 0 ? 0 - value : value;
  f.low = 0;
  f.denormal = 0;
  f.exp = 63;
  f.kind = value == 0 ? ZERO : FINITE;
  if (value != 0) normalise(f);
}

// --- special results ---------------------------------------------------------------------------------

export function setZero(r: Float, sign: i32): void {
  r.kind = ZERO;
  r.sign = sign;
  r.sig = 0;
}

export function setInfinite(r: Float, sign: i32): void {
  r.kind = INFINITE;
  r.sign = sign;
  r.sig = TOP_BIT;
}

/** Invalid operation: the default NaN. */
export function setInvalid(r: Float): void {
  Fp.flags |= IE;
  r.kind = QNAN;
  r.sign = 1;
  r.sig = TOP_BIT | QUIET_BIT;
}

// --- rounding ----------------------------------------------------------------------------------------

/** sig : low without its last `drop + 64` bits, rounded by Fp.rc; a carry out of the top wraps. */
export function roundSig(f: Float, drop: i32): u64 {
  let kept: u64 = 0;
  let rest: u64 = 1;
  if (drop <= 0) {
    kept = f.sig;
    rest = f.low;
  } else if (drop < 64) {
    kept = f.sig >> drop;
    rest = (f.sig << (64 - drop)) | u64(f.low != 0);
  } else if (drop == 64) rest = f.sig | u64(f.low != 0);
  Fp.inexact = rest != 0;
  Fp.up =
    Fp.rc == NEAREST
      ? rest > TOP_BIT || (rest == TOP_BIT && (kept & 1) != 0)
      : rest != 0 && Fp.rc == (f.sign ? DOWN : UP);
  return kept + u64(Fp.up);
}

/**
 * Rounds a finite r to `prec` bits and exponents emin..emax, with gradual underflow, tininess detected after
 * rounding, and masked responses. An unmasked overflow or underflow leaves the exponent wrapped as the x87
 * delivers it, or infinity or zero where FSCALE went beyond even that [SDM 1 8.5.4, 8.5.5]; SSE discards
 * the result then. A denormal result keeps emin and a clear top bit.
 */
export function roundTo(r: Float, prec: i32, emin: i32, emax: i32): void {
  Fp.inexact = false;
  Fp.up = false;
  if (r.kind != FINITE) return;
  const drop = 64 - prec;
  let exp = r.exp;
  let kept = roundSig(r, drop);
  if (prec == 64 ? kept == 0 : kept >> prec != 0) {
    kept = (<u64>1) << (prec - 1);
    exp++;
  }
  if (exp < emin) {
    const masked = (Fp.masks & UE) != 0;
    if (!masked) Fp.flags |= UE;
    if (masked ? Fp.ftz : exp + WRAP < emin) {
      Fp.flags |= UE | PE;
      setZero(r, r.sign);
      return;
    }
    if (masked) {
      kept = roundSig(r, drop + emin - r.exp);
      exp = emin;
      if (Fp.inexact) Fp.flags |= UE;
    } else exp += WRAP;
  } else if (exp > emax) {
    const masked = (Fp.masks & OE) != 0;
    Fp.flags |= OE;
    if (masked || exp - WRAP > emax) {
      Fp.flags |= PE;
      Fp.inexact = true;
      Fp.up = !masked || Fp.rc == NEAREST || Fp.rc == (r.sign ? DOWN : UP);
      if (Fp.up) setInfinite(r, r.sign);
      else {
        r.exp = emax;
        r.sig = <u64>-1 << drop;
      }
      return;
    }
    exp -= WRAP;
  }
  if (Fp.inexact) Fp.flags |= PE;
  r.exp = exp;
  r.sig = kept << drop;
  r.low = 0;
  if (kept == 0) r.kind = ZERO;
}

@inline
export function round32(r: Float): void {
  roundTo(r, 24, -126, 127);
}

@inline
export function round64(r: Float): void {
  roundTo(r, 53, -1022, 1023);
}

// --- packing (rounded numbers only) -------------------------------------------------------------------

function packBinary(f: Float, expBits: i32, fracBits: i32): u64 {
  const max = (1 << expBits) - 1;
  const sign = (<u64>f.sign) << (expBits + fracBits);
  if (f.kind == ZERO) return sign;
  const field = f.kind != FINITE ? max : f.sig & TOP_BIT ? f.exp + (max >> 1) : 0;
  return sign | ((<u64>field) << fracBits) | ((f.sig & ~TOP_BIT) >> (63 - fracBits));
}

export function pack32(f: Float): u32 {
  return <u32>packBinary(f, 8, 23);
}

export function pack64(f: Float): u64 {
  return packBinary(f, 11, 52);
}

/** Sign and exponent of the 80-bit format; its significand is f.sig. */
export function pack80SignExp(f: Float): u32 {
  const sign = (<u32>f.sign) << 15;
  if (f.kind == ZERO) return sign;
  const field = f.kind != FINITE ? 0x7fff : f.sig & TOP_BIT ? f.exp + 16383 : 0;
  return sign | <u32>field;
}
