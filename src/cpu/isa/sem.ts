/**
 * What an instruction's meaning is written with: a function builder that also knows the guest's
 * registers, operands, flags, memory and control flow. Two builders extend it: the interpreter's,
 * whose operands are read from a decoded record at run time, and the JIT's, whose operands are
 * constants. A semantic says the same to both and never asks which it is.
 *
 * Rules for semantics:
 * - Everything that may fault comes before the first write to a register or flag. A store may
 *   fault; once `write`, `update` or `store` on memory has returned, it has happened. Where processors
 *   write first (POPA, stores of MMX registers) the semantic says so.
 * - Values of 8 and 16 bits are i32; on reading they are zero-extended, on writing upper bits
 *   are ignored. 32 bits are i32, 64 bits i64.
 * - Functions passed to `update` are pure: they may be built twice.
 */

import { FunctionBuilder, type Value } from '../emit/function-builder.js';
import type { Ty } from '../emit/opcodes.js';
import * as L from '../state/layout.js';
import { RUNTIME_FUNCTIONS } from './runtime-imports.js';
import type { Entry } from './table.js';

export type Bits = 8 | 16 | 32 | 64;

/** Where a register number comes from: the instruction's fields, or fixed. */
export type RegField = 'reg' | 'rm' | 'op' | 'vex' | number;

export type Operand =
  | { kind: 'gpr'; field: RegField; bits: Bits }
  | { kind: 'mem'; bits: number }
  | { kind: 'imm'; bits: Bits }
  | { kind: 'rel' }
  | { kind: 'far'; bits: number }
  | { kind: 'sreg' | 'creg' | 'dreg' }
  | { kind: 'xmm'; field: 'reg' | 'rm'; bits: number }
  | { kind: 'mmx'; field: 'reg' | 'rm'; bits: number }
  | { kind: 'st'; field: 'rm' | number }
  | { kind: 'one' };

/** One way an entry can be met: chosen by the decoder, fixed when code is built. */
export interface Variant {
  readonly entry: Entry;
  /** Operand size. */
  readonly size: 16 | 32 | 64;
  /**
   * `reg`: ModRM.rm is a register, or there is none. `mem`: memory through any segment and address
   * size. `flat`: memory in 64-bit code with 64-bit addresses and no FS or GS.
   */
  readonly form: 'reg' | 'mem' | 'flat';
  readonly lock: boolean;
  /** 0 none, 2 F2, 3 F3. */
  readonly rep: 0 | 2 | 3;
}

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RDI = 7;

/** Exception vectors. [SDM 3A 6.3.1] */
export const DE = 0;
export const BR = 5;
export const UD = 6;
export const NM = 7;
export const GP = 13;

const CF_AND_PO = 0xc000_0000 | 0;

/** The builder that semantics are written with; see the rules at the top of the file. */
export abstract class Sem extends FunctionBuilder {
  abstract readonly variant: Variant;
  abstract readonly operands: readonly Operand[];
  /** Address of the vCPU's area. */
  abstract readonly cpu: Value;

  // --- what the interpreter and the JIT do differently ---------------------------------------------

  abstract readGpr(field: RegField, bits: Bits): Value;
  /** 32 bits clear the upper half; 8 and 16 leave the rest. */
  abstract writeGpr(field: RegField, bits: Bits, value: Value): void;
  /** Place of a vector register: address and offset. */
  abstract vectorPlace(
    field: 'reg' | 'rm' | number,
    file: 'xmm' | 'mmx',
  ): { address: Value; offset: number };
  /** Effective address of the memory operand, within its segment, cut to the address size: i64. */
  abstract effectiveAddress(): Value;
  /** Offset in the vCPU's area of the memory operand's segment (SEGMENTS + n * 32): i32. */
  abstract segment(): Value;
  /** The immediate, as the decoder extended it: i64. */
  abstract immediate(): Value;
  /** The second immediate: ENTER's nesting level, a far pointer's selector: i32. */
  abstract immediate2(): Value;
  /** ModRM.reg with REX.R (segment, control and debug registers) or ModRM.rm with REX.B: i32. */
  abstract fieldNumber(field: 'reg' | 'rm'): Value;
  /** All ones in the address size: i64. */
  abstract addressMask(): Value;
  /** RIP of this and of the next instruction: i64. */
  abstract rip(): Value;
  abstract nextRip(): Value;
  /** Stores RIP and NEXT_RIP (and whatever else the runtime looks at). */
  abstract sync(): void;
  /** Ends the block; RIP has been stored. `retired`: false where the instruction did not complete. */
  abstract leave(retired: boolean): void;

