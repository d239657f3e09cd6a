/** Near branches, calls, returns and loops. [SDM 2A, 2B] Far ones are in system.ts. */
import type { Value } from '../emit/function-builder.js';
import { type Operand, RCX, RSP, type Sem } from './sem.js';
import { CONDITION_NAMES, type Family, opcodeText, type Semantic } from './table.js';

const jmpRelative: Semantic = (s) => s.jump(s.branchTarget());

const jmpAbsolute: Semantic = (s) => s.jump(target(s, s.operands[0]!));

function target(s: Sem, operand: Operand): Value {
  return s.zext64(s.read(operand));
}

const jcc =
  (code: number): Semantic =>
  (s) =>
    s.if(s.condition(code), () => s.jump(s.branchTarget()));

/** Processors write the return address before they look at the target; RSP moves after. */
function call(s: Sem, to: Value): void {
  const sp = s.addC(s.readGpr(RSP, 64), -s.size / 8);
  const back = s.nextRip();
  s.willCall(to);
  s.stackStore(sp, s.size, s.size === 64 ? back : s.wrap(back));
  s.checkTarget(to);
  s.writeSp(sp);
  s.goTo(to);
}

const ret: Semantic = (s) => {
  const sp = s.readGpr(RSP, 64);
  const value = s.stackLoad(sp, s.size);
  const to = s.zext64(value);
  s.checkTarget(to);
  const popped = s.addC(sp, s.size / 8);
  const [extra] = s.operands;
  s.writeSp(extra ? s.add(popped, s.andC(s.immediate(), 0xffff)) : popped);
  s.goTo(to);
};

/** The count register of the address size: CX, ECX or RCX. */
function counter(s: Sem): Value {
  return s.and(s.readGpr(RCX, 64), s.addressMask());
}

/** LOOP, LOOPE, LOOPNE: the branch must be legal before the count changes. */
function loop(condition: ((s: Sem) => Value) | null): Semantic {
  return (s) => {
    const mask = s.addressMask();
    const old = s.readGpr(RCX, 64);
    const count = s.and(s.addC(old, -1), mask);
    const more = s.ne(count, s.i64(0));
    const taken = condition ? s.and(more, condition(s)) : more;
    const writeCount = (): void => {
      // A 32-bit count clears RCX's upper half, a 16-bit one keeps the rest.
      const kept = s.select(s.eq(mask, s.i64(0xffff)), s.and(old, s.i64(~0xffffn)), s.i64(0));
      s.writeGpr(RCX, 64, s.or(kept, count));
    };
    s.if(taken, () => {
      const to = s.branchTarget();
      s.checkTarget(to);
      writeCount();
      s.goTo(to);
    });
    writeCount();
  };
}

export const branches: Family = (def) => {
  const near = { size64: 'always', ends: true } as const;
  CONDITION_NAMES.forEach((name, code) => {
    const options = { size64: 'always', reads: 'OSZPC' } as const;
    def(opcodeText(0x70 + code), `j${name}`, 'Jb', jcc(code), { ...options, sizes: [16, 32, 64] });
    def(`0F ${opcodeText(0x80 + code)}`, `j${name}`, 'Jz', jcc(code), options);
  });
  const bySize = { sizes: [16, 32, 64] } as const;
  def('EB', 'jmp', 'Jb', jmpRelative, { ...near, ...bySize });
  def('E9', 'jmp', 'Jz', jmpRelative, near);
  def('FF /4', 'jmp', 'Ev', jmpAbsolute, near);
  def('E8', 'call', 'Jz', (s) => call(s, s.branchTarget()), near);
  def('FF /2', 'call', 'Ev', (s) => call(s, target(s, s.operands[0]!)), near);
  def('C3', 'ret', '', ret, { ...near, ...bySize });
  def('C2', 'ret', 'Iw', ret, { ...near, ...bySize });
  const loops = { size64: 'always', ...bySize } as const;
  def(
    'E0',
    'loopne',
    'Jb',
    loop((s) => s.eqz(s.flag('z'))),
    { ...loops, reads: 'Z' },
  );
  def(
    'E1',
    'loope',
    'Jb',
    loop((s) => s.flag('z')),
    { ...loops, reads: 'Z' },
  );
  def('E2', 'loop', 'Jb', loop(null), loops);
  def('E3', 'jcxz', 'Jb', (s) => s.if(s.eqz(counter(s)), () => s.jump(s.branchTarget())), loops);
};
