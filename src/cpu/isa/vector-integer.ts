/** Packed integer instructions of two operands, as both SSE and MMX have them. [SDM 2A, 2B "P"] */
import type { Value } from '../emit/function-builder.js';
import type { Sem } from './sem.js';
import {
  type Binary,
  elements,
  flipped,
  lanes,
  op,
  shift,
  shuffle,
  unpack,
  zero,
} from './vector-lanes.js';

/** An instruction on packed integers that has an XMM form and mostly an MMX form too. */
export interface PackedEntry {
  /** Pattern without its mandatory prefix. */
  readonly pattern: string;
  readonly name: string;
  readonly compute: Binary;
  /** CPUID feature of the XMM form. */
  readonly feature: string;
  /**
   * The MMX form: computed on lower halves; on both operands joined to one vector, which then stands
   * for both; as the upper half of the result with the operands in upper halves; or there is none.
   */
  readonly mmx: 'halves' | 'joined' | 'upper' | 'none';
  /** CPUID feature of the MMX form. */
  readonly mmxFeature: string;
}

/** PHADD and PHSUB: even and odd elements of both operands, put together. */
function horizontal(width: 2 | 4, combine: string): Binary {
  const even = width === 2 ? [0, 2, 4, 6, 8, 10, 12, 14] : [0, 2, 4, 6];
  const first = elements(width, even);
  const second = elements(
    width,
    even.map((n) => n + 1),
  );
  return (s, a, b) =>
    s.op(combine, s.lane('i8x16.shuffle', first, a, b), s.lane('i8x16.shuffle', second, a, b));
}

/** Upper halves of 16-bit products. */
function multiplyHigh(sign: 's' | 'u'): Binary {
  const upper = shuffle(elements(2, [1, 3, 5, 7, 9, 11, 13, 15]));
  return (s, a, b) =>
    upper(
      s,
      s.op(`i32x4.extmul_low_i16x8_${sign}`, a, b),
      s.op(`i32x4.extmul_high_i16x8_${sign}`, a, b),
    );
}

/** Products of the even dwords. */
export function multiplyEven(sign: 's' | 'u'): Binary {
  const order = elements(4, [0, 2, 0, 2]);
  return (s, a, b) =>
    s.op(
      `i64x2.extmul_low_i32x4_${sign}`,
      s.lane('i8x16.shuffle', order, a, a),
      s.lane('i8x16.shuffle', order, b, b),
    );
}

/** |a - b| of unsigned bytes. */
export const distance: Binary = (s, a, b) =>
  s.op('v128.or', s.op('i8x16.sub_sat_u', a, b), s.op('i8x16.sub_sat_u', b, a));

/** Four adjacent bytes summed to a dword. */
export const sumOfFour = (s: Sem, v: Value): Value =>
  s.op('i32x4.extadd_pairwise_i16x8_u', s.op('i16x8.extadd_pairwise_i8x16_u', v));

const psadbw: Binary = (s, a, b) => {
  const fours = sumOfFour(s, distance(s, a, b));
  const sum = s.op('i32x4.add', fours, s.op('i64x2.shr_u', fours, s.i32(32)));
  return s.op('v128.and', sum, lanes(s, 4, [-1, 0, -1, 0]));
};

/** Unsigned bytes times signed bytes, adjacent products added with saturation. */
const pmaddubsw: Binary = (s, a, b) => {
  const eight = s.i32(8);
  const evenA = s.op('v128.and', a, lanes(s, 2, new Array<number>(8).fill(0xff)));
  const evenB = s.op('i16x8.shr_s', s.op('i16x8.shl', b, eight), eight);
  const odd = s.op('i16x8.mul', s.op('i16x8.shr_u', a, eight), s.op('i16x8.shr_s', b, eight));
  return s.op('i16x8.add_sat_s', s.op('i16x8.mul', evenA, evenB), odd);
};

const pmulhrsw: Binary = (s, a, b) => {
  const least = lanes(s, 2, new Array<number>(8).fill(0x8000));
  // -1 times -1 saturates in wasm and wraps here.
  const wraps = s.op('v128.and', s.op('i16x8.eq', a, least), s.op('i16x8.eq', b, least));
  return s.op('v128.xor', s.op('i16x8.q15mulr_sat_s', a, b), wraps);
};

const pshufb: Binary = (s, a, b) =>
  s.op('i8x16.swizzle', a, s.op('v128.and', b, s.v128(new Array<number>(16).fill(0x8f))));

/** Bytes of a 64-bit operand: index bit 3 does not count. */
const pshufbHalf: Binary = (s, a, b) =>
  s.op('i8x16.swizzle', a, s.op('v128.and', b, s.v128(new Array<number>(16).fill(0x87))));

