/**
 * Builds one function as statements over values. Every operation's result is a value that never
 * changes; a pure value used once is written where it is used, one never used is dropped, others
 * get a local. Constants fold, and an `if` over a constant keeps only its taken side: what costs
 * an operand decode in the interpreter costs nothing where the operand is known.
 */
import { Bytes, typeCode, type WasmModule } from './module.js';
import { type Opcode, opcode, type Ty } from './opcodes.js';

/** What an operation gave: never changes, belongs to the builder that made it. */
export class Value {
  uses = 0;
  local = -1;
  /** While code is written: uses to come, whether the local is this value's own, loops around its definition. */
  remaining = 0;
  owned = false;
  loops = 0;
  constructor(
    readonly ty: Ty,
    readonly op: string,
    readonly args: readonly Value[],
    /**
     * Of a constant: its value, signed; of an i64 a number where that is exact. Of a lane or shuffle
     * operation: the immediate.
     */
    readonly imm: number | bigint | readonly number[] = 0,
    readonly pure = true,
    /** Of a load; of a variable its bit. */
    readonly offset = 0,
    readonly info: Opcode | null = null,
  ) {}
}

/** A local that can be set again. */
export class Var {
  constructor(
    readonly ty: Ty,
    readonly local: number,
    /** Bit of the variable in sets of variables; 0: it is in none, and reading it takes a copy. */
    readonly bit: number,
  ) {}
}

/** Variables of a function that have a bit. */
const MOST_BITS = 30;

/** Where a branch may go: out of a block, or back to a loop's start. */
export class Label {}

type Stmt =
  | { kind: 'def'; value: Value }
  | { kind: 'effect'; op: string; args: Value[]; offset: number }
  | { kind: 'call'; name: string; args: Value[]; result: Value | null }
  | { kind: 'callIndirect'; type: number; table: number; args: Value[]; result: Value }
  | { kind: 'set'; target: Var; value: Value }
  | {
      kind: 'if';
      cond: Value;
      taken: Stmt[];
      otherwise: Stmt[];
      result?: Choice;
      sets: number;
    }
  | { kind: 'block' | 'loop'; label: Label; body: Stmt[]; sets: number }
  | { kind: 'br'; label: Label; cond: Value | null }
  | { kind: 'list'; body: Stmt[]; sets: number }
  | { kind: 'return'; value: Value | null };

/** What an `if` with a result gives. */
interface Choice {
  readonly value: Value;
  readonly taken: Value;
  readonly otherwise: Value;
}

/** Statements of one function, in order, and the values they compute. */
export class FunctionBuilder {
  private body: Stmt[] = [];
  private readonly postponed: { body: Stmt[]; build: () => void }[] = [];
  private readonly locals: Ty[] = [];
  /** Those with a bit, in the order of their bits. */
  readonly variables: Var[] = [];

  constructor(
    readonly module: WasmModule,
    private readonly params: readonly Ty[],
  ) {}

  // --- values ------------------------------------------------------------------------------------

  i32(value: number): Value {
    return new Value('i32', 'const', [], value | 0);
  }
  i64(value: number | bigint): Value {
    if (typeof value === 'number' && Number.isSafeInteger(value)) {
      return new Value('i64', 'const', [], value);
    }
    const signed = BigInt.asIntN(64, BigInt(value));
    const exact = signed >= LEAST_EXACT && signed <= MOST_EXACT;
    return new Value('i64', 'const', [], exact ? Number(signed) : signed);
  }
  f32(bits: number): Value {
    return this.op('f32.reinterpret_i32', this.i32(bits));
  }
  f64(bits: bigint): Value {
    return this.op('f64.reinterpret_i64', this.i64(bits));
  }
  /** A vector constant: 16 bytes, lowest first. */
  v128(bytes: readonly number[]): Value {
    return new Value('v128', 'const', [], bytes);
  }
  /** A constant of the given integer type. */
  c(ty: Ty, value: number | bigint): Value {
    if (ty === 'i64') return this.i64(value);
    return this.i32(typeof value === 'number' ? value : Number(BigInt.asIntN(32, value)));
  }
  param(index: number): Value {
    const value = new Value(this.params[index]!, 'local', []);
    value.local = index;
    return value;
  }
  /** The immutable global env.cpu. */
  cpuGlobal(): Value {
    return this.define(new Value('i32', 'global', []));
  }

