/** Bit tests, scans and counts, and the decimal adjustments. [SDM 2A, 2B] */
import type { Value } from '../emit/function-builder.js';
import type { Bits, Operand, Sem } from './sem.js';
import { DE, RAX } from './sem.js';
import { type Family, opcodeText, type Semantic } from './table.js';

type Change = (s: Sem, a: Value, mask: Value) => Value;

const KEEP: Change | null = null;
const SET: Change = (s, a, mask) => s.or(a, mask);
const RESET: Change = (s, a, mask) => s.and(a, s.not(mask));
const FLIP: Change = (s, a, mask) => s.xor(a, mask);

/** CF = the bit; the others as they were (the manual leaves OF SF AF PF undefined, ZF unchanged). */
function bitTest(change: Change | null): Semantic {
  return (s) => {
    const [dst, by] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(dst);
    const offset = by.kind === 'imm' ? s.resize(s.read(by), 8, bits) : s.read(by);
    const ty = s.ty(bits);
    const inside = s.and(offset, s.c(ty, bits - 1));
    const mask = s.shl(s.c(ty, 1), inside);
    const take = (a: Value): Value => s.wrap(s.andC(s.shrU(a, inside), 1));
    if (dst.kind === 'mem' && by.kind === 'gpr') {
      bitString(s, bits, offset, mask, take, change);
    } else if (change) {
      const { old } = s.update(dst, (a) => change(s, a, mask));
      s.setCarry(take(old));
    } else s.setCarry(take(s.read(dst)));
  };
}

/** A register offset reaches beyond the operand: the address moves by whole operands. [SDM 2A BT] */
function bitString(
  s: Sem,
  bits: Bits,
  offset: Value,
  mask: Value,
  take: (a: Value) => Value,
  change: Change | null,
): void {
  const signed = s.sext64(s.sext(offset, bits));
  const bytes = s.shlC(s.shrSC(signed, Math.log2(bits)), Math.log2(bits / 8));
  const moved = s.add(s.effectiveAddress(), bytes);
  const address = s.flat ? moved : s.and(moved, s.addressMask());
  const operand = { kind: 'mem', bits } as const;
  if (change) {
    const { old } = s.updateAt(address, operand, (a) => change(s, a, mask));
    s.setCarry(take(old));
  } else s.setCarry(take(s.loadAt(s.operandSegment(), address, bits)));
}

/** BSF and BSR: a source of 0 sets ZF and leaves the destination (as processors do). */
function scan(forward: boolean): Semantic {
  return (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(dst);
    const value = s.read(src);
    const ty = s.ty(bits);
    const found = forward
      ? s.op(`${ty}.ctz`, value)
      : s.sub(s.c(ty, bits === 64 ? 63 : 31), s.op(`${ty}.clz`, value));
    s.if(value.ty === 'i64' ? s.ne(value, s.i64(0)) : value, () => s.write(dst, found));
    s.mergeFlags(1 << 6, s.shlC(s.eqz(value), 6));
  };
}

/** TZCNT, LZCNT: CF = source is 0, ZF = result is 0. */
function count(leading: boolean): Semantic {
  return (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(dst);
    const value = s.read(src);
    const ty = s.ty(bits);
    let result: Value;
    if (leading) {
      const zeros = s.op(`${ty}.clz`, value);
      result = bits === 16 ? s.addC(zeros, -16) : zeros;
    } else {
      result = s.op(`${ty}.ctz`, bits === 16 ? s.orC(value, 0x1_0000) : value);
    }
    const carry = s.eqz(value);
    s.write(dst, result);
    s.mergeFlags(0x41, s.or(carry, s.shlC(s.eqz(result), 6)));
  };
}

const popcnt: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const value = s.read(src);
  const result = s.op(`${value.ty}.popcnt`, value);
  s.write(dst, result);
  s.unpackFlags(s.shlC(s.eqz(result), 6));
};

// --- decimal adjustments: 16- and 32-bit code only, rare enough to be plain -------------------------