function sign(shape: string): Binary {
  return (s, a, b) => {
    const negative = s.op(`${shape}.lt_s`, b, zero(s));
    const signed = s.op(`${shape}.sub`, s.op('v128.xor', a, negative), negative);
    return s.op('v128.andnot', signed, s.op(`${shape}.eq`, b, zero(s)));
  };
}

const absolute =
  (shape: string): Binary =>
  (s, _a, b) =>
    s.op(`${shape}.abs`, b);

/** A shift of all elements by the source's low 64 bits. */
const byRegister =
  (kind: string, bits: number): Binary =>
  (s, a, b) =>
    shift(s, kind, bits, a, s.lane('i64x2.extract_lane', 0, b));

type Row = readonly [
  opcode: string,
  name: string,
  compute: Binary | string,
  mmx?: PackedEntry['mmx'],
];

/** MMX since the first, XMM since SSE2. */
const MMX: readonly Row[] = [
  ['60', 'punpcklbw', unpack(1, 'low')],
  ['61', 'punpcklwd', unpack(2, 'low')],
  ['62', 'punpckldq', unpack(4, 'low')],
  ['63', 'packsswb', 'i8x16.narrow_i16x8_s', 'joined'],
  ['64', 'pcmpgtb', 'i8x16.gt_s'],
  ['65', 'pcmpgtw', 'i16x8.gt_s'],
  ['66', 'pcmpgtd', 'i32x4.gt_s'],
  ['67', 'packuswb', 'i8x16.narrow_i16x8_u', 'joined'],
  ['68', 'punpckhbw', unpack(1, 'high'), 'upper'],
  ['69', 'punpckhwd', unpack(2, 'high'), 'upper'],
  ['6A', 'punpckhdq', unpack(4, 'high'), 'upper'],
  ['6B', 'packssdw', 'i16x8.narrow_i32x4_s', 'joined'],
  ['74', 'pcmpeqb', 'i8x16.eq'],
  ['75', 'pcmpeqw', 'i16x8.eq'],
  ['76', 'pcmpeqd', 'i32x4.eq'],
  ['D1', 'psrlw', byRegister('shr_u', 16)],
  ['D2', 'psrld', byRegister('shr_u', 32)],
  ['D3', 'psrlq', byRegister('shr_u', 64)],
  ['D5', 'pmullw', 'i16x8.mul'],
  ['D8', 'psubusb', 'i8x16.sub_sat_u'],
  ['D9', 'psubusw', 'i16x8.sub_sat_u'],
  ['DB', 'pand', 'v128.and'],
  ['DC', 'paddusb', 'i8x16.add_sat_u'],
  ['DD', 'paddusw', 'i16x8.add_sat_u'],
  ['DF', 'pandn', flipped('v128.andnot')],
  ['E1', 'psraw', byRegister('shr_s', 16)],
  ['E2', 'psrad', byRegister('shr_s', 32)],
  ['E5', 'pmulhw', multiplyHigh('s')],
  ['E8', 'psubsb', 'i8x16.sub_sat_s'],
  ['E9', 'psubsw', 'i16x8.sub_sat_s'],
  ['EB', 'por', 'v128.or'],
  ['EC', 'paddsb', 'i8x16.add_sat_s'],
  ['ED', 'paddsw', 'i16x8.add_sat_s'],
  ['EF', 'pxor', 'v128.xor'],
  ['F1', 'psllw', byRegister('shl', 16)],
  ['F2', 'pslld', byRegister('shl', 32)],
  ['F3', 'psllq', byRegister('shl', 64)],
  ['F5', 'pmaddwd', 'i32x4.dot_i16x8_s'],
  ['F8', 'psubb', 'i8x16.sub'],
  ['F9', 'psubw', 'i16x8.sub'],
  ['FA', 'psubd', 'i32x4.sub'],
  ['FC', 'paddb', 'i8x16.add'],
  ['FD', 'paddw', 'i16x8.add'],
  ['FE', 'paddd', 'i32x4.add'],
];
/** MMX with SSE. */
const SSE: readonly Row[] = [
  ['DA', 'pminub', 'i8x16.min_u'],
  ['DE', 'pmaxub', 'i8x16.max_u'],
  ['E0', 'pavgb', 'i8x16.avgr_u'],
  ['E3', 'pavgw', 'i16x8.avgr_u'],
  ['E4', 'pmulhuw', multiplyHigh('u')],
  ['EA', 'pminsw', 'i16x8.min_s'],
  ['EE', 'pmaxsw', 'i16x8.max_s'],
  ['F6', 'psadbw', psadbw],
];
/** MMX with SSE2. */
const SSE2: readonly Row[] = [
  ['6C', 'punpcklqdq', unpack(8, 'low'), 'none'],
  ['6D', 'punpckhqdq', unpack(8, 'high'), 'none'],
  ['D4', 'paddq', 'i64x2.add'],
  ['F4', 'pmuludq', multiplyEven('u')],
  ['FB', 'psubq', 'i64x2.sub'],
];
const SSSE3: readonly Row[] = [
  ['38 01', 'phaddw', horizontal(2, 'i16x8.add'), 'joined'],
  ['38 02', 'phaddd', horizontal(4, 'i32x4.add'), 'joined'],
  ['38 03', 'phaddsw', horizontal(2, 'i16x8.add_sat_s'), 'joined'],
  ['38 04', 'pmaddubsw', pmaddubsw],
  ['38 05', 'phsubw', horizontal(2, 'i16x8.sub'), 'joined'],
  ['38 06', 'phsubd', horizontal(4, 'i32x4.sub'), 'joined'],
  ['38 07', 'phsubsw', horizontal(2, 'i16x8.sub_sat_s'), 'joined'],
  ['38 08', 'psignb', sign('i8x16')],
  ['38 09', 'psignw', sign('i16x8')],
  ['38 0A', 'psignd', sign('i32x4')],
  ['38 0B', 'pmulhrsw', pmulhrsw],
  ['38 1C', 'pabsb', absolute('i8x16')],
  ['38 1D', 'pabsw', absolute('i16x8')],
  ['38 1E', 'pabsd', absolute('i32x4')],
];
const SSE41: readonly Row[] = [
  ['38 28', 'pmuldq', multiplyEven('s'), 'none'],
  ['38 29', 'pcmpeqq', 'i64x2.eq', 'none'],
  ['38 2B', 'packusdw', 'i16x8.narrow_i32x4_u', 'none'],
  ['38 38', 'pminsb', 'i8x16.min_s', 'none'],
  ['38 39', 'pminsd', 'i32x4.min_s', 'none'],
  ['38 3A', 'pminuw', 'i16x8.min_u', 'none'],
  ['38 3B', 'pminud', 'i32x4.min_u', 'none'],
  ['38 3C', 'pmaxsb', 'i8x16.max_s', 'none'],
  ['38 3D', 'pmaxsd', 'i32x4.max_s', 'none'],
  ['38 3E', 'pmaxuw', 'i16x8.max_u', 'none'],
  ['38 3F', 'pmaxud', 'i32x4.max_u', 'none'],
  ['38 40', 'pmulld', 'i32x4.mul', 'none'],
];
const SSE42: readonly Row[] = [['38 37', 'pcmpgtq', 'i64x2.gt_s', 'none']];