  /** Any wasm instruction without immediate, by its text name; pure ones only. */
  op(name: string, ...args: Value[]): Value {
    const folded = fold(this, name, args);
    if (folded) return folded;
    const info = opcode(name);
    if (!info.result || !info.pure) throw new Error(`${name} is not a pure operation`);
    this.checkTypes(name, info.args, args);
    return this.define(new Value(info.result, name, args, 0, true, 0, info));
  }
  /** A vector instruction with a lane index or 16 shuffle indices. */
  lane(name: string, imm: number | readonly number[], ...args: Value[]): Value {
    const info = opcode(name);
    this.checkTypes(name, info.args, args);
    return this.define(new Value(info.result!, name, args, imm));
  }
  select(cond: Value, whenTrue: Value, whenFalse: Value): Value {
    if (cond.op === 'const') return cond.imm !== 0 ? whenTrue : whenFalse;
    return this.define(new Value(whenTrue.ty, 'select', [whenTrue, whenFalse, cond]));
  }

  // Integer operations on i32 or i64, by the type of the first operand.
  add = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.add' : 'i32.add', a, b);
  sub = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.sub' : 'i32.sub', a, b);
  mul = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.mul' : 'i32.mul', a, b);
  and = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.and' : 'i32.and', a, b);
  or = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.or' : 'i32.or', a, b);
  xor = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.xor' : 'i32.xor', a, b);
  shl = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.shl' : 'i32.shl', a, b);
  shrU = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.shr_u' : 'i32.shr_u', a, b);
  shrS = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.shr_s' : 'i32.shr_s', a, b);
  rotl = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.rotl' : 'i32.rotl', a, b);
  rotr = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.rotr' : 'i32.rotr', a, b);
  eq = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.eq' : 'i32.eq', a, b);
  ne = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.ne' : 'i32.ne', a, b);
  ltU = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.lt_u' : 'i32.lt_u', a, b);
  ltS = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.lt_s' : 'i32.lt_s', a, b);
  gtU = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.gt_u' : 'i32.gt_u', a, b);
  gtS = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.gt_s' : 'i32.gt_s', a, b);
  leU = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.le_u' : 'i32.le_u', a, b);
  geU = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.ge_u' : 'i32.ge_u', a, b);
  geS = (a: Value, b: Value): Value => this.op(a.ty === 'i64' ? 'i64.ge_s' : 'i32.ge_s', a, b);
  eqz = (a: Value): Value => this.op(a.ty === 'i64' ? 'i64.eqz' : 'i32.eqz', a);
  /** a + constant, a & constant, ... with the constant in a's type. */
  addC = (a: Value, n: number | bigint): Value => this.add(a, this.c(a.ty, n));
  andC = (a: Value, n: number | bigint): Value => this.and(a, this.c(a.ty, n));
  orC = (a: Value, n: number | bigint): Value => this.or(a, this.c(a.ty, n));
  xorC = (a: Value, n: number | bigint): Value => this.xor(a, this.c(a.ty, n));
  shlC = (a: Value, n: number): Value => this.shl(a, this.c(a.ty, n));
  shrUC = (a: Value, n: number): Value => this.shrU(a, this.c(a.ty, n));
  shrSC = (a: Value, n: number): Value => this.shrS(a, this.c(a.ty, n));
  /** Bitwise complement. */
  not = (a: Value): Value => this.xorC(a, -1);
  neg = (a: Value): Value => this.sub(this.c(a.ty, 0), a);
  /** i64 to i32, dropping the upper half; an i32 stays. */
  wrap = (a: Value): Value => (a.ty === 'i32' ? a : this.op('i32.wrap_i64', a));
  /** i32 to i64, upper half zero; an i64 stays. */
  zext64 = (a: Value): Value => (a.ty === 'i64' ? a : this.op('i64.extend_i32_u', a));
  /** i32 to i64, upper half the sign; an i64 stays. */
  sext64 = (a: Value): Value => (a.ty === 'i64' ? a : this.op('i64.extend_i32_s', a));

