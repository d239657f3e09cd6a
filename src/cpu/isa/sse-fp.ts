/**
 * SSE floating point. Where MXCSR allows it (SSE_FAST: round to nearest, everything masked, PE set already)
 * and neither operands nor result are special, wasm's own arithmetic gives the same bits and raises
 * nothing new; the runtime does the rest exactly. [SDM 1 11.5, 2A, 2B]
 */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import type { Sem } from './sem.js';
import {
  fast,
  INFINITY_BITS,
  Lanes,
  MIN_NORMAL,
  PD,
  PS,
  places,
  SD,
  type Shape,
  SS,
  sse,
  sse2,
  sse3,
  sse41,
} from './sse-lanes.js';
import type { Family, Semantic } from './table.js';

const ADD = 0;
const MUL = 1;
const SUB = 2;
const DIV = 4;
const MIN = 6;
const MAX = 7;
const SQRT = 8;
const ADDSUB = 9;

/** The result, and where it may be used: `op` of the runtime's sse_arith. */
function compute(l: Lanes, op: number, a: Value, b: Value): { result: Value; ok: Value } {
  const operands = () => l.both(l.plain(a), l.plain(b));
  switch (op) {
    // a < b ? a : b, in wasm's order of operands.
    case MIN:
    case MAX: {
      const less = op === MIN ? l.op('lt', a, b) : l.op('gt', a, b);
      const result = l.shape.packed ? l.s.op('v128.bitselect', a, b, less) : l.s.select(less, a, b);
      return { result, ok: operands() };
    }
    case SQRT: {
      const positive = l.both(
        l.op('ge', b, l.constant(MIN_NORMAL)),
        l.op('lt', b, l.constant(INFINITY_BITS)),
      );
      return { result: l.op('sqrt', b), ok: l.either(positive, l.zero(b)) };
    }
  }
  const result = l.op(op === ADD ? 'add' : op === SUB ? 'sub' : op === MUL ? 'mul' : 'div', a, b);
  // An exact zero: sums always, products and quotients of zero. Others are underflows.
  let zero = l.zero(result);
  if (op === MUL) zero = l.both(zero, l.either(l.zero(a), l.zero(b)));
  if (op === DIV) zero = l.both(zero, l.zero(a));
  return { result, ok: l.both(operands(), l.either(l.normal(result), zero)) };
}

const arithmetic =
  (op: number, shape: Shape): Semantic =>
  (s) => {
    const l = new Lanes(s, shape);
    const [dst, src] = places(s, shape.bytes);
    const { result, ok } = compute(l, op, l.load(dst), l.load(src));
    s.if(
      s.and(fast(s), l.all(ok)),
      () => l.store(dst, result),
      () => s.rt('sse_arith', s.i32(op), s.i32(shape.fmt), s.i32(shape.n), dst, dst, src),
    );
  };

/** ADDSUBPS and ADDSUBPD: the sign of the even elements of the source is flipped. */
const addsub =
  (shape: Shape): Semantic =>
  (s) => {
    const l = new Lanes(s, shape);
    const [dst, src] = places(s, shape.bytes);
    const signs = shape.fmt ? [...zeros(7), 0x80, ...zeros(8)] : [0, 0, 0, 0x80, ...zeros(4)];
    const mask = s.v128(shape.fmt ? signs : [...signs, ...signs]);
    const { result, ok } = compute(l, ADD, l.load(dst), s.op('v128.xor', l.load(src), mask));
    s.if(
      s.and(fast(s), l.all(ok)),
      () => l.store(dst, result),
      () => s.rt('sse_arith', s.i32(ADDSUB), s.i32(shape.fmt), s.i32(shape.n), dst, dst, src),
    );
  };

function zeros(n: number): number[] {
  return new Array(n).fill(0);
}