  // --- state ---------------------------------------------------------------------------------------

  get size(): 16 | 32 | 64 {
    return this.variant.size;
  }
  /** True where the code is surely 64-bit. */
  get long(): boolean {
    return this.variant.size === 64 || this.variant.form === 'flat';
  }
  /** The integer type that holds `bits`. */
  ty(bits: number): 'i32' | 'i64' {
    return bits === 64 ? 'i64' : 'i32';
  }
  /** A word of the vCPU's state, by load instruction and layout offset. */
  state(load: string, offset: number): Value {
    return this.load(load, this.cpu, offset);
  }
  setState(store: string, offset: number, value: Value): void {
    this.effect(store, [this.cpu, value], offset);
  }
  /** Sign-extends an 8-, 16- or 32-bit value in its own type. */
  sext(value: Value, bits: number): Value {
    if (bits === 8) return this.op(`${value.ty}.extend8_s`, value);
    if (bits === 16) return this.op(`${value.ty}.extend16_s`, value);
    if (bits === 32 && value.ty === 'i64') return this.op('i64.extend32_s', value);
    return value;
  }
  zext(value: Value, bits: number): Value {
    if (bits === 8) return this.andC(value, 0xff);
    if (bits === 16) return this.andC(value, 0xffff);
    if (bits === 32 && value.ty === 'i64') return this.andC(value, 0xffff_ffff);
    return value;
  }
  /** Converts between operand sizes, zero-extending. */
  resize(value: Value, from: number, to: number): Value {
    const narrow = from < to ? this.zext(value, from) : value;
    return to === 64 ? this.zext64(narrow) : this.wrap(narrow);
  }
  /** Converts between operand sizes, sign-extending. */
  resizeSigned(value: Value, from: number, to: number): Value {
    const wide = this.sext(value, from);
    return to === 64 ? this.sext64(wide) : this.wrap(wide);
  }

  // --- operands ------------------------------------------------------------------------------------

  bitsOf(operand: Operand): Bits {
    return ('bits' in operand ? operand.bits : this.size) as Bits;
  }

  /** A general register, memory, immediate or constant-one operand. */
  read(operand: Operand): Value {
    switch (operand.kind) {
      case 'gpr':
        return this.readGpr(operand.field, operand.bits);
      case 'mem':
        return this.loadInt(this.pointer(operand.bits / 8, L.ACCESS_READ), operand.bits);
      case 'imm': {
        const value = this.immediate();
        return operand.bits === 64 ? value : this.zext(this.wrap(value), operand.bits);
      }
      case 'one':
        return this.i32(1);
      default:
        throw new Error(`${this.variant.entry.pattern}: cannot read ${operand.kind} as an integer`);
    }
  }

  write(operand: Operand, value: Value): void {
    if (operand.kind === 'gpr') this.writeGpr(operand.field, operand.bits, value);
    else if (operand.kind === 'mem') {
      const bytes = operand.bits / 8;
      const pointer = this.pointer(bytes, L.ACCESS_WRITE);
      this.storeInt(pointer, operand.bits, value);
      this.commit(pointer);
    } else throw new Error(`${this.variant.entry.pattern}: cannot write ${operand.kind}`);
  }

