/**
 * The x87: encodings only, the arithmetic is in runtime/x87-*.ts. A waiting instruction first looks for a
 * pending exception; pointers to memory are found before anything changes. [SDM 1 8.3, 2A "F"]
 */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import { NM, type Operand, RAX, type Sem } from './sem.js';
import type { Define, Family, Semantic } from './table.js';

const SUMMARY = 0x80;
const CR0_MP_TS = 0x0a;

/** #MF if an unmasked exception waits. */
export function waitForX87(s: Sem): void {
  const pending = s.andC(s.state('i32.load16_u', L.X87_STATUS), SUMMARY);
  s.if(pending, () => {
    s.rt('x87_pending');
  });
}

function index(s: Sem): Value {
  return s.andC(s.fieldNumber('rm'), 7);
}

/** A runtime function of constants. */
const call =
  (name: string, ...args: number[]): Semantic =>
  (s) => {
    waitForX87(s);
    s.rt(name, ...args.map((n) => s.i32(n)));
  };

/** A runtime function whose first (or, after `before`, next) parameter is the i of ST(i). */
const onRegister =
  (name: string, before: number[], ...after: number[]): Semantic =>
  (s) => {
    waitForX87(s);
    const constants = (list: number[]): Value[] => list.map((n) => s.i32(n));
    s.rt(name, ...constants(before), index(s), ...constants(after));
  };

/** A runtime function of a memory operand: format, pointer, offset. */
const onMemory =
  (name: string, before: number[], ...after: number[]): Semantic =>
  (s) => {
    waitForX87(s);
    const constants = (list: number[]): Value[] => list.map((n) => s.i32(n));
    const { bits } = s.operands.find((o) => o.kind === 'mem') as { bits: number };
    const pointer = s.pointer(bits / 8, L.ACCESS_READ);
    s.rt(name, ...constants(before), pointer, s.effectiveAddress(), ...constants(after));
  };

/** Computed first: where an unmasked exception forbids the store, memory is not looked at. */
const storeTo =
  (format: number, pops: number, chop = 0): Semantic =>
  (s) => {
    waitForX87(s);
    const { bits } = s.operands[0] as { bits: number };
    const result = s.addC(s.cpu, L.OPERANDS);
    const stored = s.rt('x87_convert', s.i32(format), result, s.i32(chop));
    s.if(stored, () => {
      const pointer = s.pointer(bits / 8, L.ACCESS_WRITE);
      if (bits === 80) {
        s.storeInt(pointer, 64, s.loadInt(result, 64));
        s.effect('i32.store16', [pointer, s.load('i32.load16_u', result, 8)], 8);
      } else s.storeInt(pointer, bits, s.loadInt(result, bits));
      s.commit(pointer);
    });
    s.rt('x87_stored', s.effectiveAddress(), s.i32(pops));
  };

/** FCMOVcc by the condition code of the same name. */
const moveIf =
  (condition: number): Semantic =>
  (s) => {
    waitForX87(s);
    s.rt('x87_move_if', index(s), s.condition(condition));
  };

const compareFlags =
  (quiet: number, pops: number): Semantic =>
  (s) => {
    waitForX87(s);
    s.unpackFlags(s.rt('x87_compare_flags', index(s), s.i32(quiet), s.i32(pops)));
  };

const fwait: Semantic = (s) => {
  const bits = s.andC(s.state('i32.load', L.CR0), CR0_MP_TS);
  s.faultIf(s.eq(bits, s.i32(CR0_MP_TS)), NM);
  waitForX87(s);
};

const nothing: Semantic = () => {};

const storeWord =
  (offset: number): Semantic =>
  (s) => {
    const value = s.state('i32.load16_u', offset);
    const [dst] = s.operands as [Operand];
    if (dst.kind === 'mem') s.write(dst, value);
    else s.writeGpr(RAX, 16, value);
  };

const fldcw: Semantic = (s) => {
  waitForX87(s);
  s.rt('x87_set_control', s.read(s.operands[0]!));
};

