/** Moves, shuffles, blends and bitwise logic on XMM registers. [SDM 2A, 2B, 2D] */
import type { Value } from '../emit/function-builder.js';
import type { Operand, Sem } from './sem.js';
import type { Define, Family, Semantic } from './table.js';
import {
  type Binary,
  control,
  elements,
  flipped,
  lanes,
  lowHalf,
  op,
  permute,
  sseBinary,
  unpack,
  zero,
} from './vector-lanes.js';
import { extract, insert, maskedStore, move, moveMask, toInteger } from './vector-move.js';

const whole = move('v128.load', 'v128.store');

/** MOVSS and MOVSD: from memory the rest becomes zero, from a register it stays. */
const loadScalar =
  (bits: 32 | 64): Semantic =>
  (s) => {
    const memory = s.operands[1]!.kind === 'mem';
    if (memory) move(`v128.load${bits}_zero`, 'v128.store')(s);
    else move(`i${bits}.load`, `i${bits}.store`)(s);
  };

/** A quadword from one half of a register or from memory to one half of a register or to memory. */
const half =
  (from: 'low' | 'high', to: 'low' | 'high'): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const value =
      from === 'high' ? s.load('i64.load', s.vaddress(src, 16), 8) : s.vread(src, 'i64.load');
    if (to === 'high') s.effect('i64.store', [s.vaddress(dst, 16), value], 8);
    else s.vwrite(dst, 'i64.store', value);
  };

/** MOVSLDUP, MOVSHDUP, MOVDDUP. */
const duplicate =
  (order: readonly number[], load = 'v128.load'): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const v = s.vread(src, load);
    s.vwrite(dst, 'v128.store', s.lane('i8x16.shuffle', order, v, v));
  };

/** MOVD and MOVQ from a general register or memory. */
const fromInteger: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  s.vwrite(dst, 'v128.store', s.lane('i64x2.replace_lane', 0, zero(s), s.zext64(s.read(src))));
};

/** MOVQ to XMM or memory: a register's upper half becomes zero. */
const storeQuad: Semantic = (s) => {
  if (s.operands[0]!.kind === 'mem') move('i64.load', 'i64.store')(s);
  else move('v128.load64_zero', 'v128.store')(s);
};

/** Two elements of the destination, then two of the source. */
const shufps = sseBinary((s, a, b) => {
  const lowerA = permute(s, a, 4, 0);
  return s.lane('i8x16.shuffle', elements(8, [0, 3]), lowerA, permute(s, b, 4, 0));
});

const shufpd = sseBinary((s, a, b) => {
  const imm = control(s);
  const pick = (v: Value, bit: number): Value =>
    s.select(s.andC(imm, bit), s.lane('i64x2.extract_lane', 1, v), lowHalf(s, v));
  return s.lane('i64x2.replace_lane', 1, s.op('i64x2.splat', pick(a, 1)), pick(b, 2));
});

/** All ones in the elements of `width` bytes whose bit of `bits` is set in the immediate. */
function immediateMask(s: Sem, imm: Value, width: 2 | 4, bits: readonly number[]): Value {
  const shape = width === 2 ? 'i16x8' : 'i32x4';
  const set = s.op('v128.and', s.op(`${shape}.splat`, imm), lanes(s, width, bits));
  return s.op(`${shape}.ne`, set, zero(s));
}

const blend = (width: 2 | 4, bits: readonly number[]): Semantic =>
  sseBinary((s, a, b) => s.op('v128.bitselect', b, a, immediateMask(s, control(s), width, bits)));

/** Elements of the source where XMM0 is negative. */
const blendVariable = (shape: string): Semantic =>
  sseBinary((s, a, b) => {
    const { address, offset } = s.vectorPlace(0, 'xmm');
    const mask = s.op(`${shape}.lt_s`, s.load('v128.load', address, offset), zero(s));
    return s.op('v128.bitselect', b, a, mask);
  });

/** One float to a place of the destination; then places may be cleared. [SDM 2A INSERTPS] */
const insertps: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const imm = control(s);
  const at = (shift: number): Value => s.shlC(s.andC(s.shrUC(imm, shift), 3), 2);
  const value =
    src.kind === 'mem'
      ? s.vread(src, 'i32.load')
      : s.load('i32.load', s.add(s.vaddress(src, 16), at(6)));
  s.effect('i32.store', [s.add(s.vaddress(dst, 16), at(4)), value]);
  const cleared = immediateMask(s, imm, 4, [1, 2, 4, 8]);
  s.vwrite(dst, 'v128.store', s.op('v128.andnot', s.vread(dst, 'v128.load'), cleared));
};

