/**
 * Floating-point instructions as the native program runs them and as the runtime's functions compute them.
 * `line` is what fp-native reads: class, operand kinds, code bytes.
 */
import * as L from '#src/cpu/state/layout.js';
import type { BareRuntime } from './bare-runtime.js';

/** What a case gives besides memory and registers: a general register's value, or EFLAGS. */
export interface Outcome {
  rax?: bigint;
  flags?: number;
}

export interface FpInstruction {
  readonly name: string;
  readonly line: string;
  /** Looks for a pending x87 exception first. */
  readonly waits: boolean;
  /** Correctly rounded here, but not always on processors. */
  readonly approximate: boolean;
  /** `input`: RAX (class s) or EFLAGS (class x, e). */
  run(runtime: BareRuntime, input: bigint): Outcome;
}

/** Linear (and physical) address of the memory operand, and its place. */
export const OPERAND = 0x1_6000;

const A = L.VCPU_AREA + L.XMM;
const B = A + L.XMM_SIZE;
const hex = (n: number): string => n.toString(16).padStart(2, '0');

type Run = (r: BareRuntime, input: bigint) => Outcome | unknown;

function instruction(line: string, name: string, run: Run, waits = true): FpInstruction {
  const approximate = /^(f2xm1|fyl2xp?1?|fp[at].*an|fsin|fcos|fsincos)$/.test(name);
  const outcome = (result: unknown): Outcome =>
    result !== null && typeof result === 'object' ? (result as Outcome) : {};
  return { name, line, waits, approximate, run: (r, input) => outcome(run(r, input)) };
}

// --- SSE -------------------------------------------------------------------------------------------

const FORMS = [
  ['s', 0, '', 4, 'ps'],
  ['s', 0, 'f3 ', 1, 'ss'],
  ['d', 1, '66 ', 2, 'pd'],
  ['d', 1, 'f2 ', 1, 'sd'],
] as const;

function clearUpper(r: BareRuntime): void {
  r.view.setBigUint64(A + 8, 0n, true);
}

