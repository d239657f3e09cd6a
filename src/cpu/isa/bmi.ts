/** BMI1 and BMI2: bit manipulation with three operands, behind a VEX prefix. [SDM 2A, 2B] */
import type { Value } from '../emit/function-builder.js';
import { type Bits, type Operand, RDX, type Sem } from './sem.js';
import type { Family, Semantic } from './table.js';

type Three = [Operand, Operand, Operand];

const andn: Semantic = (s) => {
  const [dst, first, second] = s.operands as Three;
  const result = s.and(s.not(s.read(first)), s.read(second));
  s.write(dst, result);
  s.flagsLogic(s.bitsOf(dst), result);
};

/** A shift by all of an 8-bit count: what is shifted out at both ends is gone. */
function shiftWhole(s: Sem, value: Value, by: Value, bits: Bits, left: boolean): Value {
  const count = s.resize(by, 32, bits);
  const shifted = left ? s.shl(value, count) : s.shrU(value, count);
  return s.select(s.ltU(by, s.i32(bits)), shifted, s.c(value.ty, 0));
}

/** As many low ones as `count` (below 256) says, at most all. */
function lowMask(s: Sem, count: Value, bits: Bits): Value {
  return s.not(shiftWhole(s, s.c(s.ty(bits), -1), count, bits, true));
}

const bextr: Semantic = (s) => {
  const [dst, src, control] = s.operands as Three;
  const bits = s.bitsOf(dst);
  const value = s.read(src);
  const which = s.wrap(s.read(control));
  const start = s.andC(which, 0xff);
  const length = s.andC(s.shrUC(which, 8), 0xff);
  const moved = shiftWhole(s, value, start, bits, false);
  const result = s.and(moved, lowMask(s, length, bits));
  s.write(dst, result);
  s.flagsLogic(bits, result);
};

const bzhi: Semantic = (s) => {
  const [dst, src, index] = s.operands as Three;
  const bits = s.bitsOf(dst);
  const value = s.read(src);
  const count = s.andC(s.wrap(s.read(index)), 0xff);
  const result = s.and(value, lowMask(s, count, bits));
  s.write(dst, result);
  s.flagsResult(bits, result, s.gtU(count, s.i32(bits - 1)), s.i32(0));
};

/** BLSI, BLSMSK, BLSR: CF is "source is 0", for BLSI its opposite. */
function lowest(compute: (s: Sem, a: Value) => Value, carryIfZero: boolean): Semantic {
  return (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const value = s.read(src);
    const result = compute(s, value);
    const zero = s.eqz(value);
    s.write(dst, result);
    s.flagsResult(s.bitsOf(dst), result, carryIfZero ? zero : s.eqz(zero), s.i32(0));
  };
}

/** The high half is written last: it stays when both destinations are one register. */
const mulx: Semantic = (s) => {
  const [high, low, src] = s.operands as Three;
  const bits = s.bitsOf(src);
  const a = s.readGpr(RDX, bits);
  const b = s.read(src);
  if (bits === 64) {
    const upper = s.pure('mul_u64_hi', a, b);
    s.write(low, s.mul(a, b));
    s.write(high, upper);
  } else {
    const product = s.mul(s.zext64(a), s.zext64(b));
    s.write(low, s.wrap(product));
    s.write(high, s.wrap(s.shrUC(product, 32)));
  }
};

const scatter =
  (name: 'pdep' | 'pext'): Semantic =>
  (s) => {
    const [dst, src, mask] = s.operands as Three;
    const result = s.pure(name, s.zext64(s.read(src)), s.zext64(s.read(mask)));
    s.write(dst, s.bitsOf(dst) === 64 ? result : s.wrap(result));
  };

const rorx: Semantic = (s) => {
  const [dst, src] = s.operands as Three;
  const value = s.read(src);
  const count = s.immediate();
  s.write(dst, s.rotr(value, value.ty === 'i64' ? count : s.wrap(count)));
};

/** SHLX SHRX SARX: counts are taken modulo the width, as wasm's shifts take them; no flags. */
const shiftBy =
  (kind: 'shl' | 'shrU' | 'shrS'): Semantic =>
  (s) => {
    const [dst, src, by] = s.operands as Three;
    const value = s.read(src);
    s.write(dst, s[kind](value, s.read(by)));
  };

export const bmi: Family = (def) => {
  const bmi1 = { feature: 'BMI1', writes: 'OSZC', undefined: 'AP' } as const;
  const bmi2 = { feature: 'BMI2' } as const;
  def('VEX NP 0F 38 F2 /r', 'andn', 'Gy By Ey', andn, bmi1);
  def(
    'VEX NP 0F 38 F3 /1',
    'blsr',
    'By Ey',
    lowest((s, a) => s.and(s.addC(a, -1), a), true),
    bmi1,
  );
  def(
    'VEX NP 0F 38 F3 /2',
    'blsmsk',
    'By Ey',
    lowest((s, a) => s.xor(s.addC(a, -1), a), true),
    bmi1,
  );
  def(
    'VEX NP 0F 38 F3 /3',
    'blsi',
    'By Ey',
    lowest((s, a) => s.and(s.neg(a), a), false),
    bmi1,
  );
  def('VEX NP 0F 38 F7 /r', 'bextr', 'Gy Ey By', bextr, {
    feature: 'BMI1',
    writes: 'OZC',
    undefined: 'SAP',
  });
  def('VEX NP 0F 38 F5 /r', 'bzhi', 'Gy Ey By', bzhi, { ...bmi1, feature: 'BMI2' });
  def('VEX F2 0F 38 F6 /r', 'mulx', 'Gy By Ey', mulx, bmi2);
  def('VEX F2 0F 38 F5 /r', 'pdep', 'Gy By Ey', scatter('pdep'), bmi2);
  def('VEX F3 0F 38 F5 /r', 'pext', 'Gy By Ey', scatter('pext'), bmi2);
  def('VEX F2 0F 3A F0 /r', 'rorx', 'Gy Ey Ib', rorx, bmi2);
  def('VEX 66 0F 38 F7 /r', 'shlx', 'Gy Ey By', shiftBy('shl'), bmi2);
  def('VEX F3 0F 38 F7 /r', 'sarx', 'Gy Ey By', shiftBy('shrS'), bmi2);
  def('VEX F2 0F 38 F7 /r', 'shrx', 'Gy Ey By', shiftBy('shrU'), bmi2);
};