/** HADDPS and its like: even elements of both operands with odd ones. */
const horizontal =
  (op: number, shape: Shape): Semantic =>
  (s) => {
    const l = new Lanes(s, shape);
    const [dst, src] = places(s, shape.bytes);
    const a = l.load(dst);
    const b = l.load(src);
    const size = 16 / shape.n;
    const lanes = (first: number): number[] =>
      Array.from({ length: 16 }, (_, i) => {
        const element = Math.floor(i / size);
        return (2 * element + first) * size + (i % size);
      });
    const even = s.lane('i8x16.shuffle', lanes(0), a, b);
    const odd = s.lane('i8x16.shuffle', lanes(1), a, b);
    const { result, ok } = compute(l, op, even, odd);
    s.if(
      s.and(fast(s), l.all(ok)),
      () => l.store(dst, result),
      () => {
        s.setState('v128.store', L.OPERANDS, even);
        s.setState('v128.store', L.OPERANDS + 16, odd);
        const from = s.addC(s.cpu, L.OPERANDS);
        const args = [s.i32(op), s.i32(shape.fmt), s.i32(shape.n), dst, from, s.addC(from, 16)];
        s.rt('sse_arith', ...args);
      },
    );
  };

function control(s: Sem): Value {
  return s.andC(s.wrap(s.immediate()), 0xff);
}

/** CMPPS and its like: the predicate is the immediate's low three bits. */
const compare =
  (shape: Shape): Semantic =>
  (s) => {
    const [dst, src] = places(s, shape.bytes);
    const predicate = s.andC(control(s), 7);
    const l = new Lanes(s, shape);
    const a = l.load(dst);
    const b = l.load(src);
    const ok = l.all(l.both(l.plain(a), l.plain(b)));
    // Of ordered operands: EQ LT LE false, and their complements.
    const kind = s.andC(predicate, 3);
    const negative = s.ne(s.andC(predicate, 4), s.i32(0));
    const isEqual = s.eqz(kind);
    const isLess = s.eq(kind, s.i32(1));
    const isFalse = s.eq(kind, s.i32(3));
    s.if(
      s.and(fast(s), ok),
      () => {
        const [equal, less, atMost] = [l.op('eq', a, b), l.op('lt', a, b), l.op('le', a, b)];
        const holds = s.select(isEqual, equal, s.select(isLess, less, atMost));
        if (shape.packed) {
          const none = s.v128(zeros(16));
          const ones = s.v128(new Array(16).fill(0xff));
          const mask = s.select(isFalse, none, holds);
          l.store(dst, s.op('v128.xor', mask, s.select(negative, ones, none)));
        } else {
          const truth = s.xor(s.select(isFalse, s.i32(0), holds), negative);
          const mask = s.neg(truth);
          if (shape.fmt) s.effect('i64.store', [dst, s.sext64(mask)]);
          else s.effect('i32.store', [dst, mask]);
        }
      },
      () => s.rt('sse_compare', predicate, s.i32(shape.fmt), s.i32(shape.n), dst, dst, src),
    );
  };

/** COMISx and UCOMISx: ZF, PF and CF; the other three clear. */
const comi =
  (quiet: number, shape: Shape): Semantic =>
  (s) => {
    const l = new Lanes(s, shape);
    const [first, src] = places(s, shape.bytes);
    const a = l.load(first);
    const b = l.load(src);
    const flags = s.variable('i32');
    s.if(
      s.and(fast(s), l.both(l.plain(a), l.plain(b))),
      () => s.set(flags, s.or(l.op('lt', a, b), s.shlC(l.op('eq', a, b), 6))),
      () => s.set(flags, s.rt('sse_comi', s.i32(quiet), s.i32(shape.fmt), first, src)),
    );
    s.unpackFlags(s.get(flags));
  };

/** ROUNDPS and its like. Inexactness raises nothing new where PE is set. */
const round =
  (shape: Shape): Semantic =>
  (s) => {
    const [dst, src] = places(s, shape.bytes);
    const imm = control(s);
    const l = new Lanes(s, shape);
    const value = l.load(src);
    const how = s.select(s.andC(imm, 4), s.i32(0), s.andC(imm, 3));
    s.if(
      s.and(fast(s), l.all(l.op('eq', value, value))),
      () => {
        const [nearest, down] = [l.op('nearest', value), l.op('floor', value)];
        const [up, chop] = [l.op('ceil', value), l.op('trunc', value)];
        const low = s.select(s.andC(how, 1), down, nearest);
        const high = s.select(s.andC(how, 1), chop, up);
        l.store(dst, s.select(s.andC(how, 2), high, low));
      },
      () => s.rt('sse_round', imm, s.i32(shape.fmt), s.i32(shape.n), dst, src),
    );
  };