  /** Reads, computes and writes back; with LOCK (or `atomic`) indivisibly. Both values come back. */
  update(
    operand: Operand,
    compute: (old: Value) => Value,
    atomic = this.variant.lock,
  ): { old: Value; result: Value } {
    if (operand.kind !== 'mem') {
      const old = this.read(operand);
      const result = compute(old);
      this.write(operand, result);
      return { old, result };
    }
    return this.updateAt(this.effectiveAddress(), operand, compute, atomic);
  }

  /** The same for memory at an address of the semantic's own, through the operand's segment. */
  updateAt(
    address: Value,
    operand: Operand & { kind: 'mem' },
    compute: (old: Value) => Value,
    atomic = this.variant.lock,
  ): { old: Value; result: Value } {
    const { bits } = operand;
    const segment = this.operandSegment();
    const linear = this.linear(segment, address, bits / 8, L.ACCESS_WRITE);
    const pointer = this.pointerAt(linear, segment, bits / 8, L.ACCESS_WRITE, true);
    if (!atomic) {
      const old = this.loadInt(pointer, bits);
      const result = compute(old);
      this.storeInt(pointer, bits, result);
      this.commit(pointer);
      return { old, result };
    }
    const ty = this.ty(bits);
    const oldVar = this.variable(ty);
    const resultVar = this.variable(ty);
    const aligned = this.eqz(this.andC(pointer, bits / 8 - 1));
    const plain = this.and(aligned, this.ne(pointer, this.bounce()));
    this.if(
      plain,
      () => {
        const width = bits === 64 || bits === 32 ? '' : String(bits);
        const u = width ? '_u' : '';
        this.loop((again) => {
          const old = this.load(`${ty}.atomic.load${width}${u}`, pointer);
          const result = compute(old);
          this.set(oldVar, old);
          this.set(resultVar, result);
          const found = this.atomic(`${ty}.atomic.rmw${width}.cmpxchg${u}`, pointer, [old, result]);
          this.brIf(again, this.ne(found, old));
        });
      },
      () => {
        this.call('lock_begin', [], null);
        const old = this.loadInt(pointer, bits);
        const result = compute(old);
        this.set(oldVar, old);
        this.set(resultVar, result);
        this.storeInt(pointer, bits, result);
        this.commit(pointer);
        this.call('lock_end', [], null);
      },
    );
    return { old: this.get(oldVar), result: this.get(resultVar) };
  }

  /**
   * A vector operand (XMM, MMX or memory) by the load that fits: `v128.load`, `i64.load`, `f32.load`,
   * `i32.load16_u`, `v128.load64_zero`, ... A 16-byte memory operand must be aligned unless the entry
   * says `unaligned`.
   */
  vread(operand: Operand, load: string): Value {
    if (operand.kind === 'xmm' || operand.kind === 'mmx') {
      const { address, offset } = this.vectorPlace(operand.field, operand.kind);
      return this.load(load, address, offset);
    }
    return this.load(load, this.vectorPointer(accessBytes(load), L.ACCESS_READ));
  }

  /** Writes a vector operand by the store that fits; other bytes of a register stay as they are. */
  vwrite(operand: Operand, store: string, value: Value): void {
    if (operand.kind === 'xmm' || operand.kind === 'mmx') {
      const { address, offset } = this.vectorPlace(operand.field, operand.kind);
      this.effect(store, [address, value], offset);
      // An MMX register is the significand of an x87 register whose exponent becomes all ones. [SDM 1 9.6.2]
      if (operand.kind === 'mmx')
        this.effect('i32.store16', [address, this.i32(0xffff)], offset + 8);
      return;
    }
    const pointer = this.vectorPointer(accessBytes(store), L.ACCESS_WRITE);
    this.effect(store, [pointer, value], 0);
    this.commit(pointer);
  }

  /** Address (i32) of a vector operand's bytes for the runtime: a register's place or readable memory. */
  vaddress(operand: Operand, bytes: number): Value {
    if (operand.kind === 'xmm' || operand.kind === 'mmx') {
      const { address, offset } = this.vectorPlace(operand.field, operand.kind);
      return this.addC(address, offset);
    }
    return this.vectorPointer(bytes, L.ACCESS_READ);
  }