/** The same instruction for floats and for doubles. */
function pair(
  def: Define,
  opcode: string,
  name: string,
  operands: string,
  semantic: Semantic,
  unaligned = false,
): void {
  const options = { unit: 'sse', unaligned } as const;
  def(`NP 0F ${opcode} /r`, `${name}ps`, operands, semantic, { ...options, feature: 'SSE' });
  def(`66 0F ${opcode} /r`, `${name}pd`, operands, semantic, { ...options, feature: 'SSE2' });
}

function fullMoves(def: Define): void {
  pair(def, '10', 'movu', 'Vx Wx', whole, true);
  pair(def, '11', 'movu', 'Wx Vx', whole, true);
  pair(def, '28', 'mova', 'Vx Wx', whole);
  pair(def, '29', 'mova', 'Wx Vx', whole);
  pair(def, '2B', 'movnt', 'Mx Vx', whole);
  const sse2 = { unit: 'sse', feature: 'SSE2' } as const;
  def('66 0F 6F /r', 'movdqa', 'Vx Wx', whole, sse2);
  def('66 0F 7F /r', 'movdqa', 'Wx Vx', whole, sse2);
  def('F3 0F 6F /r', 'movdqu', 'Vx Wx', whole, { ...sse2, unaligned: true });
  def('F3 0F 7F /r', 'movdqu', 'Wx Vx', whole, { ...sse2, unaligned: true });
  def('66 0F E7 /r', 'movntdq', 'Mx Vx', whole, sse2);
  const sse3 = { unit: 'sse', feature: 'SSE3' } as const;
  def('F2 0F F0 /r', 'lddqu', 'Vx Mx', whole, { ...sse3, unaligned: true });
  def('66 0F 38 2A /r', 'movntdqa', 'Vx Mx', whole, { unit: 'sse', feature: 'SSE4.1' });
  def('F3 0F 12 /r', 'movsldup', 'Vx Wx', duplicate(elements(4, [0, 0, 2, 2])), sse3);
  def('F3 0F 16 /r', 'movshdup', 'Vx Wx', duplicate(elements(4, [1, 1, 3, 3])), sse3);
  const doubled = duplicate(elements(8, [0, 0]), 'v128.load64_zero');
  def('F2 0F 12 /r', 'movddup', 'Vx Wq', doubled, sse3);
  // No XMM register is touched: CR0 and CR4 do not matter.
  def('NP 0F C3 /r', 'movnti', 'My Gy', (s) => s.write(s.operands[0]!, s.read(s.operands[1]!)), {
    feature: 'SSE2',
  });
}

function partialMoves(def: Define): void {
  const sse = { unit: 'sse', feature: 'SSE' } as const;
  const sse2 = { unit: 'sse', feature: 'SSE2' } as const;
  def('F3 0F 10 /r', 'movss', 'Vx Wd', loadScalar(32), sse);
  def('F3 0F 11 /r', 'movss', 'Wd Vx', move('i32.load', 'i32.store'), sse);
  def('F2 0F 10 /r', 'movsd', 'Vx Wq', loadScalar(64), sse2);
  def('F2 0F 11 /r', 'movsd', 'Wq Vx', move('i64.load', 'i64.store'), sse2);
  pair(def, '12', 'movl', 'Vx Mq', half('low', 'low'));
  pair(def, '13', 'movl', 'Mq Vx', half('low', 'low'));
  pair(def, '16', 'movh', 'Vx Mq', half('low', 'high'));
  pair(def, '17', 'movh', 'Mq Vx', half('high', 'low'));
  def('NP 0F 12 /r', 'movhlps', 'Vx Ux', half('high', 'low'), sse);
  def('NP 0F 16 /r', 'movlhps', 'Vx Ux', half('low', 'high'), sse);
  const short = { ...sse2, w: 0 } as const;
  const long = { ...sse2, w: 1, mode: 'long', sizes: [64] } as const;
  def('66 0F 6E /r', 'movd', 'Vx Ed', fromInteger, short);
  def('66 0F 6E /r', 'movq', 'Vx Eq', fromInteger, long);
  def('66 0F 7E /r', 'movd', 'Ed Vx', toInteger, short);
  def('66 0F 7E /r', 'movq', 'Eq Vx', toInteger, long);
  def('F3 0F 7E /r', 'movq', 'Vx Wq', move('v128.load64_zero', 'v128.store'), sse2);
  def('66 0F D6 /r', 'movq', 'Wq Vx', storeQuad, sse2);
  def('NP 0F 50 /r', 'movmskps', 'Gd Ux', moveMask('i32x4', 'v128.load'), sse);
  def('66 0F 50 /r', 'movmskpd', 'Gd Ux', moveMask('i64x2', 'v128.load'), sse2);
  def('66 0F D7 /r', 'pmovmskb', 'Gd Ux', moveMask('i8x16', 'v128.load'), sse2);
  def('66 0F F7 /r', 'maskmovdqu', 'Vx Ux', maskedStore(16), sse2);
}

