/** Packed integer arithmetic on XMM registers. [SDM 2A, 2B "P", "M"] */
import type { Value } from '../emit/function-builder.js';
import type { Operand, Sem } from './sem.js';
import type { Define, Family, Semantic } from './table.js';
import { distance, packed, shiftsByImmediate, sumOfFour } from './vector-integer.js';
import {
  align,
  atMost,
  control,
  counting,
  elements,
  lanes,
  moveBytes,
  permute,
  shift,
  sseBinary,
  zero,
} from './vector-lanes.js';

/** dst = src with four elements chosen by the immediate. */
const pshuf =
  (width: 2 | 4, first: number): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    s.vwrite(dst, 'v128.store', permute(s, s.vread(src, 'v128.load'), width, first));
  };

/** The register operand itself, changed by the immediate. */
const byImmediate =
  (compute: (s: Sem, v: Value, imm: Value) => Value): Semantic =>
  (s) => {
    const [dst] = s.operands as [Operand];
    s.vwrite(dst, 'v128.store', compute(s, s.vread(dst, 'v128.load'), control(s)));
  };

const palignr = sseBinary((s, a, b) => align(s, a, b, 16));

/** Sums of absolute differences of eight windows of the destination to one dword of the source. */
const mpsadbw = sseBinary((s, a, b) => {
  const imm = control(s);
  const dword = s.op('i8x16.splat', s.shlC(s.andC(imm, 3), 2));
  const repeated = lanes(s, 4, new Array<number>(4).fill(0x0302_0100));
  const source = s.op('i8x16.swizzle', b, s.op('i8x16.add', dword, repeated));
  const bytes = moveBytes(s, a, s.neg(s.andC(imm, 4)));
  const sums = (first: number): Value => {
    const windows = counting(16).map((i) => first + (i >> 2) + (i & 3));
    const window = s.lane('i8x16.shuffle', windows, bytes, bytes);
    return sumOfFour(s, distance(s, window, source));
  };
  return s.op('i16x8.narrow_i32x4_u', sums(0), sums(4));
});

/** The least word and where it first is: found together as value << 16 | position. */
const phminposuw = sseBinary((s, _a, b) => {
  const keys = (half: string, first: number): Value => {
    const wide = s.op(`i32x4.extend_${half}_i16x8_u`, b);
    return s.op('v128.or', s.op('i32x4.shl', wide, s.i32(16)), lanes(s, 4, counting(4, first)));
  };
  const fold = (v: Value, order: number[]): Value =>
    s.op('i32x4.min_u', v, s.lane('i8x16.shuffle', elements(4, order), v, v));
  const four = s.op('i32x4.min_u', keys('low', 0), keys('high', 4));
  const least = fold(fold(four, [2, 3, 0, 1]), [1, 0, 3, 2]);
  const key = s.lane('i32x4.extract_lane', 0, least);
  return s.lane('i32x4.replace_lane', 0, zero(s), s.rotl(key, s.i32(16)));
});

const ptest: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const b = s.vread(src, 'v128.load');
  const a = s.vread(dst, 'v128.load');
  const none = (v: Value): Value => s.eqz(s.op('v128.any_true', v));
  const zf = none(s.op('v128.and', a, b));
  s.unpackFlags(s.or(s.shlC(zf, 6), none(s.op('v128.andnot', b, a))));
};

/** Lower elements of the source, widened in `steps`. */
const extend =
  (load: string, steps: readonly string[]): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const from = s.vread(src, load);
    const first = from.ty === 'i32' ? s.op('i32x4.splat', from) : from;
    s.vwrite(
      dst,
      'v128.store',
      steps.reduce((v, step) => s.op(step, v), first),
    );
  };

/** PMOVSX and PMOVZX: eight, four or two elements of `from` bits widened to `to`. */
function extensions(def: Define, sign: 's' | 'u', base: number): void {
  const name = sign === 's' ? 'pmovsx' : 'pmovzx';
  const letters: Readonly<Record<number, string>> = { 8: 'b', 16: 'w', 32: 'd', 64: 'q' };
  const forms = [
    [8, 16],
    [8, 32],
    [8, 64],
    [16, 32],
    [16, 64],
    [32, 64],
  ] as const;
  forms.forEach(([from, to], i) => {
    const bits = (128 / to) * from;
    const load =
      bits === 64 ? 'v128.load64_zero' : bits === 32 ? 'v128.load32_zero' : 'i32.load16_u';
    const steps: string[] = [];
    for (let width: number = from; width < to; width *= 2) {
      const wide = `i${width * 2}x${64 / width}`;
      steps.push(`${wide}.extend_low_i${width}x${128 / width}_${sign}`);
    }
    const opcode = (base + i).toString(16).toUpperCase();
    def(
      `66 0F 38 ${opcode} /r`,
      `${name}${letters[from]}${letters[to]}`,
      `Vx W${letters[bits]}`,
      extend(load, steps),
      { unit: 'sse', feature: 'SSE4.1' },
    );
  });
}

export const sseInteger: Family = (def) => {
  for (const { pattern, name, compute, feature } of packed) {
    def(`66 ${pattern}`, name, 'Vx Wx', sseBinary(compute), { unit: 'sse', feature });
  }
  const sse2 = { unit: 'sse', feature: 'SSE2' } as const;
  for (const [opcode, name, kind, bits] of shiftsByImmediate) {
    const semantic = byImmediate((s, v, imm) => shift(s, kind, bits, v, imm));
    def(`66 0F ${opcode}`, name, 'Ux Ib', semantic, sse2);
  }
  const down = byImmediate((s, v, imm) => moveBytes(s, v, s.neg(atMost(s, imm, 16))));
  def('66 0F 73 /3', 'psrldq', 'Ux Ib', down, sse2);
  const up = byImmediate((s, v, imm) => moveBytes(s, v, atMost(s, imm, 16)));
  def('66 0F 73 /7', 'pslldq', 'Ux Ib', up, sse2);
  def('66 0F 70 /r', 'pshufd', 'Vx Wx Ib', pshuf(4, 0), sse2);
  def('F3 0F 70 /r', 'pshufhw', 'Vx Wx Ib', pshuf(2, 4), sse2);
  def('F2 0F 70 /r', 'pshuflw', 'Vx Wx Ib', pshuf(2, 0), sse2);
  def('66 0F 3A 0F /r', 'palignr', 'Vx Wx Ib', palignr, { unit: 'sse', feature: 'SSSE3' });
  const sse41 = { unit: 'sse', feature: 'SSE4.1' } as const;
  extensions(def, 's', 0x20);
  extensions(def, 'u', 0x30);
  def('66 0F 38 17 /r', 'ptest', 'Vx Wx', ptest, { ...sse41, writes: 'OSZAPC' });
  def('66 0F 38 41 /r', 'phminposuw', 'Vx Wx', phminposuw, sse41);
  def('66 0F 3A 42 /r', 'mpsadbw', 'Vx Wx Ib', mpsadbw, sse41);
};