  // --- effects -----------------------------------------------------------------------------------

  /** A load by its wasm name, at an i32 address + offset. Happens here, once. */
  load(name: string, address: Value, offset = 0): Value {
    const info = opcode(name);
    return this.define(new Value(info.result!, name, [address], 0, false, offset, info));
  }
  /** An atomic read-modify-write. */
  atomic(name: string, address: Value, args: Value[], offset = 0): Value {
    const info = opcode(name);
    return this.define(new Value(info.result!, name, [address, ...args], 0, false, offset));
  }
  /** A store (plain or atomic), memory.copy or memory.fill. */
  effect(name: string, args: Value[], offset = 0): void {
    this.checkTypes(name, opcode(name).args, args);
    this.body.push({ kind: 'effect', op: name, args, offset });
  }
  call(name: string, args: Value[], result: Ty | null): Value {
    const value = result ? new Value(result, 'call', [], 0, false) : null;
    this.body.push({ kind: 'call', name, args, result: value });
    return value ?? this.i32(0);
  }
  /** The last of `args` is the index in the table. */
  callIndirect(type: number, args: Value[], result: Ty, table = 0): Value {
    const value = new Value(result, 'call', [], 0, false);
    this.body.push({ kind: 'callIndirect', type, table, args, result: value });
    return value;
  }
  variable(ty: Ty, initial?: Value): Var {
    const bit = this.variables.length < MOST_BITS ? 1 << this.variables.length : 0;
    const variable = new Var(ty, this.newLocal(ty), bit);
    if (bit !== 0) this.variables.push(variable);
    if (initial) this.set(variable, initial);
    return variable;
  }
  set(target: Var, value: Value): void {
    if (target.ty !== value.ty) throw new Error(`${value.ty} set to a ${target.ty} variable`);
    this.body.push({ kind: 'set', target, value });
  }
  /** A local that is set here and never again. */
  fixed(value: Value): Value {
    const local = this.variable(value.ty, value).local;
    const fixed = new Value(value.ty, 'local', []);
    fixed.local = local;
    return fixed;
  }
  get(source: Var): Value {
    const value = new Value(source.ty, 'var', NO_ARGS, source.local, false, source.bit);
    return this.define(value);
  }

  // --- control flow ------------------------------------------------------------------------------

  if(cond: Value, then: () => void, otherwise?: () => void): void {
    if (cond.op === 'const') {
      if (cond.imm !== 0) then();
      else otherwise?.();
      return;
    }
    const taken = this.nested(then);
    const untaken = otherwise ? this.nested(otherwise) : [];
    this.body.push({ kind: 'if', cond, taken, otherwise: untaken, sets: 0 });
  }
  /** One of two values; each side may have effects, or leave. */
  choose(cond: Value, then: () => Value, otherwise: () => Value): Value {
    let [yes, no]: Value[] = [];
    const taken = this.nested(() => {
      yes = then();
    });
    const untaken = this.nested(() => {
      no = otherwise();
    });
    const value = new Value(yes!.ty, 'call', [], 0, false);
    const result = { value, taken: yes!, otherwise: no! };
    this.body.push({ kind: 'if', cond, taken, otherwise: untaken, result, sets: 0 });
    return value;
  }
  /** `body` may branch to the label: out of the block. */
  block(body: (out: Label) => void): void {
    const label = new Label();
    this.body.push({ kind: 'block', label, body: this.nested(() => body(label)), sets: 0 });
  }
  /** `body` may branch to the label: back to the loop's start. Falls out otherwise. */
  loop(body: (again: Label) => void): void {
    const label = new Label();
    this.body.push({ kind: 'loop', label, body: this.nested(() => body(label)), sets: 0 });
  }
  br(label: Label): void {
    this.body.push({ kind: 'br', label, cond: null });
  }
  brIf(label: Label, cond: Value): void {
    if (cond.op === 'const') {
      if (cond.imm !== 0) this.br(label);
      return;
    }
    this.body.push({ kind: 'br', label, cond });
  }
  return(value: Value | null = null): void {
    this.body.push({ kind: 'return', value });
  }

