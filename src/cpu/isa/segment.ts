/**
 * Segment registers, descriptor tables, far transfers and software interrupts. The runtime checks
 * descriptors and does the transfers; it leaves RIP where execution goes on. [SDM 2A, 2B, 3A 5.8]
 */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import { BR, GP, type Operand, RSP, type Sem, UD } from './sem.js';
import type { Family, Semantic } from './table.js';

const segmentAt = (n: number): number => L.SEGMENTS + n * L.SEGMENT_SIZE;

/** Selector of the segment register in ModRM.reg; 6 and 7 do not exist. */
function readSelector(s: Sem): Value {
  const n = s.fieldNumber('reg');
  s.faultIf(s.gtU(n, s.i32(L.GS)), UD);
  const place = s.add(s.cpu, s.shlC(n, Math.log2(L.SEGMENT_SIZE)));
  return s.load('i32.load16_u', place, L.SEGMENTS + L.SEG_SELECTOR);
}

/** A general register takes the zero-extended selector, memory 16 bits. */
function writeSelector(s: Sem, dst: Operand, selector: Value): void {
  if (dst.kind === 'mem') s.write({ kind: 'mem', bits: 16 }, selector);
  else s.write(dst, s.size === 64 ? s.zext64(selector) : selector);
}

const movFromSegment: Semantic = (s) => writeSelector(s, s.operands[0]!, readSelector(s));

const movToSegment: Semantic = (s) => {
  const n = s.fieldNumber('reg');
  s.faultIf(s.or(s.gtU(n, s.i32(L.GS)), s.eq(n, s.i32(L.CS))), UD);
  const selector = s.read(s.operands[1]!);
  s.rt('load_seg', n, selector);
  // SS: no interrupt before the next instruction.
  s.if(s.eq(n, s.i32(L.SS)), () => {
    s.rt('shadow_ss');
    s.next();
  });
};

/** 32-bit pushes write the selector's 16 bits only. [SDM 2B PUSH] */
const pushSegment =
  (n: number): Semantic =>
  (s) => {
    const selector = s.state('i32.load16_u', segmentAt(n) + L.SEG_SELECTOR);
    const sp = s.addC(s.readGpr(RSP, 64), -s.size / 8);
    if (s.size === 64) s.stackStore(sp, 64, s.zext64(selector));
    else s.stackStore(sp, 16, selector);
    s.writeSp(sp);
  };

const popSegment =
  (n: number): Semantic =>
  (s) => {
    const sp = s.readGpr(RSP, 64);
    const selector = s.stackLoad(sp, 16);
    // The stack that is popped from is the old one, SS or not.
    const mask = s.spMask();
    const after = s.or(s.and(sp, s.not(mask)), s.and(s.addC(sp, s.size / 8), mask));
    s.rt('load_seg', s.i32(n), selector);
    s.writeGpr(RSP, 64, after);
    if (n === L.SS) {
      s.rt('shadow_ss');
      s.next();
    }
  };

/** Offset and selector of the far pointer in memory. */
function readFar(s: Sem): { offset: Value; selector: Value } {
  const bytes = s.size / 8;
  const pointer = s.pointer(bytes + 2, L.ACCESS_READ);
  const offset = s.zext64(s.loadInt(pointer, s.size));
  return { offset, selector: s.load('i32.load16_u', pointer, bytes) };
}

const loadFar =
  (n: number): Semantic =>
  (s) => {
    const [dst] = s.operands as [Operand];
    const { offset, selector } = readFar(s);
    s.rt('load_seg', s.i32(n), selector);
    s.write(dst, s.size === 64 ? offset : s.wrap(offset));
    if (n === L.SS) s.next();
  };

function far(name: 'jmp_far' | 'call_far', direct: boolean): Semantic {
  return (s) => {
    const target = direct ? { offset: s.immediate(), selector: s.immediate2() } : readFar(s);
    s.rt(name, target.selector, target.offset, s.i32(s.size));
    s.leave(true);
  };
}

const farReturn: Semantic = (s) => {
  const extra = s.operands[0] ? s.wrap(s.andC(s.immediate(), 0xffff)) : s.i32(0);
  s.rt('ret_far', s.i32(s.size), extra);
  s.leave(true);
};

const iret: Semantic = (s) => {
  s.rt('iret', s.i32(s.size));
  s.leave(true);
};

/** INT3, INT1: what they enter is the runtime's business. */
const trap =
  (name: 'int3' | 'int1'): Semantic =>
  (s) => {
    s.rt(name);
    s.leave(true);
  };