  private vectorPointer(bytes: number, access: number): Value {
    if (bytes === 16 && !this.variant.entry.options.unaligned) {
      const segment = this.operandSegment();
      const address = this.effectiveAddress();
      // Misalignment is found before what the segment forbids.
      const low = this.wrap(segment === null ? address : this.linearOf(segment, address));
      this.faultIf(this.ne(this.andC(low, 15), this.i32(0)), GP, 0);
      const linear = this.linear(segment, address, bytes, access);
      return this.pointerAt(linear, segment, bytes, access, false);
    }
    return this.pointer(bytes, access);
  }

  /** The x87's TOP becomes 0. */
  clearTop(): void {
    const status = this.andC(this.state('i32.load16_u', L.X87_STATUS), ~0x3800);
    this.setState('i32.store16', L.X87_STATUS, status);
  }
  /** What MMX instructions but EMMS do to the x87: TOP is 0, all registers are valid. [SDM 1 9.6.2] */
  enterMmx(): void {
    this.clearTop();
    this.setState('i32.store8', L.X87_TAG, this.i32(0xff));
  }

  // --- memory --------------------------------------------------------------------------------------

  /** The memory operand is in 64-bit flat space: no segment base, no limit. */
  get flat(): boolean {
    return this.variant.form === 'flat';
  }

  /** The memory operand's segment, null where there is none to look at. */
  operandSegment(): Value | null {
    return this.flat ? null : this.segment();
  }

  /** Pointer (i32) to the memory operand, checked for the access; a fault leaves the instruction. */
  pointer(bytes: number, access: number): Value {
    const segment = this.operandSegment();
    const linear = this.linear(segment, this.effectiveAddress(), bytes, access);
    return this.pointerAt(linear, segment, bytes, access, false);
  }

  /** Linear address of an offset in a segment (null: flat), after the segment's checks: i64. */
  linear(segment: Value | null, offset: Value, bytes: number, access: number): Value {
    if (segment === null) return offset;
    const place = this.add(this.cpu, segment);
    this.if(this.load('i32.load', place, L.SEG_CHECK), () => {
      this.sync();
      const args = [segment, offset, this.i32(bytes), this.i32(access)];
      const ok = this.call('seg_check', args, 'i32');
      this.if(this.eqz(ok), () => this.leave(false));
    });
    return this.linearOf(segment, offset);
  }

  private linearOf(segment: Value, offset: Value): Value {
    const base = this.load('i64.load', this.add(this.cpu, segment), L.SEG_BASE);
    return this.and(this.add(base, offset), this.state('i64.load', L.LINEAR_MASK));
  }

  /** The TLB: inline where it hits, the runtime's probe where it misses. [layout.ts, TLB] */
  pointerAt(
    linear: Value,
    segment: Value | null,
    bytes: number,
    access: number,
    readToo: boolean,
  ): Value {
    const index = this.andC(this.wrap(this.shrUC(linear, 7)), (L.TLB_ENTRIES - 1) << 5);
    const entry = this.add(this.state('i32.load', L.TLB_BASE), index);
    const tag = this.load('i64.load', entry, access === L.ACCESS_WRITE ? L.TLB_WRITE : L.TLB_READ);
    const page = this.andC(this.addC(linear, bytes - 1), -4096);
    const pointer = this.variable('i32');
    this.if(
      this.eq(tag, page),
      () => {
        const addend = this.load('i32.load', entry, L.TLB_ADDEND);
        this.set(pointer, this.add(this.wrap(linear), addend));
      },
      () => {
        this.sync();
        // The segment without checks still tells #SS from #GP.
        const seg = segment ?? this.segment();
        const probe =
          access === L.ACCESS_WRITE ? (readToo ? 'probe_rmw' : 'probe_write') : 'probe_read';
        const found = this.call(probe, [linear, this.i32(bytes), seg], 'i32');
        this.set(pointer, found);
        this.if(this.eqz(found), () => this.leave(false));
      },
    );
    return this.get(pointer);
  }