  // --- the end -----------------------------------------------------------------------------------

  /** What `build` adds stands here, but is built when all else is known. */
  later(build: () => void): void {
    const body: Stmt[] = [];
    this.body.push({ kind: 'list', body, sets: 0 });
    this.postponed.push({ body, build });
  }

  /** The function's body: locals and instructions. The last statement must be a return. */
  finish(): Bytes {
    for (const { body, build } of this.postponed) body.push(...this.nested(build));
    countUses(this.body);
    const code = new Bytes();
    new Writer(this, code).statements(this.body);
    const out = new Bytes();
    const runs: { ty: Ty; count: number }[] = [];
    for (const ty of this.locals) {
      const last = runs.at(-1);
      if (last?.ty === ty) last.count++;
      else runs.push({ ty, count: 1 });
    }
    out.u32(runs.length);
    for (const { ty, count } of runs) {
      out.u32(count);
      out.byte(typeCode(ty));
    }
    out.raw(code.view());
    out.byte(0x00); // unreachable: every path has returned
    out.byte(0x0b);
    return out;
  }

  newLocal(ty: Ty): number {
    this.locals.push(ty);
    return this.params.length + this.locals.length - 1;
  }

  private define(value: Value): Value {
    this.body.push({ kind: 'def', value });
    return value;
  }
  private nested(build: () => void): Stmt[] {
    const outer = this.body;
    this.body = [];
    build();
    const inner = this.body;
    this.body = outer;
    return inner;
  }
  private checkTypes(name: string, wanted: readonly Ty[], args: readonly Value[]): void {
    if (wanted.length !== args.length || wanted.some((ty, i) => ty !== args[i]!.ty)) {
      throw new Error(`${name} wants (${wanted.join()}), got (${args.map((a) => a.ty).join()})`);
    }
  }
}

/** What an integer constant is; undefined: not known. */
function known(value: Value | undefined): number | bigint | undefined {
  return value?.op === 'const' && typeof value.imm !== 'object' ? value.imm : undefined;
}

/** Operations that leave x where y is 0, by name without the type. */
const NEUTRAL_ZERO = new Set(['add', 'sub', 'or', 'xor', 'shl', 'shr_s', 'shr_u', 'rotl', 'rotr']);

/** Folds what is known now; null where the operation must be emitted. */
function fold(b: FunctionBuilder, name: string, args: readonly Value[]): Value | null {
  const x = args[0]!;
  const y = args[1];
  const xk = known(x);
  if (y === undefined) return xk === undefined ? unfolded(name, x) : foldUnary(b, name, xk);
  const yk = known(y);
  if (yk === undefined && xk === undefined) return null;
  if (name.charCodeAt(0) !== I || name.charCodeAt(3) !== DOT) return null;
  const op = name.slice(4);
  if (yk !== undefined && xk === undefined) {
    if (yk === 0) {
      if (NEUTRAL_ZERO.has(op)) return x;
      if (op === 'and' || op === 'mul') return y;
    }
    if (yk === -1 && op === 'and') return x;
    if (yk === 1 && op === 'mul') return x;
    if (op === 'add' && x.op === name && known(x.args[1]) !== undefined) {
      // (v + m) + n
      return b.op(name, x.args[0]!, foldBinary(b, name, op, known(x.args[1])!, yk)!);
    }
    return null;
  }
  if (yk === undefined) {
    return xk === 0 && (op === 'add' || op === 'or' || op === 'xor') ? y : null;
  }
  return foldBinary(b, name, op, xk!, yk);
}