function rows(list: readonly Row[], feature: string, mmxFeature: string): PackedEntry[] {
  return list.map(([opcode, name, compute, mmx = 'halves']) => ({
    pattern: `0F ${opcode} /r`,
    name,
    compute: typeof compute === 'string' ? op(compute) : compute,
    feature,
    mmx,
    mmxFeature,
  }));
}

const PSHUFB = { pattern: '0F 38 00 /r', name: 'pshufb', feature: 'SSSE3', mmxFeature: 'SSSE3' };

export const packed: readonly PackedEntry[] = [
  ...rows(MMX, 'SSE2', 'MMX'),
  ...rows(SSE, 'SSE2', 'SSE'),
  ...rows(SSE2, 'SSE2', 'SSE2'),
  ...rows(SSSE3, 'SSSE3', 'SSSE3'),
  ...rows(SSE41, 'SSE4.1', ''),
  ...rows(SSE42, 'SSE4.2', ''),
  { ...PSHUFB, compute: pshufb, mmx: 'none' },
];

/** PSHUFB on MMX operands, the one instruction that is not its XMM form on halves. */
export const packedHalf: PackedEntry = { ...PSHUFB, compute: pshufbHalf, mmx: 'halves' };

/** Shifts by an immediate: opcode and ModRM.reg, name, kind, element width. */
export const shiftsByImmediate: readonly (readonly [string, string, string, number])[] = [
  ['71 /2', 'psrlw', 'shr_u', 16],
  ['71 /4', 'psraw', 'shr_s', 16],
  ['71 /6', 'psllw', 'shl', 16],
  ['72 /2', 'psrld', 'shr_u', 32],
  ['72 /4', 'psrad', 'shr_s', 32],
  ['72 /6', 'pslld', 'shl', 32],
  ['73 /2', 'psrlq', 'shr_u', 64],
  ['73 /6', 'psllq', 'shl', 64],
];