  /** After storing through a pointer: what went to the bounce buffer goes on to its place. */
  commit(pointer: Value): void {
    this.if(this.eq(pointer, this.bounce()), () => {
      this.sync();
      this.call('commit', [], null);
    });
  }

  private bounce(): Value {
    return this.addC(this.cpu, L.BOUNCE);
  }

  loadInt(pointer: Value, bits: number): Value {
    const name = { 8: 'i32.load8_u', 16: 'i32.load16_u', 32: 'i32.load', 64: 'i64.load' }[bits];
    return this.load(name!, pointer);
  }
  storeInt(pointer: Value, bits: number, value: Value): void {
    const name = { 8: 'i32.store8', 16: 'i32.store16', 32: 'i32.store', 64: 'i64.store' }[bits];
    this.effect(name!, [pointer, value]);
  }

  /** Loads from an explicit segment offset (far pointers, XLAT, string and stack code). */
  loadAt(segment: Value | null, offset: Value, bits: number): Value {
    const linear = this.linear(segment, offset, bits / 8, L.ACCESS_READ);
    return this.loadInt(this.pointerAt(linear, segment, bits / 8, L.ACCESS_READ, false), bits);
  }
  storeAt(segment: Value | null, offset: Value, bits: number, value: Value): void {
    const linear = this.linear(segment, offset, bits / 8, L.ACCESS_WRITE);
    const pointer = this.pointerAt(linear, segment, bits / 8, L.ACCESS_WRITE, false);
    this.storeInt(pointer, bits, value);
    this.commit(pointer);
  }

  // --- the stack -----------------------------------------------------------------------------------

  /** The stack's segment: known to be flat for 64-bit operations, else what the mode says. */
  stackSegment(): Value {
    return this.size === 64
      ? this.i32(L.SEGMENTS + L.FLAT_SS * L.SEGMENT_SIZE)
      : this.state('i32.load', L.STACK_SEGMENT);
  }
  spMask(): Value {
    return this.size === 64 ? this.i64(-1) : this.state('i64.load', L.SP_MASK);
  }
  /** RSP with the part the stack size leaves alone kept. */
  writeSp(value: Value): void {
    const mask = this.spMask();
    const kept = this.and(this.readGpr(RSP, 64), this.xorC(mask, -1));
    this.writeGpr(RSP, 64, this.or(kept, this.and(value, mask)));
  }
  stackStore(sp: Value, bits: Bits, value: Value): void {
    this.stackAccess(sp, bits, L.ACCESS_WRITE, (pointer) => {
      this.storeInt(pointer, bits, value);
      this.commit(pointer);
    });
  }
  stackLoad(sp: Value, bits: Bits): Value {
    let value: Value | undefined;
    this.stackAccess(sp, bits, L.ACCESS_READ, (pointer) => {
      value = this.loadInt(pointer, bits);
    });
    return value!;
  }
  private stackAccess(sp: Value, bits: Bits, access: number, use: (pointer: Value) => void): void {
    const segment = this.stackSegment();
    const offset = this.and(sp, this.spMask());
    const linear = this.size === 64 ? offset : this.linear(segment, offset, bits / 8, access);
    use(this.pointerAt(linear, segment, bits / 8, access, false));
  }
  /** Stores below RSP, then moves it. */
  push(bits: Bits, value: Value): void {
    const sp = this.addC(this.readGpr(RSP, 64), -bits / 8);
    this.stackStore(sp, bits, value);
    this.writeSp(sp);
  }
  /** Loads at RSP; RSP moves at once, so nothing that follows may fault. */
  pop(bits: Bits): Value {
    const sp = this.readGpr(RSP, 64);
    const value = this.stackLoad(sp, bits);
    this.writeSp(this.addC(sp, bits / 8));
    return value;
  }

  // --- flags: see FLAG_RES and FLAG_AUX in layout.ts -----------------------------------------------

