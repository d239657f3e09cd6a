/**
 * SSE floating point, exact: whatever the generated code's fast paths do not take. Every function takes
 * pointers to operands in memory and `n` elements of format `fmt` (0 binary32, 1 binary64); nothing is written,
 * except flags, when an unmasked exception is raised [SDM 1 11.5, 14.4].
 */
import { CPU } from './env';
import { raise } from './fault';
import { CR4, MXCSR } from './generated-layout';
import { UD, XM } from './private';
import {
  ADD,
  arithmetic,
  compare,
  EQUAL,
  GREATER,
  LESS,
  MUL,
  roundToInteger,
  special,
  squareRoot,
  SUB,
  toInt,
  UNORDERED,
} from './softfloat-arith';
import {
  copyFloat,
  DE,
  Float,
  float,
  Fp,
  IE,
  NAN,
  pack32,
  pack64,
  FINITE,
  round32,
  round64,
  setZero,
  unpack32,
  unpack64,
  unpackInt,
  ZE,
  ZERO,
} from './softfloat-core';
import { noteMxcsr } from './xsave';

/** Operations beyond those of softfloat-arith. */
export const MIN: i32 = 6;
export const MAX: i32 = 7;
/** Of the second operand. */
export const SQRT: i32 = 8;
/** Even elements subtract, odd ones add. */
export const ADDSUB: i32 = 9;

const CR4_OSXMMEXCPT: u32 = 1 << 10;
/** Found before computing: when one is unmasked, nothing is computed and so none of the others is seen. */
const PRE_COMPUTATION = IE | DE | ZE;

function begin(): void {
  const mxcsr = load<u32>(<usize>CPU + MXCSR);
  Fp.flags = 0;
  Fp.rc = (mxcsr >> 13) & 3;
  Fp.masks = (mxcsr >> 7) & 0x3f;
  Fp.daz = (mxcsr & 0x40) != 0;
  Fp.ftz = mxcsr >> 15 != 0;
  Fp.x87 = false;
}

/** Accumulates the flags; #XM, or #UD where the system does not expect it, if one is unmasked. */
function finish(): void {
  const unmasked = Fp.flags & ~Fp.masks;
  if (unmasked & PRE_COMPUTATION) Fp.flags &= PRE_COMPUTATION;
  const mxcsr = load<u32>(<usize>CPU + MXCSR);
  if (<u32>Fp.flags & ~mxcsr) noteMxcsr(mxcsr | <u32>Fp.flags);
  if (unmasked != 0) {
    raise(load<u32>(<usize>CPU + CR4) & CR4_OSXMMEXCPT ? XM : UD, 0, 0);
  }
}

@inline
function fetch(f: Float, fmt: i32, p: usize, i: i32): void {
  if (fmt) unpack64(f, load<u64>(p + (i << 3)));
  else unpack32(f, load<u32>(p + (i << 2)));
}

@inline
function put(f: Float, fmt: i32, p: usize, i: i32): void {
  if (fmt) {
    store<u64>(p + (i << 3), pack64(f));
  } else store<u32>(p + (i << 2), pack32(f));
}

@inline
function roundFormat(f: Float, fmt: i32): void {
  if (fmt) round64(f);
  else round32(f);
}

/** Where results wait until no exception can come: 32 bytes. */
@inline
function results(): usize {
  return changetype<usize>(float(13));
}

function extreme(op: i32, r: Float, a: Float, b: Float): void {
  let first = false;
  if ((a.kind | b.kind) & NAN) Fp.flags |= IE;
  else first = compare(a, b, false) == (op == MIN ? LESS : GREATER);
  copyFloat(r, first ? a : b);
}

function element(op: i32, fmt: i32, p: usize, i: i32, a: Float, b: Float, r: Float): void {
  if (op == MIN || op == MAX) {
    extreme(op, r, a, b);
    // Rounding an operand is exact and restores a denormal's form; it raises nothing new.
    const flags = Fp.flags;
    const ftz = Fp.ftz;
    const masks = Fp.masks;
    Fp.ftz = false;
    Fp.masks = 0x3f;
    roundFormat(r, fmt);
    Fp.flags = flags;
    Fp.ftz = ftz;
    Fp.masks = masks;
  } else {
    if (op == SQRT) squareRoot(r, b);
    else if (op == ADDSUB) arithmetic(i & 1 ? ADD : SUB, r, a, b);
    else arithmetic(op, r, a, b);
    roundFormat(r, fmt);
  }
  put(r, fmt, p, i);
}