export function sseInstructions(): FpInstruction[] {
  const list: FpInstruction[] = [];
  const add = (kind: string, code: string, name: string, run: Run): void => {
    list.push(instruction(`s ${kind} ${code}`, name, run));
  };
  const arithmetic = { add: [0x58, 0], mul: [0x59, 1], sub: [0x5c, 2], div: [0x5e, 4] };
  const others = { min: [0x5d, 6], max: [0x5f, 7], sqrt: [0x51, 8] };
  for (const [kind, fmt, prefix, n, suffix] of FORMS) {
    for (const [name, [code, op]] of Object.entries({ ...arithmetic, ...others })) {
      add(kind, `${prefix}0f ${hex(code!)} c1`, name + suffix, (r) =>
        r.call('sse_arith', op!, fmt, n, A, A, B),
      );
    }
    for (let p = 0; p < 8; p++) {
      add(kind, `${prefix}0f c2 c1 0${p}`, `cmp${suffix}`, (r) =>
        r.call('sse_compare', p, fmt, n, A, A, B),
      );
    }
    const round = { ps: 8, pd: 9, ss: 10, sd: 11 }[suffix];
    for (let imm = 0; imm < 16; imm++) {
      add(kind, `66 0f 3a ${hex(round)} c1 ${hex(imm)}`, `round${suffix}`, (r) =>
        r.call('sse_round', imm, fmt, n, A, B),
      );
    }
    if (n !== 1) {
      add(kind, `${fmt ? '66' : 'f2'} 0f d0 c1`, `addsub${suffix}`, (r) =>
        r.call('sse_arith', 9, fmt, n, A, A, B),
      );
      const masks = fmt ? [0x33, 0x31, 0x12, 0x21, 3] : [0xff, 0xf1, 0x7f, 0x33, 0xe8, 0x18, 0];
      for (const imm of masks) {
        add(kind, `66 0f 3a ${fmt ? '41' : '40'} c1 ${hex(imm)}`, fmt ? 'dppd' : 'dpps', (r) =>
          r.call('sse_dot', imm, fmt, A, A, B),
        );
      }
      continue;
    }
    for (const [code, name, quiet] of [
      ['2e', 'ucomi', 1],
      ['2f', 'comi', 0],
    ] as const) {
      add(kind, `${fmt ? '66 ' : ''}0f ${code} c1`, name + suffix, (r) => ({
        flags: r.call('sse_comi', quiet, fmt, A, B),
      }));
    }
    for (const bits of [32, 64]) {
      const rex = bits === 64 ? '48 ' : '';
      add(kind, `${prefix}${rex}0f 2a c0`, `cvtsi2${suffix}`, (r, rax) =>
        r.call('sse_from_int', fmt, BigInt.asIntN(bits, rax), A),
      );
      for (const chop of [0, 1]) {
        const code = `${prefix}${rex}0f ${chop ? '2c' : '2d'} c1`;
        add(kind, code, `cvt${chop ? 't' : ''}${suffix}2si`, (r) => ({
          rax: BigInt.asUintN(bits, r.call('sse_to_int', fmt, bits, chop, B) as bigint),
        }));
      }
    }
  }
  add('s', 'f3 0f 5a c1', 'cvtss2sd', (r) => r.call('sse_convert', 0, 1, A, B));
  add('d', 'f2 0f 5a c1', 'cvtsd2ss', (r) => r.call('sse_convert', 1, 1, A, B));
  add('s', '0f 5a c1', 'cvtps2pd', (r) => r.call('sse_convert', 0, 2, A, B));
  add('d', '66 0f 5a c1', 'cvtpd2ps', (r) => {
    r.call('sse_convert', 1, 2, A, B);
    clearUpper(r);
  });
  add('l', '0f 5b c1', 'cvtdq2ps', (r) => r.call('sse_from_int32s', 0, 4, A, B));
  add('l', 'f3 0f e6 c1', 'cvtdq2pd', (r) => r.call('sse_from_int32s', 1, 2, A, B));
  for (const chop of [0, 1]) {
    add('s', `${chop ? 'f3' : '66'} 0f 5b c1`, 'cvtps2dq', (r) =>
      r.call('sse_to_int32s', 0, 4, chop, A, B),
    );
    add('d', `${chop ? '66' : 'f2'} 0f e6 c1`, 'cvtpd2dq', (r) => {
      r.call('sse_to_int32s', 1, 2, chop, A, B);
      clearUpper(r);
    });
  }
  for (const [code, name, root] of [
    ['53', 'rcp', 0],
    ['52', 'rsqrt', 1],
  ] as const) {
    add('s', `0f ${code} c1`, `${name}ps`, (r) => r.call('sse_reciprocal', root, 4, A, B));
    add('s', `f3 0f ${code} c1`, `${name}ss`, (r) => r.call('sse_reciprocal', root, 1, A, B));
  }
  return list;
}

// --- x87 -------------------------------------------------------------------------------------------

const CF = 1;
const PF = 4;
const ZF = 0x40;
/** Bytes of the runtime's formats: single, double, int16, int32, int64, extended, BCD. */
const BYTES = [4, 8, 2, 4, 8, 10, 10];
const PLACES = [0, 1, 5];