  /** The flags from here on: FLAG_RES and FLAG_AUX. */
  protected setLazy(result: Value, aux: Value): void {
    this.setState('i64.store', L.FLAG_RES, result);
    this.setState('i32.store', L.FLAG_AUX, aux);
  }
  protected lazyResult(): Value {
    return this.state('i64.load', L.FLAG_RES);
  }
  protected lazyAux(): Value {
    return this.state('i32.load', L.FLAG_AUX);
  }
  protected auxOfCarries(carries: Value, bits: Bits): Value {
    const top =
      bits === 64
        ? this.andC(this.wrap(this.shrUC(carries, 32)), CF_AND_PO)
        : this.andC(this.shlC(carries, 32 - bits), CF_AND_PO);
    return this.or(top, this.andC(this.wrap(carries), 8));
  }
  protected widen(result: Value, bits: Bits): Value {
    return this.sext64(this.sext(result, bits));
  }
  protected addCarries(a: Value, b: Value, result: Value): Value {
    return this.or(this.and(a, b), this.and(this.or(a, b), this.not(result)));
  }
  protected subCarries(a: Value, b: Value, result: Value): Value {
    const notA = this.not(a);
    return this.or(this.and(notA, b), this.and(this.or(notA, b), result));
  }
  /** All six flags of a + b = result; `carried`: of a + b + CF. */
  flagsAdd(bits: Bits, a: Value, b: Value, result: Value, _carried = false): void {
    this.setLazy(this.widen(result, bits), this.auxOfCarries(this.addCarries(a, b, result), bits));
  }
  /** All six flags of a - b = result; `carried`: of a - b - CF. */
  flagsSub(bits: Bits, a: Value, b: Value, result: Value, _carried = false): void {
    this.setLazy(this.widen(result, bits), this.auxOfCarries(this.subCarries(a, b, result), bits));
  }
  /** INC and DEC: CF stays. `b` is 1. */
  flagsIncDec(bits: Bits, kind: 'add' | 'sub', a: Value, result: Value): void {
    this.setLazy(this.widen(result, bits), this.stepAux(bits, kind, a, result));
  }
  /** FLAG_AUX after INC and DEC: CF as it is, OF and AF of the step. */
  protected stepAux(bits: Bits, kind: 'add' | 'sub', a: Value, result: Value): Value {
    const one = this.c(this.ty(bits), 1);
    const carries =
      kind === 'add' ? this.addCarries(a, one, result) : this.subCarries(a, one, result);
    const aux = this.auxOfCarries(carries, bits);
    const overflow = this.andC(this.xor(aux, this.shrUC(aux, 1)), 0x4000_0000);
    const carry = this.shlC(this.flag('c'), 31);
    const po = this.xor(this.shrUC(carry, 1), overflow);
    return this.or(this.or(carry, po), this.andC(aux, 8));
  }
  /** SF ZF PF of the result; CF OF AF clear. */
  flagsLogic(bits: Bits, result: Value): void {
    this.setLazy(this.widen(result, bits), this.i32(0));
  }
  /** SF ZF PF of the result, and CF, OF, AF as given (i32, 0 or 1). */
  flagsResult(
    bits: Bits,
    result: Value,
    carry: Value,
    overflow: Value,
    adjust = this.i32(0),
  ): void {
    const aux = this.or(this.carryBits(carry, overflow), this.shlC(adjust, 3));
    this.setLazy(this.widen(result, bits), aux);
  }
  /** A product's low and high half, both in the operands' type (8 bits: all in low). */
  product(bits: Bits, a: Value, b: Value, signed: boolean): [Value, Value] {
    if (bits === 64) {
      return [this.mul(a, b), this.pure(signed ? 'mul_s64_hi' : 'mul_u64_hi', a, b)];
    }
    const widen = (v: Value): Value => (signed ? this.sext64(this.sext(v, bits)) : this.zext64(v));
    const all = this.mul(widen(a), widen(b));
    return [this.wrap(all), this.wrap(this.shrUC(all, bits === 8 ? 8 : bits))];
  }
  /** 1 where the high half of a signed product is not just the low half's sign. */
  signedOverflow(bits: Bits, low: Value, high: Value): Value {
    const sign = this.shrSC(this.sext(low, bits), bits === 64 ? 63 : 31);
    return this.ne(this.sext(high, bits), sign);
  }
  /** Flags of a signed product: CF = OF = the high half matters; SF ZF PF as the low half gives them. */
  flagsProduct(bits: Bits, a: Value, b: Value): void {
    const [low, high] = this.product(bits, a, b, true);
    const carry = this.signedOverflow(bits, low, high);
    this.flagsResult(bits, low, carry, carry);
  }
  private carryBits(carry: Value, overflow: Value): Value {
    return this.or(this.shlC(carry, 31), this.shlC(this.xor(carry, overflow), 30));
  }
  /** CF and OF as given, the other four unchanged. */
  setCarryOverflow(carry: Value, overflow: Value): void {
    const rest = this.andC(this.lazyAux(), ~CF_AND_PO);
    this.setLazy(this.lazyResult(), this.or(rest, this.carryBits(carry, overflow)));
  }
  /** CF as given, the other five unchanged. */
  setCarry(carry: Value): void {
    this.setCarryOverflow(carry, this.flag('o'));
  }
  /** One flag as i32, 0 or 1. */
  flag(name: 'c' | 'p' | 'a' | 'z' | 's' | 'o'): Value {
    if (name === 'z') return this.eqz(this.lazyResult());
    const aux = this.lazyAux();
    switch (name) {
      case 'c':
        return this.shrUC(aux, 31);
      case 'o':
        return this.shrUC(this.xor(aux, this.shlC(aux, 1)), 31);
      case 'a':
        return this.andC(this.shrUC(aux, 3), 1);
      case 's': {
        const sign = this.wrap(this.shrUC(this.lazyResult(), 63));
        return this.xor(sign, this.andC(aux, 1));
      }
      case 'p': {
        const low = this.wrap(this.lazyResult());
        const byte = this.andC(this.xor(low, this.shrUC(aux, 8)), 0xff);
        return this.xorC(this.andC(this.op('i32.popcnt', byte), 1), 1);
      }
    }
  }
  /** CF PF AF ZF SF OF in their places of RFLAGS; other bits 0. i32. */
  packFlags(): Value {
    const at = (name: 'c' | 'p' | 'a' | 'z' | 's' | 'o', bit: number): Value =>
      this.shlC(this.flag(name), bit);
    const low = this.or(this.or(at('c', 0), at('p', 2)), at('a', 4));
    return this.or(low, this.or(this.or(at('z', 6), at('s', 7)), at('o', 11)));
  }
  /** Sets all six from their places in an i32. */
  unpackFlags(flags: Value): void {
    const bit = (n: number): Value => this.andC(this.shrUC(flags, n), 1);
    // Not zero is 0x100: positive, and with a low byte of even parity, so that PF is bit 8 of AUX.
    const result = this.select(bit(6), this.i64(0), this.i64(0x100));
    const parity = this.shlC(this.xorC(bit(2), 1), 8);
    const rest = this.or(this.or(bit(7), this.shlC(bit(4), 3)), parity);
    this.setLazy(result, this.or(rest, this.carryBits(bit(0), bit(11))));
  }
  /** Changes some flags: `mask` in RFLAGS places, `flags` their new values there. */
  mergeFlags(mask: number, flags: Value): void {
    this.unpackFlags(this.or(this.andC(this.packFlags(), ~mask), flags));
  }
  /** Condition 0..15 of Jcc, SETcc, CMOVcc, as i32 0 or 1. [SDM 1 B.1] */
  condition(code: number): Value {
    let value: Value;
    switch (code >> 1) {
      case 0:
        value = this.flag('o');
        break;
      case 1:
        value = this.flag('c');
        break;
      case 2:
        value = this.flag('z');
        break;
      case 3:
        value = this.or(this.flag('c'), this.flag('z'));
        break;
      case 4:
        value = this.flag('s');
        break;
      case 5:
        value = this.flag('p');
        break;
      case 6:
        value = this.xor(this.flag('s'), this.flag('o'));
        break;
      default:
        value = this.or(this.flag('z'), this.xor(this.flag('s'), this.flag('o')));
    }
    return code & 1 ? this.eqz(value) : value;
  }

