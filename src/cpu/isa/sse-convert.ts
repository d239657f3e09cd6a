/** SSE conversions among integers and floating point, fast and exact as in sse-fp.ts. [SDM 2A "CVT"] */
import type { Operand } from './sem.js';
import { fast, Lanes, PD, PS, places, SD, type Shape, SS, sse, sse2 } from './sse-lanes.js';
import type { Family, Semantic } from './table.js';
import { waitForX87 } from './x87.js';

const P2_31 = [0x4f00_0000, 0x41e0_0000_0000_0000n] as const;
const P2_63 = [0x5f00_0000, 0x43e0_0000_0000_0000n] as const;
/** Where binary64 rounds to infinity in binary32, and binary32's smallest normal number. */
const SINGLE_LIMIT = [0, 0x47ef_ffff_f000_0000n] as const;
const SINGLE_MIN = [0, 0x3810_0000_0000_0000n] as const;

/** CVTSS2SD, CVTPS2PD, CVTSD2SS, CVTPD2PS: `to` tells the format. */
const convert =
  (to: Shape): Semantic =>
  (s) => {
    const narrow = to.fmt === 0;
    const [dst, src] = places(s, to.packed && narrow ? 16 : narrow || to.packed ? 8 : 4);
    const from = narrow ? (to.packed ? PD : SD) : to.packed ? PS : SS;
    const l = new Lanes(s, from);
    // CVTPS2PD reads two elements only.
    const value = to.packed && !narrow ? s.load('v128.load64_zero', src) : l.load(src);
    let ok = l.plain(value);
    if (narrow) {
      const least = l.op('ge', l.op('abs', value), l.constant(SINGLE_MIN));
      ok = l.either(l.both(least, l.below(value, SINGLE_LIMIT)), l.zero(value));
    }
    const name = to.packed
      ? narrow
        ? 'f32x4.demote_f64x2_zero'
        : 'f64x2.promote_low_f32x4'
      : narrow
        ? 'f32.demote_f64'
        : 'f64.promote_f32';
    s.if(
      s.and(fast(s), l.all(ok)),
      () => new Lanes(s, to).store(dst, s.op(name, value)),
      () => {
        s.rt('sse_convert', s.i32(from.fmt), s.i32(to.packed ? 2 : 1), dst, src);
        if (to.packed && narrow) s.effect('i64.store', [dst, s.i64(0)], 8);
      },
    );
  };

/** CVTSI2SS and CVTSI2SD. */
const fromInt =
  (shape: Shape): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(src);
    const value = s.read(src);
    const to = s.vaddress(dst, 16);
    const result = s.op(`${shape.name}.convert_i${bits}_s`, value);
    // 32 bits always fit into binary64.
    const exact = bits === 32 && shape.fmt === 1;
    s.if(
      exact ? s.i32(1) : fast(s),
      () => s.effect(`${shape.name}.store`, [to, result]),
      () => s.rt('sse_from_int', s.i32(shape.fmt), s.sext64(value), to),
    );
  };

/** CVTSS2SI, CVTSD2SI and the truncating ones. */
const toInt =
  (chop: boolean, shape: Shape): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(dst);
    const from = s.vaddress(src, shape.bytes);
    const l = new Lanes(s, shape);
    const value = chop ? l.load(from) : l.op('nearest', l.load(from));
    const result = s.variable(s.ty(bits));
    s.if(
      s.and(fast(s), l.below(value, bits === 64 ? P2_63 : P2_31)),
      () => s.set(result, s.op(`i${bits}.trunc_sat_${shape.name}_s`, value)),
      () => {
        const args = [s.i32(shape.fmt), s.i32(bits), s.i32(chop ? 1 : 0), from];
        const wide = s.rt('sse_to_int', ...args);
        s.set(result, bits === 64 ? wide : s.wrap(wide));
      },
    );
    s.write(dst, s.get(result));
  };

/** CVTDQ2PS (inexact) and CVTDQ2PD (never). */
const fromInts =
  (shape: Shape): Semantic =>
  (s) => {
    const [dst, src] = places(s, shape.fmt ? 8 : 16);
    if (shape.fmt) {
      const low = s.load('v128.load64_zero', src);
      s.effect('v128.store', [dst, s.op('f64x2.convert_low_i32x4_s', low)]);
      return;
    }
    const result = s.op('f32x4.convert_i32x4_s', s.load('v128.load', src));
    s.if(
      fast(s),
      () => s.effect('v128.store', [dst, result]),
      () => s.rt('sse_from_int32s', s.i32(0), s.i32(4), dst, src),
    );
  };