function elementMoves(def: Define): void {
  const sse2 = { unit: 'sse', feature: 'SSE2' } as const;
  const sse41 = { unit: 'sse', feature: 'SSE4.1' } as const;
  const short = { ...sse41, w: 0 } as const;
  const long = { ...sse41, w: 1, mode: 'long', sizes: [64] } as const;
  def('66 0F C5 /r', 'pextrw', 'Gd Ux Ib', extract(2, 7), sse2);
  // A register receives 32 bits, memory only the element.
  def('66 0F 3A 14 /r', 'pextrb', 'Rd Vx Ib', extract(1, 15), sse41);
  def('66 0F 3A 14 /r', 'pextrb', 'Mb Vx Ib', extract(1, 15), sse41);
  def('66 0F 3A 15 /r', 'pextrw', 'Rd Vx Ib', extract(2, 7), sse41);
  def('66 0F 3A 15 /r', 'pextrw', 'Mw Vx Ib', extract(2, 7), sse41);
  def('66 0F 3A 16 /r', 'pextrd', 'Ed Vx Ib', extract(4, 3), short);
  def('66 0F 3A 16 /r', 'pextrq', 'Eq Vx Ib', extract(8, 1), long);
  def('66 0F 3A 17 /r', 'extractps', 'Ed Vx Ib', extract(4, 3), sse41);
  def('66 0F C4 /r', 'pinsrw', 'Vx Rd Ib', insert(2, 7), sse2);
  def('66 0F C4 /r', 'pinsrw', 'Vx Mw Ib', insert(2, 7), sse2);
  def('66 0F 3A 20 /r', 'pinsrb', 'Vx Rd Ib', insert(1, 15), sse41);
  def('66 0F 3A 20 /r', 'pinsrb', 'Vx Mb Ib', insert(1, 15), sse41);
  def('66 0F 3A 22 /r', 'pinsrd', 'Vx Ed Ib', insert(4, 3), short);
  def('66 0F 3A 22 /r', 'pinsrq', 'Vx Eq Ib', insert(8, 1), long);
  def('66 0F 3A 21 /r', 'insertps', 'Vx Wd Ib', insertps, sse41);
}

export const sseMove: Family = (def) => {
  fullMoves(def);
  partialMoves(def);
  elementMoves(def);
  const logic: readonly (readonly [string, string, Binary])[] = [
    ['54', 'and', op('v128.and')],
    ['55', 'andn', flipped('v128.andnot')],
    ['56', 'or', op('v128.or')],
    ['57', 'xor', op('v128.xor')],
  ];
  for (const [opcode, name, compute] of logic) {
    pair(def, opcode, name, 'Vx Wx', sseBinary(compute));
  }
  const sse = { unit: 'sse', feature: 'SSE' } as const;
  const sse2 = { unit: 'sse', feature: 'SSE2' } as const;
  const sse41 = { unit: 'sse', feature: 'SSE4.1' } as const;
  const unpackers = [
    ['14', 'unpckl', 'low'],
    ['15', 'unpckh', 'high'],
  ] as const;
  for (const [opcode, name, which] of unpackers) {
    def(`NP 0F ${opcode} /r`, `${name}ps`, 'Vx Wx', sseBinary(unpack(4, which)), sse);
    def(`66 0F ${opcode} /r`, `${name}pd`, 'Vx Wx', sseBinary(unpack(8, which)), sse2);
  }
  def('NP 0F C6 /r', 'shufps', 'Vx Wx Ib', shufps, sse);
  def('66 0F C6 /r', 'shufpd', 'Vx Wx Ib', shufpd, sse2);
  def('66 0F 3A 0C /r', 'blendps', 'Vx Wx Ib', blend(4, [1, 2, 4, 8]), sse41);
  def('66 0F 3A 0D /r', 'blendpd', 'Vx Wx Ib', blend(4, [1, 1, 2, 2]), sse41);
  def('66 0F 3A 0E /r', 'pblendw', 'Vx Wx Ib', blend(2, [1, 2, 4, 8, 16, 32, 64, 128]), sse41);
  def('66 0F 38 10 /r', 'pblendvb', 'Vx Wx', blendVariable('i8x16'), sse41);
  def('66 0F 38 14 /r', 'blendvps', 'Vx Wx', blendVariable('i32x4'), sse41);
  def('66 0F 38 15 /r', 'blendvpd', 'Vx Wx', blendVariable('i64x2'), sse41);
};