  // --- control flow and faults -----------------------------------------------------------------------

  /** The branch target of a J operand, cut to the operand size: i64. */
  branchTarget(): Value {
    return this.cutIp(this.add(this.nextRip(), this.immediate()));
  }
  cutIp(target: Value): Value {
    return this.size === 64 ? target : this.andC(target, this.size === 16 ? 0xffff : 0xffff_ffff);
  }
  /** #GP(0) where RIP may not go: non-canonical, or beyond CS's limit. */
  checkTarget(target: Value): void {
    if (this.size === 64) {
      const sign = this.shrSC(this.shlC(target, 16), 16);
      this.faultIf(this.ne(sign, target), GP, 0);
      return;
    }
    const cs = L.SEGMENTS + L.CS * L.SEGMENT_SIZE;
    this.if(this.state('i32.load', cs + L.SEG_CHECK), () => {
      const limit = this.state('i64.load32_u', cs + L.SEG_LIMIT);
      this.faultIf(this.gtU(target, limit), GP, 0);
    });
  }
  /** Before the return address of a call is written, which may be where its target was read. */
  willCall(_target: Value): void {}
  /** Goes to a target that {@link checkTarget} has passed. */
  goTo(target: Value): void {
    this.setState('i64.store', L.RIP, target);
    this.leave(true);
  }
  jump(target: Value): void {
    this.checkTarget(target);
    this.goTo(target);
  }
  /** Goes on to the next instruction in a new block: what it means may have changed. */
  next(): void {
    this.goTo(this.nextRip());
  }
  /** Runs this instruction again from the start, after looking for interrupts. */
  restart(): void {
    this.setState('i64.store', L.RIP, this.rip());
    this.leave(false);
  }
  /** Raises an exception; `error` null: none is pushed. */
  fault(vector: number | Value, error: number | null = null): void {
    this.sync();
    const number = typeof vector === 'number' ? this.i32(vector) : vector;
    this.call('set_fault', [number, this.i32(error === null ? 0 : 1), this.i32(error ?? 0)], null);
    this.leave(false);
  }
  faultIf(cond: Value, vector: number, error: number | null = null): void {
    this.if(cond, () => this.fault(vector, error));
  }