/** FNSTENV and its like: `bytes` in 16-bit form, 14 more in the 32-bit one. */
const environment =
  (name: string, bytes: number, waits: boolean): Semantic =>
  (s) => {
    if (waits) waitForX87(s);
    const small = s.size === 16;
    const access = waits ? L.ACCESS_READ : L.ACCESS_WRITE;
    const segment = s.operandSegment();
    const at = s.linear(segment, s.effectiveAddress(), small ? bytes : bytes + 14, access);
    s.rt(name, at, s.i32(small ? 1 : 0));
  };

/** ModRM.reg of an arithmetic instruction, its name, and the runtime's operation on ST(0), operand. */
const ARITHMETIC: readonly [number, string, number][] = [
  [0, 'fadd', 0],
  [1, 'fmul', 1],
  [4, 'fsub', 2],
  [5, 'fsubr', 3],
  [6, 'fdiv', 4],
  [7, 'fdivr', 5],
];
/** With ST(i) as destination the reversed forms have changed places. */
const REVERSED: Readonly<Record<string, string>> = {
  fsub: 'fsubr',
  fsubr: 'fsub',
  fdiv: 'fdivr',
  fdivr: 'fdiv',
};
/** Formats of the runtime: opcode byte of arithmetic and operand. */
const SINGLE = 0;
const DOUBLE = 1;
const INT16 = 2;
const INT32 = 3;
const INT64 = 4;
const EXTENDED = 5;
const BCD = 6;

const unit = { unit: 'x87' } as const;

function stack(opcode: string, reg: number): string {
  return `${opcode} ${(0xc0 + reg * 8).toString(16).toUpperCase()}+i`;
}

function defineArithmetic(def: Define): void {
  const forms = [
    ['D8', 'Md', SINGLE, ''],
    ['DC', 'Mq', DOUBLE, ''],
    ['DE', 'Mw', INT16, 'i'],
    ['DA', 'Md', INT32, 'i'],
  ] as const;
  for (const [opcode, operand, format, infix] of forms) {
    const name = (text: string): string => `f${infix}${text.slice(1)}`;
    for (const [reg, text, op] of ARITHMETIC) {
      def(
        `${opcode} /${reg}`,
        name(text),
        operand,
        onMemory('x87_arith_memory', [op, format]),
        unit,
      );
    }
    def(`${opcode} /2`, name('fcom'), operand, onMemory('x87_compare_memory', [format], 0), unit);
    def(`${opcode} /3`, name('fcomp'), operand, onMemory('x87_compare_memory', [format], 1), unit);
  }
  for (const [reg, text, op] of ARITHMETIC) {
    const other = REVERSED[text] ?? text;
    def(stack('D8', reg), text, 'F0 Fi', onRegister('x87_arith', [op], 0, 0), unit);
    def(stack('DC', reg), other, 'Fi F0', onRegister('x87_arith', [op], 1, 0), unit);
    def(stack('DE', reg), `${other}p`, 'Fi F0', onRegister('x87_arith', [op], 1, 1), unit);
  }
}

