/** Addition, subtraction, logic, comparison, exchange-and-compute. [SDM 2A, 2B] */
import type { Value } from '../emit/function-builder.js';
import { ACCESS_WRITE } from '../state/layout.js';
import { GP, type Operand, RAX, RBX, RCX, RDX, type Sem } from './sem.js';
import { type Define, type Family, opcodeText, type Semantic } from './table.js';

/** dst, src -> dst with flags; `cmp` and `test` keep dst. */
function binary(
  compute: (s: Sem, a: Value, b: Value) => Value,
  flags: (s: Sem, dst: Operand, old: Value, b: Value, result: Value) => void,
  keep = false,
): Semantic {
  return (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const b = s.read(src);
    if (keep) {
      const a = s.read(dst);
      flags(s, dst, a, b, compute(s, a, b));
    } else {
      const { old, result } = s.update(dst, (a) => compute(s, a, b));
      flags(s, dst, old, b, result);
    }
  };
}

const flagsAdd = (s: Sem, dst: Operand, a: Value, b: Value, r: Value): void =>
  s.flagsAdd(s.bitsOf(dst), a, b, r);
const flagsSub = (s: Sem, dst: Operand, a: Value, b: Value, r: Value): void =>
  s.flagsSub(s.bitsOf(dst), a, b, r);
const flagsLogic = (s: Sem, dst: Operand, _a: Value, _b: Value, r: Value): void =>
  s.flagsLogic(s.bitsOf(dst), r);

/** Adds or subtracts CF as it was before the instruction. */
function withCarry(kind: 'add' | 'sub'): Semantic {
  return (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const b = s.read(src);
    const bits = s.bitsOf(dst);
    const carry = bits === 64 ? s.zext64(s.flag('c')) : s.flag('c');
    const { old, result } = s.update(dst, (a) => s[kind](s[kind](a, b), carry));
    if (kind === 'add') s.flagsAdd(bits, old, b, result, true);
    else s.flagsSub(bits, old, b, result, true);
  };
}

const add = binary((s, a, b) => s.add(a, b), flagsAdd);
const sub = binary((s, a, b) => s.sub(a, b), flagsSub);
const cmp = binary((s, a, b) => s.sub(a, b), flagsSub, true);
const and = binary((s, a, b) => s.and(a, b), flagsLogic);
const or = binary((s, a, b) => s.or(a, b), flagsLogic);
const xor = binary((s, a, b) => s.xor(a, b), flagsLogic);
const test = binary((s, a, b) => s.and(a, b), flagsLogic, true);

const GROUP: readonly [string, Semantic, boolean, object][] = [
  ['add', add, true, { writes: 'OSZAPC' }],
  ['or', or, true, { writes: 'OSZPC', undefined: 'A' }],
  ['adc', withCarry('add'), true, { writes: 'OSZAPC', reads: 'C' }],
  ['sbb', withCarry('sub'), true, { writes: 'OSZAPC', reads: 'C' }],
  ['and', and, true, { writes: 'OSZPC', undefined: 'A' }],
  ['sub', sub, true, { writes: 'OSZAPC' }],
  ['xor', xor, true, { writes: 'OSZPC', undefined: 'A' }],
  ['cmp', cmp, false, { writes: 'OSZAPC' }],
];

function group(def: Define): void {
  GROUP.forEach(([name, semantic, lock, flags], n) => {
    const base = n * 8;
    const locked = { ...flags, lock };
    def(`${opcodeText(base)} /r`, name, 'Eb Gb', semantic, locked);
    def(`${opcodeText(base + 1)} /r`, name, 'Ev Gv', semantic, locked);
    def(`${opcodeText(base + 2)} /r`, name, 'Gb Eb', semantic, flags);
    def(`${opcodeText(base + 3)} /r`, name, 'Gv Ev', semantic, flags);
    def(opcodeText(base + 4), name, 'AL Ib', semantic, flags);
    def(opcodeText(base + 5), name, 'rAX Iz', semantic, flags);
    def(`80 /${n}`, name, 'Eb Ib', semantic, locked);
    def(`81 /${n}`, name, 'Ev Iz', semantic, locked);
    def(`82 /${n}`, name, 'Eb Ib', semantic, { ...locked, mode: 'legacy' });
    def(`83 /${n}`, name, 'Ev Ibs', semantic, locked);
  });
}