const NO_ARGS: readonly Value[] = [];
const I = 0x69;
const DOT = 0x2e;
const LEAST_EXACT = BigInt(Number.MIN_SAFE_INTEGER);
const MOST_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

/** Conversions of a conversion. */
function unfolded(name: string, x: Value): Value | null {
  if (name !== 'i32.wrap_i64') return null;
  return x.op === 'i64.extend_i32_u' || x.op === 'i64.extend_i32_s' ? x.args[0]! : null;
}

function foldUnary(b: FunctionBuilder, name: string, value: number | bigint): Value | null {
  switch (name) {
    case 'i32.eqz':
    case 'i64.eqz':
      return b.i32(value === 0 ? 1 : 0);
    case 'i32.wrap_i64':
      return b.i32(Number(BigInt.asIntN(32, BigInt(value))));
    case 'i64.extend_i32_s':
      return b.i64(value);
    case 'i64.extend_i32_u':
      return b.i64((value as number) >>> 0);
    case 'i32.extend8_s':
      return b.i32(((value as number) << 24) >> 24);
    case 'i32.extend16_s':
      return b.i32(((value as number) << 16) >> 16);
    case 'i64.extend8_s':
      return b.i64(BigInt.asIntN(8, BigInt(value)));
    case 'i64.extend16_s':
      return b.i64(BigInt.asIntN(16, BigInt(value)));
    case 'i64.extend32_s':
      return b.i64(BigInt.asIntN(32, BigInt(value)));
    default:
      return null;
  }
}

/** Both operands are known. */
function foldBinary(
  b: FunctionBuilder,
  name: string,
  op: string,
  x: number | bigint,
  y: number | bigint,
): Value | null {
  const bits = name.charCodeAt(1) === 0x36 ? 64 : 32;
  const xs = BigInt(x);
  const ys = BigInt(y);
  const make = (v: bigint): Value => b.c(bits === 64 ? 'i64' : 'i32', v);
  const truth = (v: boolean): Value => b.i32(v ? 1 : 0);
  const ux = BigInt.asUintN(bits, xs);
  const uy = BigInt.asUintN(bits, ys);
  const count = uy % BigInt(bits);
  switch (op) {
    case 'add':
      return make(xs + ys);
    case 'sub':
      return make(xs - ys);
    case 'mul':
      return make(xs * ys);
    case 'and':
      return make(xs & ys);
    case 'or':
      return make(xs | ys);
    case 'xor':
      return make(xs ^ ys);
    case 'shl':
      return make(xs << count);
    case 'shr_u':
      return make(ux >> count);
    case 'shr_s':
      return make(xs >> count);
    case 'eq':
      return truth(xs === ys);
    case 'ne':
      return truth(xs !== ys);
    case 'lt_u':
      return truth(ux < uy);
    case 'gt_u':
      return truth(ux > uy);
    case 'le_u':
      return truth(ux <= uy);
    case 'ge_u':
      return truth(ux >= uy);
    default:
      return null;
  }
}

/**
 * Counts how often each value is needed, from the statements that have an effect, and notes at nested
 * statements which variables they set: their bits, which are also the answer.
 */
function countUses(body: readonly Stmt[]): number {
  let sets = 0;
  // Backwards, so that a load whose result nobody needs is not kept alive by a dead definition.
  for (let i = body.length - 1; i >= 0; i--) {
    const stmt = body[i]!;
    switch (stmt.kind) {
      case 'def':
        // Loads stay even if unused only when they are atomic: a plain load has no effect.
        if (!stmt.value.pure && stmt.value.op.includes('.atomic.')) use(stmt.value);
        break;
      case 'effect':
      case 'call':
      case 'callIndirect':
        for (const arg of stmt.args) use(arg);
        break;
      case 'set':
        use(stmt.value);
        sets |= stmt.target.bit;
        break;
      case 'if':
        if (stmt.result) {
          use(stmt.result.taken);
          use(stmt.result.otherwise);
        }
        use(stmt.cond);
        stmt.sets = countUses(stmt.taken) | countUses(stmt.otherwise);
        sets |= stmt.sets;
        break;
      case 'block':
      case 'loop':
      case 'list':
        stmt.sets = countUses(stmt.body);
        sets |= stmt.sets;
        break;
      case 'br':
        if (stmt.cond) use(stmt.cond);
        break;
      case 'return':
        if (stmt.value) use(stmt.value);
        break;
    }
  }
  return sets;
}