function defineComparisons(def: Define): void {
  // The later encodings of each are aliases that the manual leaves out.
  for (const [opcode, reg] of [
    ['D8', 2],
    ['DC', 2],
  ] as const) {
    def(stack(opcode, reg), 'fcom', 'Fi', onRegister('x87_compare', [], 0, 0), unit);
  }
  for (const [opcode, reg] of [
    ['D8', 3],
    ['DC', 3],
    ['DE', 2],
  ] as const) {
    def(stack(opcode, reg), 'fcomp', 'Fi', onRegister('x87_compare', [], 0, 1), unit);
  }
  def(stack('DD', 4), 'fucom', 'Fi', onRegister('x87_compare', [], 1, 0), unit);
  def(stack('DD', 5), 'fucomp', 'Fi', onRegister('x87_compare', [], 1, 1), unit);
  def('DE D9', 'fcompp', '', call('x87_compare', 1, 0, 2), unit);
  def('DA E9', 'fucompp', '', call('x87_compare', 1, 1, 2), unit);
  const flags = { ...unit, writes: 'OSZAPC' };
  def(stack('DB', 6), 'fcomi', 'F0 Fi', compareFlags(0, 0), flags);
  def(stack('DF', 6), 'fcomip', 'F0 Fi', compareFlags(0, 1), flags);
  def(stack('DB', 5), 'fucomi', 'F0 Fi', compareFlags(1, 0), flags);
  def(stack('DF', 5), 'fucomip', 'F0 Fi', compareFlags(1, 1), flags);
  const names = ['b', 'e', 'be', 'u'];
  const conditions = [2, 4, 6, 10];
  for (let n = 0; n < 4; n++) {
    const reads = { ...unit, reads: ['C', 'Z', 'CZ', 'P'][n]! };
    def(stack('DA', n), `fcmov${names[n]}`, 'F0 Fi', moveIf(conditions[n]!), reads);
    def(stack('DB', n), `fcmovn${names[n]}`, 'F0 Fi', moveIf(conditions[n]! + 1), reads);
  }
}

function defineMoves(def: Define): void {
  const loads: readonly [string, string, string, number][] = [
    ['D9 /0', 'fld', 'Md', SINGLE],
    ['DD /0', 'fld', 'Mq', DOUBLE],
    ['DB /5', 'fld', 'Mt', EXTENDED],
    ['DF /0', 'fild', 'Mw', INT16],
    ['DB /0', 'fild', 'Md', INT32],
    ['DF /5', 'fild', 'Mq', INT64],
    ['DF /4', 'fbld', 'Mt', BCD],
  ];
  for (const [pattern, name, operand, format] of loads) {
    def(pattern, name, operand, onMemory('x87_load', [format]), unit);
  }
  const stores: readonly [string, string, string, number, number, number?][] = [
    ['D9 /2', 'fst', 'Md', SINGLE, 0],
    ['D9 /3', 'fstp', 'Md', SINGLE, 1],
    ['DD /2', 'fst', 'Mq', DOUBLE, 0],
    ['DD /3', 'fstp', 'Mq', DOUBLE, 1],
    ['DB /7', 'fstp', 'Mt', EXTENDED, 1],
    ['DF /2', 'fist', 'Mw', INT16, 0],
    ['DF /3', 'fistp', 'Mw', INT16, 1],
    ['DB /2', 'fist', 'Md', INT32, 0],
    ['DB /3', 'fistp', 'Md', INT32, 1],
    ['DF /7', 'fistp', 'Mq', INT64, 1],
    ['DF /6', 'fbstp', 'Mt', BCD, 1],
    ['DF /1', 'fisttp', 'Mw', INT16, 1, 1],
    ['DB /1', 'fisttp', 'Md', INT32, 1, 1],
    ['DD /1', 'fisttp', 'Mq', INT64, 1, 1],
  ];
  for (const [pattern, name, operand, format, pops, chop] of stores) {
    def(pattern, name, operand, storeTo(format, pops, chop), unit);
  }
  def(stack('D9', 0), 'fld', 'Fi', onRegister('x87_load_register', []), unit);
  for (const [opcode, reg] of [
    ['D9', 1],
    ['DD', 1],
    ['DF', 1],
  ] as const) {
    def(stack(opcode, reg), 'fxch', 'Fi', onRegister('x87_exchange', []), unit);
  }
  def(stack('DD', 2), 'fst', 'Fi', onRegister('x87_store_register', [], 0), unit);
  for (const [opcode, reg] of [
    ['DD', 3],
    ['DF', 2],
    ['DF', 3],
  ] as const) {
    def(stack(opcode, reg), 'fstp', 'Fi', onRegister('x87_store_register', [], 1), unit);
  }
  def(stack('D9', 3), 'fstpnce', 'Fi', onRegister('x87_store_register', [], 2), unit);
  def(stack('DD', 0), 'ffree', 'Fi', onRegister('x87_free', [], 0), unit);
  def(stack('DF', 0), 'ffreep', 'Fi', onRegister('x87_free', [], 1), unit);
}