function step(kind: 'add' | 'sub'): Semantic {
  return (s) => {
    const [dst] = s.operands as [Operand];
    const bits = s.bitsOf(dst);
    const one = s.c(s.ty(bits), 1);
    const { old, result } = s.update(dst, (a) => s[kind](a, one));
    s.flagsIncDec(bits, kind, old, result);
  };
}

const neg: Semantic = (s) => {
  const [dst] = s.operands as [Operand];
  const bits = s.bitsOf(dst);
  const zero = s.c(s.ty(bits), 0);
  const { old, result } = s.update(dst, (a) => s.sub(zero, a));
  s.flagsSub(bits, zero, old, result);
};

const not: Semantic = (s) => {
  s.update(s.operands[0]!, (a) => s.not(a));
};

const xadd: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const b = s.read(src);
  const bits = s.bitsOf(dst);
  if (dst.kind === 'mem') {
    const { old, result } = s.update(dst, (a) => s.add(a, b));
    s.write(src, old);
    s.flagsAdd(bits, old, b, result);
    return;
  }
  // The register forms may name the same register twice: the sum wins. [SDM 2D XADD]
  const a = s.read(dst);
  const result = s.add(a, b);
  s.write(src, a);
  s.write(dst, result);
  s.flagsAdd(bits, a, b, result);
};

const cmpxchg: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const bits = s.bitsOf(dst);
  const wanted = s.readGpr(RAX, bits);
  const replacement = s.read(src);
  // Memory is written either way: with the old value where the comparison fails. [SDM 2A CMPXCHG]
  if (dst.kind === 'mem') {
    const { old } = s.update(dst, (a) => s.select(s.eq(a, wanted), replacement, a));
    s.if(s.ne(old, wanted), () => s.writeGpr(RAX, bits, old));
    s.flagsSub(bits, wanted, old, s.sub(wanted, old));
    return;
  }
  const old = s.read(dst);
  s.if(
    s.eq(old, wanted),
    () => s.write(dst, replacement),
    () => s.writeGpr(RAX, bits, old),
  );
  s.flagsSub(bits, wanted, old, s.sub(wanted, old));
};

const cmpxchg8b: Semantic = (s) => {
  const pair = (high: number, low: number): Value =>
    s.or(s.shlC(s.zext64(s.readGpr(high, 32)), 32), s.zext64(s.readGpr(low, 32)));
  const wanted = pair(RDX, RAX);
  const replacement = pair(RCX, RBX);
  const { old } = s.update({ kind: 'mem', bits: 64 }, (a) =>
    s.select(s.eq(a, wanted), replacement, a),
  );
  const equal = s.eq(old, wanted);
  s.if(s.eqz(equal), () => {
    s.writeGpr(RAX, 32, s.wrap(old));
    s.writeGpr(RDX, 32, s.wrap(s.shrUC(old, 32)));
  });
  s.mergeFlags(1 << 6, s.shlC(equal, 6));
};

const cmpxchg16b: Semantic = (s) => {
  const segment = s.operandSegment();
  const linear = s.linear(segment, s.effectiveAddress(), 16, ACCESS_WRITE);
  s.faultIf(s.ne(s.andC(s.wrap(linear), 15), s.i32(0)), GP, 0);
  const pointer = s.pointerAt(linear, segment, 16, ACCESS_WRITE, true);
  // No 128-bit atomic exists: all other vCPUs stand still meanwhile.
  if (s.variant.lock) s.call('lock_begin', [], null);
  const low = s.load('i64.load', pointer);
  const high = s.load('i64.load', pointer, 8);
  const same = s.and(s.eq(low, s.readGpr(RAX, 64)), s.eq(high, s.readGpr(RDX, 64)));
  const equal = s.variable('i32', same);
  s.effect('i64.store', [pointer, s.select(same, s.readGpr(RBX, 64), low)]);
  s.effect('i64.store', [pointer, s.select(same, s.readGpr(RCX, 64), high)], 8);
  s.commit(pointer);
  if (s.variant.lock) s.call('lock_end', [], null);
  s.if(s.eqz(s.get(equal)), () => {
    s.writeGpr(RAX, 64, low);
    s.writeGpr(RDX, 64, high);
  });
  s.mergeFlags(1 << 6, s.shlC(s.get(equal), 6));
};