const intN: Semantic = (s) => {
  s.rt('int_n', s.andC(s.wrap(s.immediate()), 0xff));
  s.leave(true);
};

const into: Semantic = (s) =>
  s.if(s.flag('o'), () => {
    s.rt('into');
    s.leave(true);
  });

/** Signed index against a pair of signed bounds in memory; the upper is read when the lower has passed. */
const bound: Semantic = (s) => {
  const [index] = s.operands as [Operand];
  const bytes = s.size / 8;
  const value = s.sext(s.read(index), s.size);
  const address = s.effectiveAddress();
  const limit = (at: number): Value => {
    const place = s.and(s.addC(address, at), s.addressMask());
    return s.sext(s.loadAt(s.segment(), place, s.size), s.size);
  };
  s.faultIf(s.ltS(value, limit(0)), BR);
  s.faultIf(s.gtS(value, limit(bytes)), BR);
};

// --- descriptor tables -----------------------------------------------------------------------------

/** #GP(0) outside of CPL 0. */
export function privileged(s: Sem): void {
  s.faultIf(s.state('i32.load', L.CPL), GP, 0);
}

/** SGDT, SIDT: all of the base, whatever the operand size. */
const storeTable =
  (table: number): Semantic =>
  (s) => {
    s.rt('check_umip');
    const pointer = s.pointer(s.size === 64 ? 10 : 6, L.ACCESS_WRITE);
    s.effect('i32.store16', [pointer, s.state('i32.load', table + 8)]);
    const base = s.state('i64.load', table);
    if (s.size === 64) s.effect('i64.store', [pointer, base], 2);
    else s.effect('i32.store', [pointer, s.wrap(base)], 2);
    s.commit(pointer);
  };

/** LGDT, LIDT: with 16-bit operands the base has 24 bits. */
const loadTable =
  (table: number): Semantic =>
  (s) => {
    privileged(s);
    const pointer = s.pointer(s.size === 64 ? 10 : 6, L.ACCESS_READ);
    const limit = s.load('i32.load16_u', pointer);
    const base = s.load(s.size === 64 ? 'i64.load' : 'i64.load32_u', pointer, 2);
    if (s.size === 64) s.faultIf(s.ne(s.shrSC(s.shlC(base, 16), 16), base), GP, 0);
    s.setState('i64.store', table, s.size === 16 ? s.andC(base, 0xff_ffff) : base);
    s.setState('i32.store', table + 8, limit);
  };

const storeSystemSelector =
  (n: number): Semantic =>
  (s) => {
    s.rt('check_descriptors');
    s.rt('check_umip');
    const selector = s.state('i32.load16_u', segmentAt(n) + L.SEG_SELECTOR);
    writeSelector(s, s.operands[0]!, selector);
  };

const loadSystemSelector =
  (name: 'lldt' | 'ltr'): Semantic =>
  (s) => {
    s.rt('check_descriptors');
    privileged(s);
    s.rt(name, s.read(s.operands[0]!));
  };

/** VERR, VERW: ZF says whether the segment may be read or written. */
const verify =
  (name: 'verr' | 'verw'): Semantic =>
  (s) => {
    s.rt('check_descriptors');
    const ok = s.rt(name, s.read(s.operands[0]!));
    s.mergeFlags(0x40, s.shlC(ok, 6));
  };

/** LAR, LSL: the destination is written when ZF is set; the runtime answers -1 for no. */
const inspect =
  (name: 'lar' | 'lsl'): Semantic =>
  (s) => {
    s.rt('check_descriptors');
    const [dst, src] = s.operands as [Operand, Operand];
    const answer = s.rt(name, s.resize(s.read(src), s.bitsOf(src), 16));
    const ok = s.geS(answer, s.i64(0));
    s.if(ok, () => s.write(dst, s.size === 64 ? answer : s.wrap(answer)));
    s.mergeFlags(0x40, s.shlC(ok, 6));
  };

/** ARPL: the destination's RPL is raised to the source's; it is written only then. */
const arpl: Semantic = (s) => {
  s.rt('check_descriptors');
  const [dst, src] = s.operands as [Operand, Operand];
  const rpl = s.andC(s.read(src), 3);
  const old = s.read(dst);
  const raised = s.ltU(s.andC(old, 3), rpl);
  s.if(raised, () => s.write(dst, s.or(s.andC(old, 0xfffc), rpl)));
  s.mergeFlags(0x40, s.shlC(raised, 6));
};

