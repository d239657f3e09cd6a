/** Shifts, rotates and double shifts. [SDM 2A RCL/RCR/ROL/ROR, 2B SAL/SAR/SHL/SHR, SHLD, SHRD] */
import type { Value } from '../emit/function-builder.js';
import type { Bits, Operand, Sem } from './sem.js';
import type { Define, Family, Semantic } from './table.js';

/** The count, masked to 5 or 6 bits: i32. */
function countOf(s: Sem, operand: Operand, bits: Bits): Value {
  const count = operand.kind === 'one' ? s.i32(1) : s.wrap(s.read(operand));
  return s.andC(count, bits === 64 ? 63 : 31);
}

/** The count in the value's own type. */
function as(s: Sem, count: Value, bits: Bits): Value {
  return bits === 64 ? s.zext64(count) : count;
}

/** Bit n of a value, as i32 0 or 1; n is a value of the same type. */
function bitAt(s: Sem, value: Value, n: Value): Value {
  return s.wrap(s.andC(s.shrU(value, n), 1));
}
function topBit(s: Sem, value: Value, bits: Bits): Value {
  return s.wrap(s.andC(s.shrUC(value, bits - 1), 1));
}

/** A count of 0 changes no flag, but the destination is still read and written. */
function shift(
  compute: (s: Sem, a: Value, count: Value, bits: Bits) => Value,
  flags: (s: Sem, a: Value, count: Value, result: Value, bits: Bits) => void,
): Semantic {
  return (s) => {
    const [dst, by] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(dst);
    const count = countOf(s, by, bits);
    const wide = as(s, count, bits);
    const { old, result } = s.update(dst, (a) => compute(s, a, wide, bits));
    s.if(count, () => flags(s, old, wide, result, bits));
  };
}

const shl = shift(
  (s, a, n) => s.shl(a, n),
  (s, a, n, result, bits) => {
    // Beyond the operand's width the last bit shifted out is 0: `a` is zero-extended, so shifting left and
    // taking bit `bits` says so for narrow operands; wide ones never get there.
    const carry =
      bits < 32
        ? s.wrap(s.andC(s.shrUC(s.shl(s.zext64(a), s.zext64(n)), bits), 1))
        : bitAt(s, a, s.sub(s.c(s.ty(bits), bits), n));
    s.flagsResult(bits, result, carry, s.xor(carry, topBit(s, result, bits)));
  },
);

const shr = shift(
  (s, a, n) => s.shrU(a, n),
  (s, a, n, result, bits) => {
    const carry = bitAt(s, a, s.addC(n, -1));
    // For a count of 1 OF is the old sign; for others it is what hardware leaves: top two bits of the result differ.
    const overflow = topBit(s, s.xor(result, s.shlC(result, 1)), bits);
    s.flagsResult(bits, result, carry, overflow);
  },
);

const sar = shift(
  (s, a, n, bits) => s.shrS(s.sext(a, bits), n),
  (s, a, n, result, bits) => {
    const carry = bitAt(s, s.shrS(s.sext(a, bits), s.addC(n, -1)), s.c(a.ty, 0));
    s.flagsResult(bits, result, carry, s.i32(0));
  },
);

/** value rotated left by n (below `bits`), at its own width. */
function rotateLeft(s: Sem, value: Value, n: Value, bits: Bits): Value {
  if (bits >= 32) return s.rotl(value, n);
  const left = s.shl(value, n);
  return s.zext(s.or(left, s.shrU(value, s.andC(s.sub(s.i32(bits), n), 31))), bits);
}

function rotate(direction: 'left' | 'right'): Semantic {
  return (s) => {
    const [dst, by] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(dst);
    const count = countOf(s, by, bits);
    const inWidth = bits < 32 ? s.andC(count, bits - 1) : count;
    const n = direction === 'left' ? inWidth : s.andC(s.sub(s.i32(bits), inWidth), bits - 1);
    const { result } = s.update(dst, (a) => rotateLeft(s, a, as(s, n, bits), bits));
    s.if(count, () => {
      const top = topBit(s, result, bits);
      if (direction === 'left') {
        const carry = s.wrap(s.andC(result, 1));
        s.setCarryOverflow(carry, s.xor(carry, top));
      } else {
        const second = s.wrap(s.andC(s.shrUC(result, bits - 2), 1));
        s.setCarryOverflow(top, s.xor(top, second));
      }
    });
  };
}

/** Rotates through CF: bits + 1 bits wide. */
function rotateCarry(direction: 'left' | 'right'): Semantic {
  return (s) => {
    const [dst, by] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(dst);
    const masked = countOf(s, by, bits);
    const width = bits + 1;
    const count = bits < 32 ? s.op('i32.rem_u', masked, s.i32(width)) : masked;
    const carryIn = s.flag('c');
    const n = s.zext64(count);
    if (bits === 64) {
      rotateCarry64(s, dst, direction, count, n, carryIn);
      return;
    }
    // Carry and operand side by side in 64 bits: rotate them there.
    const rotated = (a: Value): Value => {
      const all = s.or(s.shlC(s.zext64(carryIn), bits), s.zext64(a));
      const back = s.sub(s.i64(width), n);
      return direction === 'left'
        ? s.or(s.shl(all, n), s.shrU(all, back))
        : s.or(s.shrU(all, n), s.shl(all, back));
    };
    const { old, result } = s.update(dst, (a) => s.wrap(rotated(a)));
    s.if(count, () => {
      const carry = s.wrap(s.andC(s.shrUC(rotated(old), bits), 1));
      overflowOfRotate(s, direction, result, carry, bits);
    });
  };
}

