/** Data movement between general registers, memory and the stack. [SDM 2A, 2B] */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import { type Bits, type Operand, RAX, RBP, RBX, RDX, RSP, type Sem } from './sem.js';
import { CONDITION_NAMES, type Family, opcodeText, type Semantic } from './table.js';

const mov: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  s.write(dst, s.read(src));
};

function extend(signed: boolean): Semantic {
  return (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const [from, to] = [s.bitsOf(src), s.bitsOf(dst)];
    const value = s.read(src);
    s.write(dst, signed ? s.resizeSigned(value, from, to) : s.resize(value, from, to));
  };
}

const lea: Semantic = (s) => {
  const [dst] = s.operands as [Operand];
  const address = s.effectiveAddress();
  s.write(dst, s.size === 64 ? address : s.wrap(address));
};

const xchg: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const b = s.read(src);
  // With memory it locks, prefix or not. [SDM 3A 8.1.2.1]
  const { old } = s.update(dst, () => b, dst.kind === 'mem');
  s.write(src, old);
};

const bswap: Semantic = (s) => {
  const [dst] = s.operands as [Operand];
  // 16 bits are undefined by the manual; processors give 0. [SDM 2A BSWAP]
  if (s.size === 16) s.write(dst, s.i32(0));
  else s.write(dst, reverse(s, s.read(dst), s.size));
};

function reverse(s: Sem, value: Value, bits: number): Value {
  if (bits === 16) return s.or(s.andC(s.shrUC(value, 8), 0xff), s.shlC(value, 8));
  if (bits === 32) {
    const odd = s.andC(s.rotl(value, s.i32(8)), 0x00ff_00ff);
    return s.or(odd, s.andC(s.rotr(value, s.i32(8)), 0xff00_ff00 | 0));
  }
  const low = reverse(s, s.wrap(value), 32);
  const high = reverse(s, s.wrap(s.shrUC(value, 32)), 32);
  return s.or(s.shlC(s.zext64(low), 32), s.zext64(high));
}

const movbe: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  s.write(dst, reverse(s, s.read(src), s.size));
};

const cmov =
  (code: number): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    // The source is read, and may fault, either way; a 32-bit destination is cleared above either way.
    const value = s.read(src);
    const old = s.read(dst);
    s.write(dst, s.select(s.condition(code), value, old));
  };

const setcc =
  (code: number): Semantic =>
  (s) =>
    s.write(s.operands[0]!, s.condition(code));

/** CBW CWDE CDQE. */
const convertA: Semantic = (s) => {
  const from = (s.size / 2) as Bits;
  s.writeGpr(RAX, s.size, s.resizeSigned(s.readGpr(RAX, from), from, s.size));
};
/** CWD CDQ CQO. */
const convertD: Semantic = (s) => {
  const value = s.sext(s.readGpr(RAX, s.size), s.size);
  s.writeGpr(RDX, s.size, s.shrSC(value, s.size === 64 ? 63 : 31));
};

const xlat: Semantic = (s) => {
  const offset = s.add(s.readGpr(RBX, 64), s.zext64(s.readGpr(RAX, 8)));
  const value = s.loadAt(s.segment(), s.and(offset, s.addressMask()), 8);
  s.writeGpr(RAX, 8, value);
};

const push: Semantic = (s) => {
  const [src] = s.operands as [Operand];
  s.push(s.size, s.read(src));
};

const pop: Semantic = (s) => {
  const [dst] = s.operands as [Operand];
  if (dst.kind !== 'mem') {
    s.write(dst, s.pop(s.size));
    return;
  }
  // An address based on RSP uses it as it is after the pop; a fault leaves it as before. [SDM 2B POP]
  const sp = s.readGpr(RSP, 64);
  const value = s.stackLoad(sp, s.size);
  s.writeSp(s.addC(sp, s.size / 8));
  const address = s.effectiveAddress();
  const moved = s.readGpr(RSP, 64);
  s.writeGpr(RSP, 64, sp);
  s.storeAt(s.operandSegment(), address, s.size, value);
  s.writeGpr(RSP, 64, moved);
};

/** Slot by slot from the top: a fault leaves RSP as it was, and the slots above it written. */
const pusha: Semantic = (s) => {
  const sp = s.readGpr(RSP, 64);
  const bytes = s.size / 8;
  for (let i = 0; i < 8; i++)
    s.stackStore(s.addC(sp, -(i + 1) * bytes), s.size, s.readGpr(i, s.size));
  s.writeSp(s.addC(sp, -8 * bytes));
};

/** A fault leaves RSP as it was, and the registers popped so far changed. RSP's slot is read too. */
const popa: Semantic = (s) => {
  const sp = s.readGpr(RSP, 64);
  const bytes = s.size / 8;
  for (let n = 7; n >= 0; n--) {
    const value = s.stackLoad(s.addC(sp, (7 - n) * bytes), s.size);
    if (n !== RSP) s.writeGpr(n, s.size, value);
  }
  s.writeSp(s.addC(sp, 8 * bytes));
};

