/**
 * Vector computations on one or two 128-bit values, shared by the SSE and MMX families. An MMX
 * operand is the lower half of a vector whose upper half is zero; only the result's lower half counts.
 */
import type { Value } from '../emit/function-builder.js';
import type { Operand, Sem } from './sem.js';
import type { Semantic } from './table.js';

/** Destination and source to result. */
export type Binary = (s: Sem, a: Value, b: Value) => Value;

/** The wasm instruction of that name. */
export const op =
  (name: string): Binary =>
  (s, a, b) =>
    s.op(name, a, b);

/** The same with source and destination the other way round. */
export const flipped =
  (name: string): Binary =>
  (s, a, b) =>
    s.op(name, b, a);

/** Bytes `indices` of the 32 bytes a, b. */
export const shuffle =
  (indices: readonly number[]): Binary =>
  (s, a, b) =>
    s.lane('i8x16.shuffle', indices, a, b);

/** Byte numbers of whole elements of `width` bytes. */
export function elements(width: number, numbers: readonly number[]): number[] {
  return numbers.flatMap((n) => Array.from({ length: width }, (_, i) => n * width + i));
}

/** Sixteen bytes of a constant, from elements of `width` bytes. */
export function lanes(s: Sem, width: number, values: readonly number[]): Value {
  return s.v128(
    values.flatMap((v) =>
      Array.from({ length: width }, (_, i) => (i < 4 ? v >>> (i * 8) : 0) & 255),
    ),
  );
}

export const counting = (length: number, start = 0, step = 1): number[] =>
  Array.from({ length }, (_, i) => start + i * step);

export const zero = (s: Sem): Value => s.v128(new Array<number>(16).fill(0));

/** The 8-bit immediate: i32. */
export const control = (s: Sem): Value => s.andC(s.wrap(s.immediate()), 0xff);

/** Its value where it is known when code is built. */
function known(value: Value): number | null {
  return value.op === 'const' ? (value.imm as number) : null;
}

/** `limit` where the unsigned value exceeds it. */
export function atMost(s: Sem, value: Value, limit: number): Value {
  return s.select(s.gtU(value, s.c(value.ty, limit)), s.c(value.ty, limit), value);
}

/** Two lower halves as one vector. */
export function join(s: Sem, low: Value, high: Value): Value {
  return s.lane('i8x16.shuffle', elements(8, [0, 2]), low, high);
}

export const lowHalf = (s: Sem, v: Value): Value => s.lane('i64x2.extract_lane', 0, v);

/** dst, src -> dst on XMM operands. */
export function sseBinary(compute: Binary): Semantic {
  return (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const b = s.vread(src, 'v128.load');
    s.vwrite(dst, 'v128.store', compute(s, s.vread(dst, 'v128.load'), b));
  };
}

/** Elements interleaved from both lower or upper halves. */
export function unpack(width: number, half: 'low' | 'high'): Binary {
  const count = 16 / width;
  const first = half === 'low' ? 0 : count / 2;
  const order = counting(count).map((i) => first + (i >> 1) + (i & 1) * count);
  return shuffle(elements(width, order));
}

/** PSHUFD's choice of dwords, PSHUFLW's and PSHUFHW's of words: byte indices for a swizzle. */
function chosen(s: Sem, imm: Value, width: 2 | 4, first: number): Value {
  // Multiplying moves each selector to the same bits; elements not chosen get a factor of 0.
  const shape = width === 4 ? 'i32x4' : 'i16x8';
  const factors = counting(16 / width).map((i) => [64, 16, 4, 1][i - first] ?? 0);
  const moved = s.op(`${shape}.mul`, s.op(`${shape}.splat`, imm), lanes(s, width, factors));
  const three = lanes(
    s,
    width,
    factors.map(() => 3),
  );
  const number = s.op('v128.and', s.op(`${shape}.shr_u`, moved, s.i32(6)), three);
  const step = width === 4 ? 0x0404_0404 : 0x0202;
  const scaled = s.op(
    `${shape}.mul`,
    number,
    lanes(
      s,
      width,
      factors.map(() => step),
    ),
  );
  const bases = factors.map((f, i) => (f === 0 ? i : first));
  return s.op('i8x16.add', scaled, s.v128(elements(width, bases)));
}

/** Four elements from `first` on as the immediate says, the others in their places. */
export function permute(s: Sem, v: Value, width: 2 | 4, first: number): Value {
  const imm = control(s);
  const value = known(imm);
  if (value === null) return s.op('i8x16.swizzle', v, chosen(s, imm, width, first));
  const order = counting(16 / width);
  for (let i = 0; i < 4; i++) order[first + i] = first + ((value >> (2 * i)) & 3);
  return s.lane('i8x16.shuffle', elements(width, order), v, v);
}

/** All bytes moved up by `count` (i32, negative: down); zeros come in. -32 <= count <= 16. */
export function moveBytes(s: Sem, v: Value, count: Value): Value {
  const indices = s.op('i8x16.sub', s.v128(counting(16)), s.op('i8x16.splat', count));
  return s.op('i8x16.swizzle', v, indices);
}

/** Bytes from a:b, where an operand has `size` of them, from byte imm8 of b on. */
export function align(s: Sem, a: Value, b: Value, size: 8 | 16): Value {
  const count = atMost(s, control(s), 2 * size);
  if (size === 8) return moveBytes(s, join(s, b, a), s.neg(count));
  // Indices beyond 15 give zero in a swizzle: one operand's bytes or the other's, never both.
  return s.op('v128.or', moveBytes(s, b, s.neg(count)), moveBytes(s, a, s.sub(s.i32(16), count)));
}

/** A shift of elements by a count of i32 or i64; counts beyond the element give zeros or signs. */
export function shift(s: Sem, kind: string, bits: number, v: Value, count: Value): Value {
  const shape = `i${bits}x${128 / bits}`;
  if (kind === 'shr_s') return s.op(`${shape}.shr_s`, v, s.wrap(atMost(s, count, bits - 1)));
  const shifted = s.op(`${shape}.${kind}`, v, s.wrap(count));
  return s.select(s.ltU(count, s.c(count.ty, bits)), shifted, zero(s));
}
