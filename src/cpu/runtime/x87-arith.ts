/** x87 arithmetic between registers and with memory, comparisons, loads and stores [SDM 1 8.3]. */
import { CPU } from './env';
import { X87_IP } from './generated-layout';
import { bcdToInt, intToBcd } from './softfloat-bcd';
import {
  arithmetic, compare, EQUAL, LESS, roundToInteger, special, toInt, UNORDERED,
} from './softfloat-arith';
import {
  DE, FINITE, Float, float, Fp, IE, pack32, pack64, PE, QNAN, QUIET_BIT, round32, round64, TOP_BIT,
  unpack32, unpack64, unpackInt, ZERO,
} from './softfloat-core';
import {
  aborted, begin, C0, C1, C2, C3, end, getSt, isEmpty, moveTop, need, NO_OPERAND, noteRounding,
  pop, pushFloat, room, roundToControl, setConditions, setEmpty, setIndefinite, setSt, setStatus,
  st, status, withheld,
} from './x87-state';

/** Formats of memory operands. */
export const SINGLE: i32 = 0;
export const DOUBLE: i32 = 1;
export const INT16: i32 = 2;
export const INT32: i32 = 3;
export const INT64: i32 = 4;
export const EXTENDED: i32 = 5;
export const BCD: i32 = 6;

/** Single, double and integer operands. */
function fetch(f: Float, format: i32, p: usize): void {
  if (format == SINGLE) unpack32(f, load<u32>(p));
  else if (format == DOUBLE) unpack64(f, load<u64>(p));
  else {
    unpackInt(f, format == INT16 ? load<i16>(p) : format == INT32 ? load<i32>(p) : load<i64>(p));
  }
}

/** ST(to) = ST(0) op b, b in float(1), which `present` says is there. */
function operate(op: i32, to: i32, present: bool): bool {
  if (!present) {
    if (aborted()) return false;
    setIndefinite(to);
    return true;
  }
  const a = float(0);
  getSt(a, 0);
  arithmetic(op, a, a, float(1));
  if (aborted()) return false;
  roundToControl(a);
  noteRounding();
  setSt(to, a);
  return true;
}

/** FADD ST(i) and its like, `op` of softfloat-arith: operands are ST(0), ST(i) in this order. */
export function x87_arith(op: i32, i: i32, toI: i32, pops: i32): void {
  begin();
  const present = need(0) && need(i);
  if (present) getSt(float(1), i);
  if (operate(op, toI ? i : 0, present) && pops) pop();
  end(NO_OPERAND);
}

/** FADD m32 and its like. */
export function x87_arith_memory(op: i32, format: i32, p: usize, ea: i64): void {
  begin();
  const present = need(0);
  fetch(float(1), format, p);
  operate(op, 0, present);
  end(ea);
}

// --- comparisons ------------------------------------------------------------------------------------

/** Compares ST(0) with float(1): the order, or `UNORDERED` with the exception noted. */
function order(present: bool, quiet: bool): i32 {
  if (!present) return UNORDERED;
  const a = float(0);
  getSt(a, 0);
  return compare(a, float(1), quiet);
}

function finishCompare(result: i32, pops: i32, ea: i64): void {
  setConditions(result == UNORDERED ? C0 | C2 | C3 : result == EQUAL ? C3 : result == LESS ? C0 : 0);
  if (!aborted()) for (let n = 0; n < pops; n++) pop();
  end(ea);
}

/** FCOM, FUCOM (quiet), and popping ones. */
export function x87_compare(i: i32, quiet: i32, pops: i32): void {
  begin();
  const present = need(0) && need(i);
  if (present) getSt(float(1), i);
  finishCompare(order(present, quiet != 0), pops, NO_OPERAND);
}

export function x87_compare_memory(format: i32, p: usize, ea: i64, pops: i32): void {
  begin();
  const present = need(0);
  const b = float(1);
  fetch(b, format, p);
  finishCompare(order(present, false), pops, ea);
}

/** FTST. */
export function x87_test(): void {
  begin();
  unpackInt(float(1), 0);
  finishCompare(order(need(0), false), 0, NO_OPERAND);
}

/** FCOMI, FUCOMI (C1 stays unless the stack underflows, as with FCMOV): ZF, PF and CF in their EFLAGS places. */
export function x87_compare_flags(i: i32, quiet: i32, pops: i32): i32 {
  const c1 = status() & C1;
  begin();
  const present = need(0) && need(i);
  if (present) setStatus(status() | c1);
  if (present) getSt(float(1), i);
  const result = order(present, quiet != 0);
  if (pops && !aborted()) pop();
  end(NO_OPERAND);
  return result == UNORDERED ? 0x45 : result == EQUAL ? 0x40 : result == LESS ? 1 : 0;
}

// --- loads ------------------------------------------------------------------------------------------

function pushRaw(sig: u64, signExp: u16): void {
  moveTop(-1);
  const p = st(0);
  store<u64>(p, sig);
  store<u16>(p, signExp, 8);
  setEmpty(0, false);
}

/** FLD, FILD, FBLD. */
export function x87_load(format: i32, p: usize, ea: i64): void {
  begin();
  const fits = room();
  const f = float(0);
  if (fits && format <= DOUBLE) {
    fetch(f, format, p);
    if (!special(f, f, f) && f.denormal) Fp.flags |= DE;
  }
  // A denormal is loaded even when that exception is unmasked.
  if (!(Fp.flags & ~Fp.masks & IE)) {
    if (!fits) pushRaw(TOP_BIT | QUIET_BIT, 0xffff);
    else if (format == EXTENDED) pushRaw(load<u64>(p), load<u16>(p, 8));
    else {
      if (format == BCD) {
        unpackInt(f, bcdToInt(p));
        f.sign = load<u8>(p, 9) >> 7;
      } else if (format > DOUBLE) fetch(f, format, p);
      // Any operand but a denormal is in the form that is stored; a denormal has become a normal number.
      pushFloat(f);
    }
  }
  end(ea);
}