/** ADCX and ADOX: a carry chain through one flag only. */
function carryChain(flag: 'c' | 'o'): Semantic {
  return (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const bits = s.bitsOf(dst);
    const a = s.read(dst);
    const b = s.read(src);
    const carryIn = bits === 64 ? s.zext64(s.flag(flag)) : s.flag(flag);
    const partial = s.add(a, b);
    const result = s.add(partial, carryIn);
    const carry = s.or(s.ltU(partial, a), s.ltU(result, partial));
    const other = s.flag(flag === 'c' ? 'o' : 'c');
    s.write(dst, result);
    if (flag === 'c') s.setCarryOverflow(carry, other);
    else s.setCarryOverflow(other, carry);
  };
}

export const arithmetic: Family = (def) => {
  group(def);
  def('84 /r', 'test', 'Eb Gb', test, { writes: 'OSZPC', undefined: 'A' });
  def('85 /r', 'test', 'Ev Gv', test, { writes: 'OSZPC', undefined: 'A' });
  def('A8', 'test', 'AL Ib', test, { writes: 'OSZPC', undefined: 'A' });
  def('A9', 'test', 'rAX Iz', test, { writes: 'OSZPC', undefined: 'A' });
  for (const reg of [0, 1]) {
    def(`F6 /${reg}`, 'test', 'Eb Ib', test, { writes: 'OSZPC', undefined: 'A' });
    def(`F7 /${reg}`, 'test', 'Ev Iz', test, { writes: 'OSZPC', undefined: 'A' });
  }
  const locked = { lock: true, writes: 'OSZAP' };
  def('40+r', 'inc', 'Zv', step('add'), { mode: 'legacy', writes: 'OSZAP' });
  def('48+r', 'dec', 'Zv', step('sub'), { mode: 'legacy', writes: 'OSZAP' });
  def('FE /0', 'inc', 'Eb', step('add'), locked);
  def('FE /1', 'dec', 'Eb', step('sub'), locked);
  def('FF /0', 'inc', 'Ev', step('add'), locked);
  def('FF /1', 'dec', 'Ev', step('sub'), locked);
  def('F6 /2', 'not', 'Eb', not, { lock: true });
  def('F7 /2', 'not', 'Ev', not, { lock: true });
  def('F6 /3', 'neg', 'Eb', neg, { lock: true, writes: 'OSZAPC' });
  def('F7 /3', 'neg', 'Ev', neg, { lock: true, writes: 'OSZAPC' });
  def('0F C0 /r', 'xadd', 'Eb Gb', xadd, { lock: true, writes: 'OSZAPC' });
  def('0F C1 /r', 'xadd', 'Ev Gv', xadd, { lock: true, writes: 'OSZAPC' });
  def('0F B0 /r', 'cmpxchg', 'Eb Gb', cmpxchg, { lock: true, writes: 'OSZAPC' });
  def('0F B1 /r', 'cmpxchg', 'Ev Gv', cmpxchg, { lock: true, writes: 'OSZAPC' });
  def('0F C7 /1', 'cmpxchg8b', 'Mq', cmpxchg8b, { lock: true, w: 0, writes: 'Z', feature: 'CX8' });
  def('0F C7 /1', 'cmpxchg16b', 'Mx', cmpxchg16b, {
    lock: true,
    w: 1,
    mode: 'long',
    writes: 'Z',
    feature: 'CX16',
  });
  def('66 0F 38 F6 /r', 'adcx', 'Gy Ey', carryChain('c'), {
    writes: 'C',
    reads: 'C',
    feature: 'ADX',
  });
  def('F3 0F 38 F6 /r', 'adox', 'Gy Ey', carryChain('o'), {
    writes: 'O',
    reads: 'O',
    feature: 'ADX',
  });
};