/** dst[i] = a[i] op b[i]. */
export function sse_arith(op: i32, fmt: i32, n: i32, dst: usize, a: usize, b: usize): void {
  begin();
  const x = float(0);
  const y = float(1);
  const r = float(2);
  const out = results();
  for (let i = 0; i < n; i++) {
    fetch(x, fmt, a, i);
    fetch(y, fmt, b, i);
    element(op, fmt, out, i, x, y, r);
  }
  finish();
  memory.copy(dst, out, n << (2 + fmt));
}

/** CMPPS and its like: predicates 0..7 (EQ LT LE UNORD NEQ NLT NLE ORD); all ones where true. */
export function sse_compare(predicate: i32, fmt: i32, n: i32, dst: usize, a: usize, b: usize): void {
  begin();
  const x = float(0);
  const y = float(1);
  const out = results();
  const kind = predicate & 3;
  for (let i = 0; i < n; i++) {
    fetch(x, fmt, a, i);
    fetch(y, fmt, b, i);
    const order = compare(x, y, kind == 0 || kind == 3);
    const holds =
      kind == 0
        ? order == EQUAL
        : kind == 3
          ? order == UNORDERED
          : order == LESS || (kind == 2 && order == EQUAL);
    const mask: i64 = holds == (predicate < 4) ? -1 : 0;
    if (fmt) store<i64>(out + (i << 3), mask);
    else store<i32>(out + (i << 2), <i32>mask);
  }
  finish();
  memory.copy(dst, out, n << (2 + fmt));
}

/** COMISx (quiet = 0) and UCOMISx: CF, PF and ZF in their EFLAGS places. */
export function sse_comi(quiet: i32, fmt: i32, a: usize, b: usize): i32 {
  begin();
  const x = float(0);
  const y = float(1);
  fetch(x, fmt, a, 0);
  fetch(y, fmt, b, 0);
  const order = compare(x, y, quiet != 0);
  finish();
  return order == UNORDERED ? 0x45 : order == EQUAL ? 0x40 : order == LESS ? 1 : 0;
}

/** CVTPS2PD, CVTPD2PS and the scalar ones: from `fmt` to the other format. */
export function sse_convert(fmt: i32, n: i32, dst: usize, src: usize): void {
  begin();
  const x = float(0);
  const out = results();
  for (let i = 0; i < n; i++) {
    fetch(x, fmt, src, i);
    if (!special(x, x, x) && x.denormal) Fp.flags |= DE;
    roundFormat(x, fmt ^ 1);
    put(x, fmt ^ 1, out, i);
  }
  finish();
  memory.copy(dst, out, n << (3 - fmt));
}

/** CVTSI2SS and CVTSI2SD. */
export function sse_from_int(fmt: i32, value: i64, dst: usize): void {
  begin();
  const x = float(0);
  unpackInt(x, value);
  roundFormat(x, fmt);
  finish();
  put(x, fmt, dst, 0);
}

/** CVTDQ2PS, CVTDQ2PD, CVTPI2PS, CVTPI2PD. */
export function sse_from_int32s(fmt: i32, n: i32, dst: usize, src: usize): void {
  begin();
  const x = float(0);
  const out = results();
  for (let i = 0; i < n; i++) {
    unpackInt(x, load<i32>(src + (i << 2)));
    roundFormat(x, fmt);
    put(x, fmt, out, i);
  }
  finish();
  memory.copy(dst, out, n << (2 + fmt));
}

/** CVTSS2SI, CVTSD2SI and the truncating ones, to `bits` bits. */
export function sse_to_int(fmt: i32, bits: i32, chop: i32, src: usize): i64 {
  begin();
  const x = float(0);
  fetch(x, fmt, src, 0);
  const value = toInt(x, bits, chop != 0);
  finish();
  return value;
}