const dot =
  (shape: Shape): Semantic =>
  (s) => {
    const [dst, src] = places(s, 16);
    s.rt('sse_dot', control(s), s.i32(shape.fmt), dst, dst, src);
  };

/** RCPPS and RSQRTPS (root 1): raise nothing. */
const reciprocal =
  (root: number, shape: Shape): Semantic =>
  (s) => {
    const [dst, src] = places(s, shape.bytes);
    s.pure('sse_reciprocal', s.i32(root), s.i32(shape.n), dst, src);
  };

/** The four forms of an opcode: prefix, suffix of the name, operands, shape. */
const FORMS = [
  ['NP', 'ps', 'Vx Wx', PS],
  ['66', 'pd', 'Vx Wx', PD],
  ['F3', 'ss', 'Vx Wd', SS],
  ['F2', 'sd', 'Vx Wq', SD],
] as const;

export const sseFloat: Family = (def) => {
  const operations: readonly [string, string, number][] = [
    ['51', 'sqrt', SQRT],
    ['58', 'add', ADD],
    ['59', 'mul', MUL],
    ['5C', 'sub', SUB],
    ['5D', 'min', MIN],
    ['5E', 'div', DIV],
    ['5F', 'max', MAX],
  ];
  for (const [prefix, suffix, operands, shape] of FORMS) {
    const options = shape.fmt ? sse2 : sse;
    for (const [code, name, op] of operations) {
      const semantic = arithmetic(op, shape);
      def(`${prefix} 0F ${code} /r`, name + suffix, operands, semantic, options);
    }
    def(`${prefix} 0F C2 /r`, `cmp${suffix}`, `${operands} Ib`, compare(shape), options);
    if (shape.fmt) continue;
    def(`${prefix} 0F 52 /r`, `rsqrt${suffix}`, operands, reciprocal(1, shape), sse);
    def(`${prefix} 0F 53 /r`, `rcp${suffix}`, operands, reciprocal(0, shape), sse);
  }
  for (const [code, name, quiet] of [
    ['2E', 'ucomis', 1],
    ['2F', 'comis', 0],
  ] as const) {
    const flags = { writes: 'OSZAPC' };
    def(`NP 0F ${code} /r`, `${name}s`, 'Vx Wd', comi(quiet, SS), { ...sse, ...flags });
    def(`66 0F ${code} /r`, `${name}d`, 'Vx Wq', comi(quiet, SD), { ...sse2, ...flags });
  }
  for (const [prefix, suffix, shape] of [
    ['66', 'pd', PD],
    ['F2', 'ps', PS],
  ] as const) {
    def(`${prefix} 0F 7C /r`, `hadd${suffix}`, 'Vx Wx', horizontal(ADD, shape), sse3);
    def(`${prefix} 0F 7D /r`, `hsub${suffix}`, 'Vx Wx', horizontal(SUB, shape), sse3);
    def(`${prefix} 0F D0 /r`, `addsub${suffix}`, 'Vx Wx', addsub(shape), sse3);
  }
  def('66 0F 3A 08 /r', 'roundps', 'Vx Wx Ib', round(PS), sse41);
  def('66 0F 3A 09 /r', 'roundpd', 'Vx Wx Ib', round(PD), sse41);
  def('66 0F 3A 0A /r', 'roundss', 'Vx Wd Ib', round(SS), sse41);
  def('66 0F 3A 0B /r', 'roundsd', 'Vx Wq Ib', round(SD), sse41);
  def('66 0F 3A 40 /r', 'dpps', 'Vx Wx Ib', dot(PS), sse41);
  def('66 0F 3A 41 /r', 'dppd', 'Vx Wx Ib', dot(PD), sse41);
};
