/** Flags of translated code: kept as operands of the operation that made them, until somebody asks. */
import type { Value, Var } from '../emit/function-builder.js';
import type { WasmModule } from '../emit/module.js';
import type { Insn } from '../isa/decode.js';
import { type Bits, Sem } from '../isa/sem.js';
import * as L from '../state/layout.js';
import {
  KIND_ADD,
  KIND_DEC,
  KIND_INC,
  KIND_LAZY,
  KIND_LOGIC,
  KIND_MET,
  KIND_PRODUCT,
  KIND_SUB,
} from './flags.js';
import { REGION } from './region-hash.js';

/** Instructions that, without a memory operand, cannot leave a region. */
const PLAIN = new Set(
  'mov movzx movsx movsxd lea not inc dec add sub cmp and or xor test neg'.split(' '),
);
/** Instructions that write all flags, whatever their operands. */
const OVERWRITES = new Set(['add', 'sub', 'cmp', 'and', 'or', 'xor', 'test', 'neg']);

/** The flags at one point: `kind` of flags.ts, and where they are known the values themselves. */
export interface Flags {
  kind: number;
  first?: Value;
  second?: Value;
  result?: Value;
}

export abstract class RegionFlags extends Sem {
  protected flags: Flags = { kind: KIND_LAZY };
  /** Grows with each change. */
  protected flagVersion = 0;
  protected readonly flagResult: Var;
  protected readonly flagFirst: Var;
  protected readonly flagKind: Var;
  /** Of `if` around what is being built. */
  protected depth = 0;

  constructor(module: WasmModule) {
    super(module, REGION.params);
    this.flagResult = this.variable('i64');
    this.flagFirst = this.variable('i64');
    this.flagKind = this.variable('i32');
  }

  /** The instructions of the block behind the one that is being built. */
  protected abstract following(): Iterable<Insn>;

  protected override setLazy(result: Value, aux: Value): void {
    this.set(this.flagResult, result);
    this.set(this.flagFirst, this.zext64(aux));
    this.flags = { kind: KIND_LAZY, result, first: aux };
    this.flagVersion++;
  }

  private keep(kind: number, bits: Bits, result: Value, first: Value, second?: Value): void {
    const size = bits === 8 ? 0 : bits === 16 ? 1 : bits === 32 ? 2 : 3;
    if (!this.flagsDie()) {
      this.set(this.flagResult, this.zext64(result));
      if (kind !== KIND_LOGIC) this.set(this.flagFirst, this.zext64(first));
    }
    this.flags = { kind: kind * 4 + size, result, first, ...(second ? { second } : {}) };
    this.flagVersion++;
  }

  /** The flags of this instruction are overwritten before anything can read them or leave the region. */
  private flagsDie(): boolean {
    for (const { entry, memory } of this.following()) {
      const touches = memory && entry.mnemonic !== 'lea';
      const segment = entry.family !== 'move' && entry.family !== 'arithmetic';
      if (touches || segment || !PLAIN.has(entry.mnemonic)) return false;
      if (entry.operands.some((operand) => operand[0] === 'O')) return false;
      if (OVERWRITES.has(entry.mnemonic)) return true;
    }
    return false;
  }

  override flagsAdd(bits: Bits, a: Value, b: Value, result: Value, carried = false): void {
    if (carried || this.depth > 0) super.flagsAdd(bits, a, b, result);
    else this.keep(KIND_ADD, bits, result, a, b);
  }
  override flagsSub(bits: Bits, a: Value, b: Value, result: Value, carried = false): void {
    if (carried || this.depth > 0) super.flagsSub(bits, a, b, result);
    else this.keep(KIND_SUB, bits, result, a, b);
  }
  override flagsLogic(bits: Bits, result: Value): void {
    if (this.depth > 0) super.flagsLogic(bits, result);
    else this.keep(KIND_LOGIC, bits, result, result);
  }
  override flagsIncDec(bits: Bits, kind: 'add' | 'sub', a: Value, result: Value): void {
    if (this.depth > 0) super.flagsIncDec(bits, kind, a, result);
    else this.keep(kind === 'add' ? KIND_INC : KIND_DEC, bits, result, this.flag('c'));
  }

  override flagsProduct(bits: Bits, a: Value, b: Value): void {
    if (this.depth > 0) super.flagsProduct(bits, a, b);
    else this.keep(KIND_PRODUCT, bits, a, b);
  }

  private get flagBits(): Bits {
    return (8 << (this.flags.kind & 3)) as Bits;
  }
  /** The operation's result and first operand, in the operand's own type. */
  private kept(which: 'result' | 'first'): Value {
    const value = this.flags[which];
    if (value) return value;
    const local = this.get(which === 'result' ? this.flagResult : this.flagFirst);
    return this.flagBits === 64 ? local : this.wrap(local);
  }
  private keptSecond(): Value {
    const { second, kind } = this.flags;
    if (second) return second;
    const [result, first] = [this.kept('result'), this.kept('first')];
    const value = kind >> 2 === KIND_SUB ? this.sub(first, result) : this.sub(result, first);
    return this.zext(value, this.flagBits);
  }