export function x87Instructions(place: number): FpInstruction[] {
  const list: FpInstruction[] = [];
  const ea = BigInt(OPERAND);
  const add = (kinds: string, code: string, name: string, run: Run): void => {
    list.push(instruction(`x ${kinds} ${code}`, name, run));
  };
  const onStack = (escape_: string, reg: number, name: string, run: (i: number) => Run): void => {
    for (const i of PLACES) add('t', `${escape_} ${hex(0xc0 + reg * 8 + i)}`, name, run(i));
  };
  const memory = [
    ['d8', 's'],
    ['dc', 'd'],
    ['de', 'w'],
    ['da', 'l'],
  ] as const;
  const operations = [
    ['fadd', 0, 0],
    ['fmul', 1, 1],
    ['fsub', 4, 2],
    ['fsubr', 5, 3],
    ['fdiv', 6, 4],
    ['fdivr', 7, 5],
  ] as const;
  for (const [name, reg, op] of operations) {
    onStack('d8', reg, name, (i) => (r) => r.call('x87_arith', op, i, 0, 0));
    onStack('dc', reg, name, (i) => (r) => r.call('x87_arith', op, i, 1, 0));
    onStack('de', reg, `${name}p`, (i) => (r) => r.call('x87_arith', op, i, 1, 1));
    memory.forEach(([code, kind], format) => {
      add(`t${kind}`, `${code} ${hex(reg * 8 + 7)}`, `${name} m`, (r) =>
        r.call('x87_arith_memory', op, format, place, ea),
      );
    });
  }
  memory.forEach(([code, kind], format) => {
    for (const pops of [0, 1]) {
      add(`t${kind}`, `${code} ${pops ? '1f' : '17'}`, 'fcom m', (r) =>
        r.call('x87_compare_memory', format, place, ea, pops),
      );
    }
  });
  const compares = [
    ['d8', 2, 0, 0],
    ['d8', 3, 0, 1],
    ['dd', 4, 1, 0],
    ['dd', 5, 1, 1],
  ] as const;
  for (const [code, reg, quiet, pops] of compares) {
    onStack(code, reg, 'fcom', (i) => (r) => r.call('x87_compare', i, quiet, pops));
  }
  for (const [code, reg, quiet, pops] of [
    ['db', 6, 0, 0],
    ['df', 6, 0, 1],
    ['db', 5, 1, 0],
    ['df', 5, 1, 1],
  ] as const) {
    onStack(code, reg, 'fcomi', (i) => (r) => ({
      flags: r.call('x87_compare_flags', i, quiet, pops),
    }));
  }
  onStack('d9', 0, 'fld', (i) => (r) => r.call('x87_load_register', i));
  onStack('d9', 1, 'fxch', (i) => (r) => r.call('x87_exchange', i));
  onStack('dd', 2, 'fst', (i) => (r) => r.call('x87_store_register', i, 0));
  onStack('dd', 3, 'fstp', (i) => (r) => r.call('x87_store_register', i, 1));
  onStack('d9', 3, 'fstpnce', (i) => (r) => r.call('x87_store_register', i, 2));
  onStack('dd', 0, 'ffree', (i) => (r) => r.call('x87_free', i, 0));
  onStack('df', 0, 'ffreep', (i) => (r) => r.call('x87_free', i, 1));
  [CF, ZF, CF | ZF, PF].forEach((mask, n) => {
    for (const [code, wanted] of [
      ['da', true],
      ['db', false],
    ] as const) {
      onStack(code, n, 'fcmov', (i) => (r, flags) => {
        const take = ((Number(flags) & mask) !== 0) === wanted;
        r.call('x87_move_if', i, take ? 1 : 0);
      });
    }
  });
  for (const [kind, code, format] of [
    ['s', 'd9 07', 0],
    ['d', 'dd 07', 1],
    ['w', 'df 07', 2],
    ['l', 'db 07', 3],
    ['q', 'df 2f', 4],
    ['t', 'db 2f', 5],
    ['b', 'df 27', 6],
  ] as const) {
    add(`t${kind}`, code, 'fld m', (r) => r.call('x87_load', format, place, ea));
  }
  for (const [code, format, pops, chop] of [
    ['d9 17', 0, 0, 0],
    ['d9 1f', 0, 1, 0],
    ['dd 17', 1, 0, 0],
    ['dd 1f', 1, 1, 0],
    ['df 17', 2, 0, 0],
    ['df 1f', 2, 1, 0],
    ['db 17', 3, 0, 0],
    ['db 1f', 3, 1, 0],
    ['df 3f', 4, 1, 0],
    ['db 3f', 5, 1, 0],
    ['df 37', 6, 1, 0],
    ['df 0f', 2, 1, 1],
    ['db 0f', 3, 1, 1],
    ['dd 0f', 4, 1, 1],
  ] as const) {
    add('tr', code, 'fst m', (r) => {
      const from = L.VCPU_AREA + L.OPERANDS;
      if (r.call('x87_convert', format, from, chop)) {
        r.bytes.copyWithin(place, from, from + BYTES[format]!);
      }
      r.call('x87_stored', ea, pops);
    });
  }
  const fixed: readonly [string, string, ...(string | number)[]][] = [
    ['de d9', 'fcompp', 'x87_compare', 1, 0, 2],
    ['da e9', 'fucompp', 'x87_compare', 1, 1, 2],
    ['d9 e0', 'fchs', 'x87_sign', 1],
    ['d9 e1', 'fabs', 'x87_sign', 0],
    ['d9 e4', 'ftst', 'x87_test'],
    ['d9 e5', 'fxam', 'x87_examine'],
    ['d9 fa', 'fsqrt', 'x87_unary', 0],
    ['d9 fc', 'frndint', 'x87_unary', 1],
    ['d9 f8', 'fprem', 'x87_remainder', 0],
    ['d9 f5', 'fprem1', 'x87_remainder', 1],
    ['d9 fd', 'fscale', 'x87_scale'],
    ['d9 f4', 'fxtract', 'x87_extract'],
    ['d9 f7', 'fincstp', 'x87_turn', 1],
    ['d9 f6', 'fdecstp', 'x87_turn', -1],
    ['d9 f0', 'f2xm1', 'x87_transcendental', 0],
    ['d9 f1', 'fyl2x', 'x87_transcendental', 1],
    ['d9 f2', 'fptan', 'x87_transcendental', 2],
    ['d9 f3', 'fpatan', 'x87_transcendental', 3],
    ['d9 f9', 'fyl2xp1', 'x87_transcendental', 9],
    ['d9 fb', 'fsincos', 'x87_transcendental', 11],
    ['d9 fe', 'fsin', 'x87_transcendental', 14],
    ['d9 ff', 'fcos', 'x87_transcendental', 15],
  ];
  for (const [code, name, call, ...args] of fixed) {
    add('t', code, name, (r) => r.call(call as string, ...(args as number[])));
  }
  for (let n = 0; n < 7; n++) {
    add('t', `d9 ${hex(0xe8 + n)}`, 'fldconst', (r) => r.call('x87_constant', n));
  }
  return list;
}

/** Environments and control, with 112 bytes of memory. */
export function x87Control(place: number): FpInstruction[] {
  const list: FpInstruction[] = [];
  const at = BigInt(OPERAND);
  const add = (code: string, name: string, run: Run): void => {
    list.push(instruction(`e tr ${code}`, name, run, !name.startsWith('fn')));
  };
  for (const small of [0, 1]) {
    const prefix = small ? '66 ' : '';
    add(`${prefix}d9 37`, 'fnstenv', (r) => r.call('x87_store_environment', at, small));
    add(`${prefix}d9 27`, 'fldenv', (r) => r.call('x87_load_environment', at, small));
    add(`${prefix}dd 37`, 'fnsave', (r) => r.call('x87_save', at, small));
    add(`${prefix}dd 27`, 'frstor', (r) => r.call('x87_restore', at, small));
  }
  add('d9 2f', 'fldcw', (r) => r.call('x87_set_control', r.view.getUint16(place, true)));
  add('db e2', 'fnclex', (r) => r.call('x87_clear'));
  add('db e3', 'fninit', (r) => r.call('x87_init'));
  return list;
}