function defineSpecial(def: Define): void {
  const fixed: readonly [string, string, Semantic][] = [
    ['D0', 'fnop', waitForX87],
    ['E0', 'fchs', call('x87_sign', 1)],
    ['E1', 'fabs', call('x87_sign', 0)],
    ['E4', 'ftst', call('x87_test')],
    ['E5', 'fxam', call('x87_examine')],
    ['F0', 'f2xm1', call('x87_transcendental', 0)],
    ['F1', 'fyl2x', call('x87_transcendental', 1)],
    ['F2', 'fptan', call('x87_transcendental', 2)],
    ['F3', 'fpatan', call('x87_transcendental', 3)],
    ['F4', 'fxtract', call('x87_extract')],
    ['F5', 'fprem1', call('x87_remainder', 1)],
    ['F6', 'fdecstp', call('x87_turn', -1)],
    ['F7', 'fincstp', call('x87_turn', 1)],
    ['F8', 'fprem', call('x87_remainder', 0)],
    ['F9', 'fyl2xp1', call('x87_transcendental', 9)],
    ['FA', 'fsqrt', call('x87_unary', 0)],
    ['FB', 'fsincos', call('x87_transcendental', 11)],
    ['FC', 'frndint', call('x87_unary', 1)],
    ['FD', 'fscale', call('x87_scale')],
    ['FE', 'fsin', call('x87_transcendental', 14)],
    ['FF', 'fcos', call('x87_transcendental', 15)],
  ];
  // Of these the last bit may differ between processors.
  const native = 'test/isa/fp.test.ts compares it, with a tolerance in the last place';
  for (const [byte, name, semantic] of fixed) {
    const inexact = ['F0', 'F1', 'F2', 'F3', 'F9', 'FB', 'FE', 'FF'].includes(byte);
    def(`D9 ${byte}`, name, '', semantic, inexact ? { ...unit, native } : unit);
  }
  const constants = ['fld1', 'fldl2t', 'fldl2e', 'fldpi', 'fldlg2', 'fldln2', 'fldz'];
  constants.forEach((name, n) => {
    def(`D9 ${(0xe8 + n).toString(16).toUpperCase()}`, name, '', call('x87_constant', n), unit);
  });
}

function defineControl(def: Define): void {
  def('9B', 'fwait', '', fwait);
  def('DB E2', 'fnclex', '', (s) => void s.pure('x87_clear'), unit);
  def('DB E3', 'fninit', '', (s) => void s.pure('x87_init'), unit);
  // What the 8087 and the 287 had: FENI, FDISI, FSETPM.
  for (const byte of ['E0', 'E1', 'E4']) def(`DB ${byte}`, 'fnop', '', nothing, unit);
  def('D9 /5', 'fldcw', 'Mw', fldcw, unit);
  def('D9 /7', 'fnstcw', 'Mw', storeWord(L.X87_CONTROL), unit);
  def('DD /7', 'fnstsw', 'Mw', storeWord(L.X87_STATUS), unit);
  def('DF E0', 'fnstsw', 'AX', storeWord(L.X87_STATUS), unit);
  const sizes = [16, 32, 64] as const;
  const short = { ...unit, sizes, memBytes: 28 };
  def('D9 /4', 'fldenv', 'M', environment('x87_load_environment', 14, true), short);
  def('D9 /6', 'fnstenv', 'M', environment('x87_store_environment', 14, false), short);
  const long = { ...unit, sizes, memBytes: 108 };
  def('DD /4', 'frstor', 'M', environment('x87_restore', 94, true), long);
  def('DD /6', 'fnsave', 'M', environment('x87_save', 94, false), long);
}

export const x87: Family = (def) => {
  defineArithmetic(def);
  defineComparisons(def);
  defineMoves(def);
  defineSpecial(def);
  defineControl(def);
};