function use(value: Value): void {
  value.remaining++;
  if (value.uses++ === 0) {
    const { args } = value;
    for (let i = 0; i < args.length; i++) use(args[i]!);
  }
}

/** Writes counted statements as wasm code. Few locals, used again and again, compile faster. */
class Writer {
  private readonly labels: (Label | null)[] = [];
  /** Locals that no value needs any more, by type. */
  private readonly free = new Map<Ty, number[]>();
  /** Values that were read from a variable and are still in it. */
  private readonly aliases: Value[][] = [];
  /** Bits of variables that have such values. */
  private aliased = 0;
  /** For each loop around here: locals to free when it ends. */
  private readonly freeAfter: Value[][] = [];

  constructor(
    private readonly owner: FunctionBuilder,
    private readonly out: Bytes,
  ) {}

  statements(body: readonly Stmt[]): void {
    for (const stmt of body) this.statement(stmt);
  }

  private statement(stmt: Stmt): void {
    const { out } = this;
    switch (stmt.kind) {
      case 'def': {
        const { value } = stmt;
        if (value.uses === 0 || (value.pure && value.uses === 1)) return;
        if (value.op === 'var' && value.offset !== 0) this.alias(value);
        else {
          this.compute(value);
          this.keep(value);
        }
        return;
      }
      case 'effect': {
        for (const arg of stmt.args) this.value(arg);
        const info = opcode(stmt.op);
        out.opcode(info.bytes);
        if (info.imm === 'memarg') this.memarg(info, stmt.offset);
        else if (info.imm === 'zero2') out.raw([0, 0]);
        else if (info.imm === 'zero1') out.byte(0);
        return;
      }
      case 'call':
        for (const arg of stmt.args) this.value(arg);
        out.byte(0x10);
        out.u32(this.owner.module.index(stmt.name));
        if (stmt.result) this.keep(stmt.result);
        return;
      case 'callIndirect':
        for (const arg of stmt.args) this.value(arg);
        out.byte(0x11);
        out.u32(stmt.type);
        out.byte(stmt.table);
        this.keep(stmt.result);
        return;
      case 'set': {
        const { target, value } = stmt;
        this.value(value);
        if (this.aliased & target.bit) this.spill(target);
        this.setLocal(target.local);
        return;
      }
      case 'if':
        this.spillAll(stmt.sets);
        this.value(stmt.cond);
        out.byte(0x04);
        out.byte(stmt.result ? typeCode(stmt.result.value.ty) : 0x40);
        this.labels.push(null);
        this.statements(stmt.taken);
        if (stmt.result) this.value(stmt.result.taken);
        if (stmt.otherwise.length > 0 || stmt.result) {
          out.byte(0x05);
          this.statements(stmt.otherwise);
          if (stmt.result) this.value(stmt.result.otherwise);
        }
        this.labels.pop();
        out.byte(0x0b);
        if (stmt.result) this.keep(stmt.result.value);
        return;
      case 'block':
        this.nest(stmt.label, stmt.body, stmt.sets, 0x02);
        return;
      case 'loop': {
        this.freeAfter.push([]);
        this.nest(stmt.label, stmt.body, stmt.sets, 0x03);
        for (const value of this.freeAfter.pop()!) this.release(value);
        return;
      }
      case 'list':
        this.statements(stmt.body);
        return;
      case 'br':
        if (stmt.cond) this.value(stmt.cond);
        out.byte(stmt.cond ? 0x0d : 0x0c);
        out.u32(this.labels.length - 1 - this.labels.lastIndexOf(stmt.label));
        return;
      case 'return':
        if (stmt.value) this.value(stmt.value);
        out.byte(0x0f);
        return;
    }
  }