function overflowOfRotate(
  s: Sem,
  direction: 'left' | 'right',
  result: Value,
  carry: Value,
  bits: Bits,
): void {
  const top = topBit(s, result, bits);
  if (direction === 'left') s.setCarryOverflow(carry, s.xor(carry, top));
  else {
    const second = s.wrap(s.andC(s.shrUC(result, bits - 2), 1));
    s.setCarryOverflow(carry, s.xor(top, second));
  }
}

function rotateCarry64(
  s: Sem,
  dst: Operand,
  direction: 'left' | 'right',
  count: Value,
  n: Value,
  carryIn: Value,
): void {
  const carry64 = s.zext64(carryIn);
  const compute = (a: Value): Value => {
    // Two shifts for the wrapped part: its count is 65 - n, which may be 64.
    const back = s.sub(s.i64(64), n);
    const moved =
      direction === 'left'
        ? s.or(s.shl(a, n), s.shrUC(s.shrU(a, back), 1))
        : s.or(s.shrU(a, n), s.shlC(s.shl(a, back), 1));
    const at = direction === 'left' ? s.addC(n, -1) : back;
    return s.select(count, s.or(moved, s.shl(carry64, at)), a);
  };
  const { old, result } = s.update(dst, compute);
  s.if(count, () => {
    const at = direction === 'left' ? s.sub(s.i64(64), n) : s.addC(n, -1);
    overflowOfRotate(s, direction, result, bitAt(s, old, at), 64);
  });
}

/** SHLD and SHRD. Counts above the operand's width give what processors give for 16 bits. */
function double(direction: 'left' | 'right'): Semantic {
  return (s) => {
    const [dst, src, by] = s.operands as [Operand, Operand, Operand];
    const bits = s.bitsOf(dst);
    const filler = s.read(src);
    const count = countOf(s, by, bits);
    const n = as(s, count, bits);
    const compute = (a: Value): Value => {
      if (bits === 16) {
        const [wide, n64] = [(v: Value): Value => s.zext64(v), s.zext64(n)];
        if (direction === 'left') {
          // dst:src:dst, shifted left, the top 16 bits kept.
          const all = s.or(s.or(s.shlC(wide(a), 32), s.shlC(wide(filler), 16)), wide(a));
          return s.wrap(s.shrUC(s.shl(all, n64), 32));
        }
        const all = s.or(s.or(s.shlC(wide(a), 32), s.shlC(wide(filler), 16)), wide(a));
        return s.wrap(s.shrU(all, n64));
      }
      const back = s.sub(s.c(a.ty, bits), n);
      const moved =
        direction === 'left'
          ? s.or(s.shl(a, n), s.shrU(filler, back))
          : s.or(s.shrU(a, n), s.shl(filler, back));
      return s.select(count, moved, a);
    };
    const { old, result } = s.update(dst, compute);
    s.if(count, () => {
      let carry: Value;
      if (bits === 16) {
        const all = s.or(
          s.or(s.shlC(s.zext64(old), 32), s.shlC(s.zext64(filler), 16)),
          s.zext64(old),
        );
        const n64 = s.zext64(n);
        carry =
          direction === 'left'
            ? s.wrap(s.andC(s.shrUC(s.shl(all, n64), 48), 1))
            : bitAt(s, all, s.addC(n64, -1));
      } else {
        carry =
          direction === 'left'
            ? bitAt(s, old, s.sub(s.c(old.ty, bits), n))
            : bitAt(s, old, s.addC(n, -1));
      }
      const overflow = topBit(s, s.xor(old, result), bits);
      s.flagsResult(bits, result, carry, overflow);
    });
  };
}

const GROUP: readonly [string, Semantic, object][] = [
  ['rol', rotate('left'), { writes: 'OC' }],
  ['ror', rotate('right'), { writes: 'OC' }],
  ['rcl', rotateCarry('left'), { writes: 'OC', reads: 'C' }],
  ['rcr', rotateCarry('right'), { writes: 'OC', reads: 'C' }],
  ['shl', shl, { writes: 'OSZPC', undefined: 'A' }],
  ['shr', shr, { writes: 'OSZPC', undefined: 'A' }],
  ['shl', shl, { writes: 'OSZPC', undefined: 'A' }],
  ['sar', sar, { writes: 'OSZPC', undefined: 'A' }],
];

function group(def: Define): void {
  GROUP.forEach(([name, semantic, flags], n) => {
    def(`C0 /${n}`, name, 'Eb Ib', semantic, flags);
    def(`C1 /${n}`, name, 'Ev Ib', semantic, flags);
    def(`D0 /${n}`, name, 'Eb 1', semantic, flags);
    def(`D1 /${n}`, name, 'Ev 1', semantic, flags);
    def(`D2 /${n}`, name, 'Eb CL', semantic, flags);
    def(`D3 /${n}`, name, 'Ev CL', semantic, flags);
  });
}

export const shifts: Family = (def) => {
  group(def);
  const flags = { writes: 'OSZPC', undefined: 'A' };
  def('0F A4 /r', 'shld', 'Ev Gv Ib', double('left'), flags);
  def('0F A5 /r', 'shld', 'Ev Gv CL', double('left'), flags);
  def('0F AC /r', 'shrd', 'Ev Gv Ib', double('right'), flags);
  def('0F AD /r', 'shrd', 'Ev Gv CL', double('right'), flags);
};