/** FLD ST(i). */
export function x87_load_register(i: i32): void {
  begin();
  const valid = need(i) && room();
  if (!aborted()) {
    if (valid) pushRaw(load<u64>(st(i)), load<u16>(st(i), 8));
    else pushRaw(TOP_BIT | QUIET_BIT, 0xffff);
  }
  end(NO_OPERAND);
}

// --- stores -----------------------------------------------------------------------------------------

function storeReal(f: Float, format: i32, p: usize): void {
  if (!special(f, f, f)) {
    if (format == SINGLE) round32(f);
    else round64(f);
  }
  if (withheld()) {
    Fp.flags &= ~PE;
    Fp.up = false;
    return;
  }
  if (format == SINGLE) {
    store<u32>(p, pack32(f));
  } else store<u64>(p, pack64(f));
}

function storeInt(f: Float, format: i32, p: usize, chop: bool): void {
  const value = toInt(f, format == INT16 ? 16 : format == INT32 ? 32 : 64, chop);
  if (withheld()) return;
  if (format == INT16) store<u16>(p, <u16>value);
  else if (format == INT32) store<u32>(p, <u32>value);
  else store<i64>(p, value);
}

/** FBSTP: eighteen digits; anything else is invalid. */
function storeBcd(f: Float, p: usize): void {
  const sign = f.sign;
  let value: u64 = 0;
  if (f.kind == FINITE && f.exp < 63) {
    roundToInteger(f, false);
    if (f.kind == FINITE) value = f.sig >> <u64>(63 - f.exp);
  } else if (f.kind != ZERO) value = <u64>-1;
  if (value >= 1_000_000_000_000_000_000) {
    Fp.flags = IE;
    Fp.up = false;
  }
  if (!withheld()) intToBcd(p, value, sign);
}

/**
 * First half of FST, FSTP, FIST, FISTP, FISTTP (chop) and FBSTP: the bytes to store go to `p`; 0 if an unmasked
 * exception forbids the store. Registers stay: memory may fault before the second half.
 */
export function x87_convert(format: i32, p: usize, chop: i32): i32 {
  const before = status();
  const ip = load<u64>(CPU, X87_IP);
  begin();
  const f = float(0);
  const present = need(0);
  if (present) getSt(f, 0);
  else {
    f.kind = QNAN;
    f.sign = 1;
    f.sig = TOP_BIT | QUIET_BIT;
  }
  const underflow = Fp.flags;
  if (!withheld()) {
    if (format == EXTENDED) {
      const from = st(0);
      store<u64>(p, present ? load<u64>(from) : f.sig);
      store<u16>(p, present ? load<u16>(from, 8) : 0xffff, 8);
    } else if (format <= DOUBLE) storeReal(f, format, p);
    else if (format == BCD) storeBcd(f, p);
    else storeInt(f, format, p, chop != 0);
  }
  Fp.flags |= underflow;
  setStatus(before);
  store<u64>(CPU, ip, X87_IP);
  return i32(!withheld());
}

/** Second half, after the store: exceptions, and the pop if there is to be one. */
export function x87_stored(ea: i64, pops: i32): void {
  const flags = Fp.flags;
  const up = Fp.up;
  begin();
  Fp.flags = flags;
  Fp.up = up;
  noteRounding();
  if (pops && !withheld()) pop();
  end(ea);
}

/** FST ST(i), FSTP ST(i); pops 2: the alias FSTPNCE, which only pops an empty ST(0). */
export function x87_store_register(i: i32, pops: i32): void {
  begin();
  const empty = isEmpty(0);
  if (empty && pops != 2) need(0);
  if (!aborted()) {
    if (!empty) copyRegister(i, 0);
    else if (pops != 2) setIndefinite(i);
    if (pops) pop();
  }
  end(NO_OPERAND);
}

function copyRegister(to: i32, from: i32): void {
  store<u64>(st(to), load<u64>(st(from)));
  store<u16>(st(to), load<u16>(st(from), 8), 8);
  setEmpty(to, false);
}

/** FCMOVcc; `take` is the condition. */
export function x87_move_if(i: i32, take: i32): void {
  const c1 = status() & C1;
  begin();
  const present = need(0) && need(i);
  if (present) setStatus(status() | c1);
  if (!aborted()) {
    if (!present) setIndefinite(0);
    else if (take) copyRegister(0, i);
  }
  end(NO_OPERAND);
}

export function x87_exchange(i: i32): void {
  begin();
  const have0 = need(0);
  const haveI = need(i);
  if (!aborted()) {
    if (!have0) setIndefinite(0);
    if (!haveI) setIndefinite(i);
    const sig = load<u64>(st(0));
    const signExp = load<u16>(st(0), 8);
    copyRegister(0, i);
    store<u64>(st(i), sig);
    store<u16>(st(i), signExp, 8);
  }
  end(NO_OPERAND);
}

/** FFREE, and FFREEP (pops). */
export function x87_free(i: i32, pops: i32): void {
  begin();
  setEmpty(i, true);
  if (pops) pop();
}

/** FINCSTP (1), FDECSTP (-1). */
export function x87_turn(by: i32): void {
  begin();
  moveTop(by);
}