  private nest(label: Label, body: readonly Stmt[], sets: number, code: number): void {
    this.spillAll(sets);
    this.out.raw([code, 0x40]);
    this.labels.push(label);
    this.statements(body);
    this.labels.pop();
    this.out.byte(0x0b);
  }

  /** Takes what is on the stack into a local of the value's own, or drops it. */
  private keep(value: Value): void {
    if (value.uses === 0) {
      this.out.byte(0x1a);
      return;
    }
    value.local = this.free.get(value.ty)?.pop() ?? this.owner.newLocal(value.ty);
    value.owned = true;
    value.loops = this.freeAfter.length;
    this.setLocal(value.local);
  }

  /** A variable's value needs no local until the variable is set again. */
  private alias(value: Value): void {
    const local = value.imm as number;
    value.local = local;
    if (this.aliased & value.offset) this.aliases[local]!.push(value);
    else {
      this.aliased |= value.offset;
      this.aliases[local] = [value];
    }
  }

  private spill({ local, bit }: Var): void {
    this.aliased &= ~bit;
    for (const value of this.aliases[local]!) {
      if (value.remaining === 0) continue;
      this.out.byte(0x20);
      this.out.u32(local);
      this.keep(value);
    }
  }
  private spillAll(bits: number): void {
    for (let rest = bits & this.aliased; rest !== 0; rest &= rest - 1) {
      this.spill(this.owner.variables[31 - Math.clz32(rest & -rest)]!);
    }
  }

  private value(value: Value): void {
    if (value.local < 0) {
      this.compute(value);
      return;
    }
    this.out.byte(0x20);
    this.out.u32(value.local);
    if (--value.remaining === 0 && value.owned) this.release(value);
  }

  /** In a loop that began after the definition the value is needed on the next turn. */
  private release(value: Value): void {
    if (this.freeAfter.length > value.loops) {
      this.freeAfter[value.loops]!.push(value);
      return;
    }
    const free = this.free.get(value.ty);
    if (free) free.push(value.local);
    else this.free.set(value.ty, [value.local]);
  }

  private compute(value: Value): void {
    const { out } = this;
    if (value.op === 'const') {
      this.constant(value);
      return;
    }
    if (value.op === 'var') {
      out.byte(0x20);
      out.u32(value.imm as number);
      return;
    }
    if (value.op === 'global') {
      out.raw([0x23, 0]);
      return;
    }
    for (const arg of value.args) this.value(arg);
    if (value.op === 'select') {
      if (value.ty === 'v128') out.raw([0x1c, 1, typeCode('v128')]);
      else out.byte(0x1b);
      return;
    }
    const info = value.info ?? opcode(value.op);
    out.opcode(info.bytes);
    if (info.imm === 'memarg') this.memarg(info, value.offset);
    else if (info.imm === 'lane') out.byte(value.imm as number);
    else if (info.imm === 'bytes16') out.raw(value.imm as readonly number[]);
  }

  private constant(value: Value): void {
    const { out } = this;
    if (value.ty === 'i32') {
      out.byte(0x41);
      out.s32(value.imm as number);
    } else if (value.ty === 'i64') {
      out.byte(0x42);
      out.s64(value.imm as number | bigint);
    } else {
      out.raw([0xfd, 0x0c]);
      out.raw(value.imm as readonly number[]);
    }
  }

  private memarg(info: Opcode, offset: number): void {
    // Guest accesses are rarely known to be aligned; only atomics must say their natural alignment.
    this.out.u32(info.bytes[0] === 0xfe ? info.align : 0);
    this.out.u32(offset);
  }

  private setLocal(local: number): void {
    this.out.byte(0x21);
    this.out.u32(local);
  }
}