/** CVT(T)PS2DQ, CVT(T)PD2DQ, CVT(T)PS2PI, CVT(T)PD2PI: writes n dwords. */
export function sse_to_int32s(fmt: i32, n: i32, chop: i32, dst: usize, src: usize): void {
  begin();
  const x = float(0);
  const out = results();
  for (let i = 0; i < n; i++) {
    fetch(x, fmt, src, i);
    store<i32>(out + (i << 2), <i32>toInt(x, 32, chop != 0));
  }
  finish();
  memory.copy(dst, out, n << 2);
}

/** ROUNDPS and its like; imm: bits 1..0 rounding, bit 2 MXCSR's instead, bit 3 no PE. */
export function sse_round(imm: i32, fmt: i32, n: i32, dst: usize, src: usize): void {
  begin();
  if (!(imm & 4)) Fp.rc = imm & 3;
  const x = float(0);
  const out = results();
  for (let i = 0; i < n; i++) {
    fetch(x, fmt, src, i);
    if (!special(x, x, x)) roundToInteger(x, (imm & 8) != 0);
    put(x, fmt, out, i);
  }
  finish();
  memory.copy(dst, out, n << (2 + fmt));
}

/**
 * DPPS and DPPD: products, sums with the neighbour, sums of those, each rounded; an unmasked exception ends
 * the step it comes in [SDM 2A "DPPS"]. Which operand comes
 * first, measured, shows in NaNs only.
 */
export function sse_dot(imm: i32, fmt: i32, dst: usize, a: usize, b: usize): void {
  begin();
  const x = float(0);
  const y = float(1);
  const n = fmt ? 2 : 4;
  const parts = changetype<usize>(float(8));
  const sums = results();
  for (let i = 0; i < n; i++) {
    setZero(x, 0);
    if ((imm >> (4 + i)) & 1) {
      fetch(x, fmt, a, i);
      fetch(y, fmt, b, i);
      element(MUL, fmt, parts, i, x, y, x);
    } else put(x, fmt, parts, i);
  }
  finish();
  for (let step = 1; step < n; step <<= 1) {
    for (let i = 0; i < n; i++) {
      const first = step << 1 == n ? i : i ^ step;
      fetch(x, fmt, parts, first);
      fetch(y, fmt, parts, first ^ step);
      element(ADD, fmt, sums, i, x, y, x);
    }
    finish();
    memory.copy(parts, sums, 16);
  }
  for (let i = 0; i < n; i++) {
    if (fmt) store<u64>(dst + (i << 3), (imm >> i) & 1 ? load<u64>(parts + (i << 3)) : 0);
    else store<u32>(dst + (i << 2), (imm >> i) & 1 ? load<u32>(parts + (i << 2)) : 0);
  }
}

/**
 * RCPPS and RSQRTPS as Intel's processors since the Pentium III compute them: the correctly rounded 12-bit
 * reciprocal (root) of the middle of the interval that the operand's upper 11 (10) significand bits
 * leave. Measured equal on all 2^23 and 2^24 significands.
 */
export function sse_reciprocal(root: i32, n: i32, dst: usize, src: usize): void {
  const x = float(0);
  Fp.daz = true;
  for (let i = 0; i < n; i++) {
    const p = <usize>(i << 2);
    const bits = load<u32>(src + p);
    unpack32(x, bits);
    let result: u32 = bits & 0x8000_0000;
    if (x.kind & NAN) result = bits | 0x0040_0000;
    else if (x.kind == ZERO) result |= 0x7f80_0000;
    else if (root && x.sign) result = 0xffc0_0000;
    else if (x.kind == FINITE) {
      const odd = x.exp & 1;
      const middle = root
        ? <f64>(((bits >> 13) & 0x3ff) * 2 + 2049) / (odd ? 1024.0 : 2048.0)
        : <f64>(((bits >> 12) & 0x7ff) * 2 + 4097) / 4096.0;
      const fraction = <u32>((2.0 / (root ? Math.sqrt(middle) : middle)) * 4096.0 + 0.5) - 4096;
      const exp = root ? 126 - (x.exp >> 1) : 126 - x.exp;
      if (exp > 0) result |= ((<u32>exp) << 23) | (fraction << 11);
    }
    store<u32>(dst + p, result);
  }
}
