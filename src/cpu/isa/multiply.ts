/** Multiplication and division. [SDM 2A MUL, IMUL, DIV, IDIV] */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import { type Bits, DE, type Operand, RAX, RDX, type Sem } from './sem.js';
import type { Family, Semantic } from './table.js';

/** Writes a double-width product: AX for 8 bits, else rDX:rAX. */
function writeProduct(s: Sem, bits: Bits, low: Value, high: Value): void {
  if (bits === 8) s.writeGpr(RAX, 16, low);
  else {
    s.writeGpr(RAX, bits, low);
    s.writeGpr(RDX, bits, high);
  }
}

/** SF ZF PF are undefined; they are left as the low half gives them. CF = OF = the high half matters. */
function productFlags(s: Sem, bits: Bits, low: Value, carry: Value): void {
  s.flagsResult(bits, low, carry, carry);
}

const mul: Semantic = (s) => {
  const [src] = s.operands as [Operand];
  const bits = s.bitsOf(src);
  const [low, high] = s.product(bits, s.readGpr(RAX, bits), s.read(src), false);
  writeProduct(s, bits, low, high);
  productFlags(s, bits, low, s.ne(s.zext(high, bits), s.c(high.ty, 0)));
};

const imul1: Semantic = (s) => {
  const [src] = s.operands as [Operand];
  const bits = s.bitsOf(src);
  const [low, high] = s.product(bits, s.readGpr(RAX, bits), s.read(src), true);
  writeProduct(s, bits, low, high);
  productFlags(s, bits, low, s.signedOverflow(bits, low, high));
};

function imulInto(s: Sem, dst: Operand, a: Value, b: Value): void {
  s.write(dst, s.mul(a, b));
  s.flagsProduct(s.bitsOf(dst), a, b);
}

const imul2: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  imulInto(s, dst, s.read(dst), s.read(src));
};
const imul3: Semantic = (s) => {
  const [dst, src, by] = s.operands as [Operand, Operand, Operand];
  imulInto(s, dst, s.read(src), s.read(by));
};

function divide(signed: boolean): Semantic {
  return (s) => {
    const [src] = s.operands as [Operand];
    const bits = s.bitsOf(src);
    const divisor = s.read(src);
    if (bits === 64) {
      s.rt(signed ? 'idiv_s128' : 'div_u128', s.readGpr(RAX, 64), s.readGpr(RDX, 64), divisor);
      s.writeGpr(RAX, 64, s.state('i64.load', L.OPERANDS));
      s.writeGpr(RDX, 64, s.state('i64.load', L.OPERANDS + 8));
      return;
    }
    s.faultIf(s.eqz(divisor), DE);
    let dividend: Value;
    if (bits === 8) {
      const ax = s.readGpr(RAX, 16);
      dividend = signed ? s.sext64(s.sext(ax, 16)) : s.zext64(ax);
    } else {
      const high = s.shlC(s.zext64(s.readGpr(RDX, bits)), bits);
      const all = s.or(high, s.zext64(s.readGpr(RAX, bits)));
      dividend = signed && bits === 16 ? s.sext(all, 32) : all;
    }
    const by = signed ? s.sext64(s.sext(divisor, bits)) : s.zext64(divisor);
    if (signed && bits === 32) {
      // The one quotient that 64 bits cannot hold.
      const least = s.eq(dividend, s.i64(1n << 63n));
      s.faultIf(s.and(least, s.eq(by, s.i64(-1))), DE);
    }
    const quotient = s.op(signed ? 'i64.div_s' : 'i64.div_u', dividend, by);
    const remainder = s.op(signed ? 'i64.rem_s' : 'i64.rem_u', dividend, by);
    const kept = signed ? s.sext(quotient, bits) : s.zext(quotient, bits);
    s.faultIf(s.ne(kept, quotient), DE);
    if (bits === 8) {
      const low = s.andC(s.wrap(quotient), 0xff);
      s.writeGpr(RAX, 16, s.or(low, s.shlC(s.wrap(remainder), 8)));
    } else {
      s.writeGpr(RAX, bits, s.wrap(quotient));
      s.writeGpr(RDX, bits, s.wrap(remainder));
    }
  };
}

export const multiply: Family = (def) => {
  const product = { writes: 'OC', undefined: 'SZAP' };
  const quotient = { undefined: 'OSZAPC' };
  def('F6 /4', 'mul', 'Eb', mul, product);
  def('F7 /4', 'mul', 'Ev', mul, product);
  def('F6 /5', 'imul', 'Eb', imul1, product);
  def('F7 /5', 'imul', 'Ev', imul1, product);
  def('0F AF /r', 'imul', 'Gv Ev', imul2, product);
  def('69 /r', 'imul', 'Gv Ev Iz', imul3, product);
  def('6B /r', 'imul', 'Gv Ev Ibs', imul3, product);
  def('F6 /6', 'div', 'Eb', divide(false), quotient);
  def('F7 /6', 'div', 'Ev', divide(false), quotient);
  def('F6 /7', 'idiv', 'Eb', divide(true), quotient);
  def('F7 /7', 'idiv', 'Ev', divide(true), quotient);
};