export const segments: Family = (def) => {
  const selectors = { native: "depends on the host's descriptors" } as const;
  def('8C /r', 'mov', 'Ev Sw', movFromSegment, selectors);
  def('8E /r', 'mov', 'Sw Ew', movToSegment, selectors);
  const stack = { ...selectors, size64: 'default', sizes: [16, 32, 64] } as const;
  const legacy = { ...stack, mode: 'legacy' } as const;
  const named = [
    ['06', '07', 'es', L.ES],
    ['0E', '', 'cs', L.CS],
    ['16', '17', 'ss', L.SS],
    ['1E', '1F', 'ds', L.DS],
  ] as const;
  for (const [push, pop, name, n] of named) {
    def(push, `push ${name}`, '', pushSegment(n), legacy);
    if (pop) def(pop, `pop ${name}`, '', popSegment(n), { ...legacy, ends: n === L.SS });
  }
  def('0F A0', 'push fs', '', pushSegment(L.FS), stack);
  def('0F A1', 'pop fs', '', popSegment(L.FS), stack);
  def('0F A8', 'push gs', '', pushSegment(L.GS), stack);
  def('0F A9', 'pop gs', '', popSegment(L.GS), stack);

  def('C4 /r', 'les', 'Gv Mp', loadFar(L.ES), { ...selectors, mode: 'legacy' });
  def('C5 /r', 'lds', 'Gv Mp', loadFar(L.DS), { ...selectors, mode: 'legacy' });
  def('0F B2 /r', 'lss', 'Gv Mp', loadFar(L.SS), { ...selectors, ends: true });
  def('0F B4 /r', 'lfs', 'Gv Mp', loadFar(L.FS), selectors);
  def('0F B5 /r', 'lgs', 'Gv Mp', loadFar(L.GS), selectors);

  const transfer = { ...selectors, ends: true } as const;
  def('9A', 'call far', 'Ap', far('call_far', true), { ...transfer, mode: 'legacy' });
  def('EA', 'jmp far', 'Ap', far('jmp_far', true), { ...transfer, mode: 'legacy' });
  def('FF /3', 'call far', 'Mp', far('call_far', false), transfer);
  def('FF /5', 'jmp far', 'Mp', far('jmp_far', false), transfer);
  const sized = { ...transfer, sizes: [16, 32, 64] } as const;
  def('CA', 'retf', 'Iw', farReturn, sized);
  def('CB', 'retf', '', farReturn, sized);
  def('CF', 'iret', '', iret, { ...sized, writes: 'OSZAPC' });
  const interrupt = { ends: true, native: 'ends in a signal' } as const;
  def('CC', 'int3', '', trap('int3'), interrupt);
  def('CD', 'int', 'Ib', intN, interrupt);
  def('CE', 'into', '', into, { mode: 'legacy', reads: 'O' });
  def('F1', 'int1', '', trap('int1'), interrupt);
  def('62 /r', 'bound', 'Gv M', bound, { mode: 'legacy' });

  const table = { size64: 'always', sizes: [16, 32, 64], memBytes: 10 } as const;
  def('0F 01 /0', 'sgdt', 'M', storeTable(L.GDTR), { ...table, native: 'UMIP' });
  def('0F 01 /1', 'sidt', 'M', storeTable(L.IDTR), { ...table, native: 'UMIP' });
  def('0F 01 /2', 'lgdt', 'M', loadTable(L.GDTR), { ...table, native: 'privileged' });
  def('0F 01 /3', 'lidt', 'M', loadTable(L.IDTR), { ...table, native: 'privileged' });
  def('0F 00 /0', 'sldt', 'Ev', storeSystemSelector(L.LDTR), { native: 'UMIP' });
  def('0F 00 /1', 'str', 'Ev', storeSystemSelector(L.TR), { native: 'UMIP' });
  def('0F 00 /2', 'lldt', 'Ew', loadSystemSelector('lldt'), { native: 'privileged' });
  def('0F 00 /3', 'ltr', 'Ew', loadSystemSelector('ltr'), { native: 'privileged' });
  def('0F 00 /4', 'verr', 'Ew', verify('verr'), { ...selectors, writes: 'Z' });
  def('0F 00 /5', 'verw', 'Ew', verify('verw'), { ...selectors, writes: 'Z' });
  def('0F 02 /r', 'lar', 'Gv Ew', inspect('lar'), { ...selectors, writes: 'Z' });
  def('0F 03 /r', 'lsl', 'Gv Ew', inspect('lsl'), { ...selectors, writes: 'Z' });
  def('63 /r', 'arpl', 'Ew Gw', arpl, { mode: 'legacy', writes: 'Z' });
};