const enter: Semantic = (s) => {
  const bytes = s.size / 8;
  const level = s.andC(s.immediate2(), 31);
  const bp = s.readGpr(RBP, 64);
  const sp = s.variable('i64', s.addC(s.readGpr(RSP, 64), -bytes));
  s.stackStore(s.get(sp), s.size, s.readGpr(RBP, s.size));
  // Of a 16-bit stack's pointer the upper half goes along. [SDM 2A ENTER: FrameTemp := ESP]
  const rsp = s.readGpr(RSP, 64);
  const frame = s.or(s.and(rsp, s.xorC(s.spMask(), -1)), s.and(s.get(sp), s.spMask()));
  s.if(level, () => {
    const left = s.variable('i32', s.addC(level, -1));
    const from = s.variable('i64', bp);
    s.block((out) => {
      s.loop((again) => {
        s.brIf(out, s.eqz(s.get(left)));
        s.set(from, s.addC(s.get(from), -bytes));
        s.set(sp, s.addC(s.get(sp), -bytes));
        s.stackStore(s.get(sp), s.size, s.stackLoad(s.get(from), s.size));
        s.set(left, s.addC(s.get(left), -1));
        s.br(again);
      });
    });
    s.set(sp, s.addC(s.get(sp), -bytes));
    s.stackStore(s.get(sp), s.size, s.size === 64 ? frame : s.wrap(frame));
  });
  const allocated = s.andC(s.immediate(), 0xffff);
  const final = s.sub(s.get(sp), allocated);
  // The new top of stack must be writable. [SDM 2A ENTER]
  const mask = s.spMask();
  const segment = s.stackSegment();
  const top = s.and(final, mask);
  const linear = s.size === 64 ? top : s.linear(segment, top, bytes, L.ACCESS_WRITE);
  const pointer = s.pointerAt(linear, segment, bytes, L.ACCESS_WRITE, true);
  s.commit(pointer);
  s.writeSp(final);
  s.writeGpr(RBP, s.size, s.size === 64 ? frame : s.wrap(frame));
};

const leave: Semantic = (s) => {
  const bp = s.readGpr(RBP, 64);
  const value = s.stackLoad(bp, s.size);
  s.writeSp(s.addC(bp, s.size / 8));
  s.writeGpr(RBP, s.size, value);
};

export const move: Family = (def) => {
  def('88 /r', 'mov', 'Eb Gb', mov);
  def('89 /r', 'mov', 'Ev Gv', mov);
  def('8A /r', 'mov', 'Gb Eb', mov);
  def('8B /r', 'mov', 'Gv Ev', mov);
  def('A0', 'mov', 'AL Ob', mov);
  def('A1', 'mov', 'rAX Ov', mov);
  def('A2', 'mov', 'Ob AL', mov);
  def('A3', 'mov', 'Ov rAX', mov);
  def('B0+r', 'mov', 'Zb Ib', mov);
  def('B8+r', 'mov', 'Zv Iv', mov);
  def('C6 /0', 'mov', 'Eb Ib', mov);
  def('C7 /0', 'mov', 'Ev Iz', mov);
  def('0F B6 /r', 'movzx', 'Gv Eb', extend(false));
  def('0F B7 /r', 'movzx', 'Gv Ew', extend(false));
  def('0F BE /r', 'movsx', 'Gv Eb', extend(true));
  def('0F BF /r', 'movsx', 'Gv Ew', extend(true));
  // Without REX.W it moves: 16 bits with 66, else 32. [SDM 2B MOVSX/MOVSXD]
  def('63 /r', 'movsxd', 'Gv Ed', extend(true), { mode: 'long', w: 1 });
  def('63 /r', 'movsxd', 'Gv Ev', mov, { mode: 'long', w: 0 });
  def('8D /r', 'lea', 'Gv M', lea);
  def('86 /r', 'xchg', 'Eb Gb', xchg, { lock: true });
  def('87 /r', 'xchg', 'Ev Gv', xchg, { lock: true });
  def('F3 90', 'pause', '', () => {});
  def('90', 'nop', '', () => {}, { rexB: 0 });
  // 90 with REX.B is XCHG R8, and the others are what they look like.
  def('90+r', 'xchg', 'Zv rAX', xchg);
  def('0F C8+r', 'bswap', 'Zv', bswap);
  def('0F 38 F0 /r', 'movbe', 'Gv Mv', movbe, { feature: 'MOVBE' });
  def('0F 38 F1 /r', 'movbe', 'Mv Gv', movbe, { feature: 'MOVBE' });
  CONDITION_NAMES.forEach((name, code) => {
    def(`0F ${opcodeText(0x40 + code)} /r`, `cmov${name}`, 'Gv Ev', cmov(code), { reads: 'OSZPC' });
    def(`0F ${opcodeText(0x90 + code)} /r`, `set${name}`, 'Eb', setcc(code), { reads: 'OSZPC' });
  });
  const bySize = { sizes: [16, 32, 64] } as const;
  def('98', 'cbw', '', convertA, bySize);
  def('99', 'cwd', '', convertD, bySize);
  def('D7', 'xlat', '', xlat);
  def('50+r', 'push', 'Zv', push, { size64: 'default' });
  def('58+r', 'pop', 'Zv', pop, { size64: 'default' });
  def('68', 'push', 'Iz', push, { size64: 'default' });
  def('6A', 'push', 'Ibs', push, { size64: 'default' });
  def('FF /6', 'push', 'Ev', push, { size64: 'default' });
  def('8F /0', 'pop', 'Ev', pop, { size64: 'default' });
  def('60', 'pusha', '', pusha, { mode: 'legacy', sizes: [16, 32] });
  def('61', 'popa', '', popa, { mode: 'legacy', sizes: [16, 32] });
  def('C8', 'enter', 'Iw Ib2', enter, { size64: 'default', ...bySize });
  def('C9', 'leave', '', leave, { size64: 'default', ...bySize });
};