/** CVTPS2DQ, CVTPD2DQ and the truncating ones; two doubles leave the upper half zero. */
const toInts =
  (chop: boolean, shape: Shape): Semantic =>
  (s) => {
    const [dst, src] = places(s, 16);
    const l = new Lanes(s, shape);
    const value = chop ? l.load(src) : l.op('nearest', l.load(src));
    const name = shape.fmt ? 'i32x4.trunc_sat_f64x2_s_zero' : 'i32x4.trunc_sat_f32x4_s';
    s.if(
      s.and(fast(s), l.all(l.below(value, P2_31))),
      () => s.effect('v128.store', [dst, s.op(name, value)]),
      () => {
        const args = [s.i32(shape.fmt), s.i32(shape.n), s.i32(chop ? 1 : 0), dst, src];
        s.rt('sse_to_int32s', ...args);
        if (shape.fmt) s.effect('i64.store', [dst, s.i64(0)], 8);
      },
    );
  };

/** CVTPI2PS and CVTPI2PD; with memory they leave the x87 alone. TOP changes also before a #XM. */
const fromMmx =
  (shape: Shape): Semantic =>
  (s) => {
    const mmx = s.operands[1]!.kind === 'mmx';
    if (mmx) waitForX87(s);
    const [dst, src] = places(s, 8);
    if (mmx) s.enterMmx();
    s.rt('sse_from_int32s', s.i32(shape.fmt), s.i32(2), dst, src);
  };

/** CVTPS2PI, CVTPD2PI and the truncating ones. */
const toMmx =
  (chop: boolean, shape: Shape): Semantic =>
  (s) => {
    waitForX87(s);
    const [dst, src] = s.operands as [Operand, Operand];
    const from = s.vaddress(src, shape.fmt ? 16 : 8);
    const to = s.vaddress(dst, 8);
    s.enterMmx();
    s.rt('sse_to_int32s', s.i32(shape.fmt), s.i32(2), s.i32(chop ? 1 : 0), to, from);
    s.effect('i32.store16', [to, s.i32(0xffff)], 8);
  };

export const sseConversions: Family = (def) => {
  def('NP 0F 5A /r', 'cvtps2pd', 'Vx Wq', convert(PD), sse2);
  def('66 0F 5A /r', 'cvtpd2ps', 'Vx Wx', convert(PS), sse2);
  def('F3 0F 5A /r', 'cvtss2sd', 'Vx Wd', convert(SD), sse2);
  def('F2 0F 5A /r', 'cvtsd2ss', 'Vx Wq', convert(SS), sse2);
  def('F3 0F 2A /r', 'cvtsi2ss', 'Vx Ey', fromInt(SS), sse);
  def('F2 0F 2A /r', 'cvtsi2sd', 'Vx Ey', fromInt(SD), sse2);
  def('F3 0F 2C /r', 'cvttss2si', 'Gy Wd', toInt(true, SS), sse);
  def('F2 0F 2C /r', 'cvttsd2si', 'Gy Wq', toInt(true, SD), sse2);
  def('F3 0F 2D /r', 'cvtss2si', 'Gy Wd', toInt(false, SS), sse);
  def('F2 0F 2D /r', 'cvtsd2si', 'Gy Wq', toInt(false, SD), sse2);
  def('NP 0F 5B /r', 'cvtdq2ps', 'Vx Wx', fromInts(PS), sse2);
  def('F3 0F E6 /r', 'cvtdq2pd', 'Vx Wq', fromInts(PD), sse2);
  def('66 0F 5B /r', 'cvtps2dq', 'Vx Wx', toInts(false, PS), sse2);
  def('F3 0F 5B /r', 'cvttps2dq', 'Vx Wx', toInts(true, PS), sse2);
  def('F2 0F E6 /r', 'cvtpd2dq', 'Vx Wx', toInts(false, PD), sse2);
  def('66 0F E6 /r', 'cvttpd2dq', 'Vx Wx', toInts(true, PD), sse2);
  def('NP 0F 2A /r', 'cvtpi2ps', 'Vx Qq', fromMmx(PS), sse);
  def('66 0F 2A /r', 'cvtpi2pd', 'Vx Qq', fromMmx(PD), sse2);
  def('NP 0F 2C /r', 'cvttps2pi', 'Pq Wq', toMmx(true, PS), sse);
  def('66 0F 2C /r', 'cvttpd2pi', 'Pq Wx', toMmx(true, PD), sse2);
  def('NP 0F 2D /r', 'cvtps2pi', 'Pq Wq', toMmx(false, PS), sse);
  def('66 0F 2D /r', 'cvtpd2pi', 'Pq Wx', toMmx(false, PD), sse2);
};