  protected override lazyResult(): Value {
    this.settle();
    const { kind, result } = this.flags;
    if (kind === KIND_LAZY) return result ?? this.get(this.flagResult);
    if (kind >> 2 === KIND_PRODUCT) {
      return this.widen(this.mul(this.kept('result'), this.kept('first')), this.flagBits);
    }
    return this.widen(this.kept('result'), this.flagBits);
  }

  protected override lazyAux(): Value {
    this.settle();
    const { kind, first } = this.flags;
    const bits = this.flagBits;
    switch (kind >> 2) {
      case KIND_LAZY:
        return first ?? this.wrap(this.get(this.flagFirst));
      case KIND_LOGIC:
        return this.i32(0);
      case KIND_PRODUCT: {
        const [low, high] = this.product(bits, this.kept('result'), this.kept('first'), true);
        return this.shlC(this.signedOverflow(bits, low, high), 31);
      }
      case KIND_ADD:
      case KIND_SUB: {
        const [a, b, r] = [this.kept('first'), this.keptSecond(), this.kept('result')];
        const carries =
          kind >> 2 === KIND_ADD ? this.addCarries(a, b, r) : this.subCarries(a, b, r);
        return this.auxOfCarries(carries, bits);
      }
      default: {
        const [up, r] = [kind >> 2 === KIND_INC, this.kept('result')];
        const one = this.c(r.ty, 1);
        return this.stepAux(bits, up ? 'add' : 'sub', up ? this.sub(r, one) : this.add(r, one), r);
      }
    }
  }

  override flag(name: 'c' | 'p' | 'a' | 'z' | 's' | 'o'): Value {
    this.settle();
    const kind = this.flags.kind >> 2;
    if (kind === KIND_LAZY || kind === KIND_PRODUCT) return super.flag(name);
    const bits = this.flagBits;
    const result = this.kept('result');
    switch (name) {
      case 'z':
        return this.eqz(this.zext(result, bits));
      case 's': {
        const value = this.sext(result, bits);
        return this.ltS(value, this.c(value.ty, 0));
      }
      case 'c':
        if (kind === KIND_LOGIC) return this.i32(0);
        if (kind === KIND_ADD) return this.ltU(this.zext(result, bits), this.kept('first'));
        if (kind === KIND_SUB) return this.ltU(this.kept('first'), this.keptSecond());
        return this.flags.first ?? this.wrap(this.get(this.flagFirst));
      case 'o':
        if (kind === KIND_LOGIC) return this.i32(0);
    }
    return super.flag(name);
  }

  override condition(code: number): Value {
    this.settle();
    const kind = this.flags.kind >> 2;
    const bits = this.flagBits;
    const not = (value: Value): Value => (code & 1 ? this.eqz(value) : value);
    if (kind === KIND_SUB) {
      const signed = (value: Value): Value => this.sext(value, bits);
      const [a, b] = [this.kept('first'), this.keptSecond()];
      switch (code >> 1) {
        case 2:
          return code & 1 ? this.ne(a, b) : this.eq(a, b);
        case 3:
          return not(this.leU(a, b));
        case 6:
          return not(this.ltS(signed(a), signed(b)));
        case 7:
          return not(this.op(`${a.ty}.le_s`, signed(a), signed(b)));
      }
    } else if (kind === KIND_LOGIC) {
      const value = this.sext(this.kept('result'), bits);
      const zero = this.c(value.ty, 0);
      if (code >> 1 === 3) return super.condition(4 | (code & 1));
      if (code >> 1 === 6) return not(this.ltS(value, zero));
      if (code >> 1 === 7) return not(this.op(`${value.ty}.le_s`, value, zero));
    }
    return super.condition(code);
  }

  /** Brings the flags into the form that FLAG_RES and FLAG_AUX have. */
  protected materialise(): void {
    this.settle();
    if (this.flags.kind === KIND_LAZY) return;
    this.setLazy(this.lazyResult(), this.lazyAux());
  }

  /** Before paths meet: most often the flags are overwritten soon after, and need no other form. */
  protected meet(): void {
    const { kind } = this.flags;
    if (kind >> 2 !== KIND_MET) this.set(this.flagKind, this.i32(kind));
  }

  /** After they met, when somebody asks for the flags. */
  private settle(): void {
    if (this.flags.kind >> 2 !== KIND_MET) return;
    const kind = this.get(this.flagKind);
    super.if(kind, () => {
      this.call('jit_flags', [kind, this.get(this.flagResult), this.get(this.flagFirst)], null);
      this.set(this.flagResult, this.state('i64.load', L.FLAG_RES));
      this.set(this.flagFirst, this.state('i64.load32_u', L.FLAG_AUX));
      this.set(this.flagKind, this.i32(KIND_LAZY));
    });
    this.flags = { kind: KIND_LAZY };
  }
}