/** DAA and DAS. [SDM 2A DAA] */
function adjustPacked(kind: 'add' | 'sub'): Semantic {
  return (s) => {
    const al = s.readGpr(RAX, 8);
    const carry = s.flag('c');
    const lowAdjust = s.or(s.gtU(s.andC(al, 15), s.i32(9)), s.flag('a'));
    const highAdjust = s.or(s.gtU(al, s.i32(0x99)), carry);
    const low = s.select(lowAdjust, s.i32(6), s.i32(0));
    const high = s.select(highAdjust, s.i32(0x60), s.i32(0));
    const result = s.zext(s[kind](al, s.add(low, high)), 8);
    // DAS: a borrow of the low adjustment is a carry too.
    const borrow = kind === 'sub' ? s.and(lowAdjust, s.ltU(al, s.i32(6))) : s.i32(0);
    s.writeGpr(RAX, 8, result);
    const c = s.or(highAdjust, borrow);
    s.flagsResult(8, result, c, s.i32(0), lowAdjust);
  };
}

/** AAA and AAS. [SDM 2A AAA] */
function adjustAscii(kind: 'add' | 'sub'): Semantic {
  return (s) => {
    const ax = s.readGpr(RAX, 16);
    const adjust = s.or(s.gtU(s.andC(ax, 15), s.i32(9)), s.flag('a'));
    const moved = s[kind](ax, s.select(adjust, s.i32(0x106), s.i32(0)));
    const result = s.andC(moved, 0xff0f);
    s.writeGpr(RAX, 16, result);
    s.flagsResult(8, result, adjust, s.i32(0), adjust);
  };
}

const aam: Semantic = (s) => {
  const base = s.andC(s.wrap(s.immediate()), 0xff);
  s.faultIf(s.eqz(base), DE);
  const al = s.readGpr(RAX, 8);
  const high = s.op('i32.div_u', al, base);
  const low = s.op('i32.rem_u', al, base);
  s.writeGpr(RAX, 16, s.or(s.shlC(high, 8), low));
  s.flagsLogic(8, low);
};

const aad: Semantic = (s) => {
  const base = s.andC(s.wrap(s.immediate()), 0xff);
  const ax = s.readGpr(RAX, 16);
  const result = s.zext(s.add(ax, s.mul(s.shrUC(ax, 8), base)), 8);
  s.writeGpr(RAX, 16, result);
  s.flagsLogic(8, result);
};

const salc: Semantic = (s) => s.writeGpr(RAX, 8, s.neg(s.flag('c')));

export const bitOps: Family = (def) => {
  const flags = { writes: 'C', undefined: 'OSAP' };
  const kinds = [
    ['bt', KEEP, 0xa3, 4],
    ['bts', SET, 0xab, 5],
    ['btr', RESET, 0xb3, 6],
    ['btc', FLIP, 0xbb, 7],
  ] as const;
  for (const [name, change, opcode, reg] of kinds) {
    const options = { ...flags, lock: change !== KEEP };
    def(`0F ${opcodeText(opcode)} /r`, name, 'Ev Gv', bitTest(change), options);
    def(`0F BA /${reg}`, name, 'Ev Ib', bitTest(change), options);
  }
  const scans = { writes: 'Z', undefined: 'OSAPC' };
  def('0F BC /r', 'bsf', 'Gv Ev', scan(true), scans);
  def('0F BD /r', 'bsr', 'Gv Ev', scan(false), scans);
  const counts = { writes: 'CZ', undefined: 'OSAP' };
  def('F3 0F BC /r', 'tzcnt', 'Gv Ev', count(false), { ...counts, feature: 'BMI1' });
  def('F3 0F BD /r', 'lzcnt', 'Gv Ev', count(true), { ...counts, feature: 'LZCNT' });
  def('F3 0F B8 /r', 'popcnt', 'Gv Ev', popcnt, { writes: 'OSZAPC', feature: 'POPCNT' });
  const legacy = { mode: 'legacy' } as const;
  const packed = { ...legacy, reads: 'AC', writes: 'SZAPC', undefined: 'O' };
  def('27', 'daa', '', adjustPacked('add'), packed);
  def('2F', 'das', '', adjustPacked('sub'), packed);
  const ascii = { ...legacy, reads: 'A', writes: 'AC', undefined: 'OSZP' };
  def('37', 'aaa', '', adjustAscii('add'), ascii);
  def('3F', 'aas', '', adjustAscii('sub'), ascii);
  def('D4', 'aam', 'Ib', aam, { ...legacy, writes: 'SZP', undefined: 'OAC' });
  def('D5', 'aad', 'Ib', aad, { ...legacy, writes: 'SZP', undefined: 'OAC' });
  def('D6', 'salc', '', salc, { ...legacy, reads: 'C' });
};