  /** Calls a runtime function that may fault or look at the instruction (see runtime-imports.ts). */
  rt(name: string, ...args: Value[]): Value {
    this.sync();
    return this.pure(name, ...args);
  }
  /** Calls a runtime function that cannot fault and does not look at RIP. */
  pure(name: string, ...args: Value[]): Value {
    const { params, result } = runtimeSignature(name);
    if (params.length !== args.length || params.some((ty, i) => ty !== args[i]!.ty)) {
      throw new Error(`${name} wants (${params.join()}), got (${args.map((a) => a.ty).join()})`);
    }
    return this.call(name, args, result);
  }
}

const LETTER: Readonly<Record<string, Ty>> = { i: 'i32', I: 'i64', f: 'f32', F: 'f64' };

/** Signature of a runtime function, from its letters. */
export function runtimeSignature(name: string): { params: Ty[]; result: Ty | null } {
  const text = RUNTIME_FUNCTIONS[name];
  if (text === undefined) throw new Error(`runtime function ${name} is not in runtime-imports.ts`);
  const [params, result] = text.split('>') as [string, string];
  return { params: [...params].map((c) => LETTER[c]!), result: result ? LETTER[result]! : null };
}

/** Bytes that a load or store instruction touches. */
function accessBytes(name: string): number {
  if (name.startsWith('v128')) return name.includes('64') ? 8 : name.includes('32') ? 4 : 16;
  const width = /(?:load|store)(\d+)/.exec(name);
  if (width) return Number(width[1]) / 8;
  return /^[if]64/.test(name) ? 8 : 4;
}
