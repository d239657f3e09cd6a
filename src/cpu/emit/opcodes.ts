/** WebAssembly's value types and instructions, by their names in the text format. [WASM 5.4] */

export type Ty = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** What the builder has to know of a WebAssembly instruction. */
export interface Opcode {
  /** Encoded opcode, prefix byte included. */
  readonly bytes: readonly number[];
  readonly args: readonly Ty[];
  readonly result: Ty | null;
  /** What follows the opcode: a memarg, a lane index, 16 bytes, zero bytes of reserved indices. */
  readonly imm: 'none' | 'memarg' | 'lane' | 'memlane' | 'bytes16' | 'zero1' | 'zero2';
  /** No effect and no dependence on memory: may be dropped, moved or shared. */
  readonly pure: boolean;
  /** log2 of the natural alignment, for a memarg. */
  readonly align: number;
}

const table = new Map<string, Opcode>();
/** All of them, by name. */
export const opcodes: ReadonlyMap<string, Opcode> = table;

function leb(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, n >> 7];
}

function def(
  name: string,
  bytes: number[],
  args: Ty[],
  result: Ty | null,
  imm: Opcode['imm'] = 'none',
  align = 0,
): void {
  const pure = imm !== 'memarg' && imm !== 'memlane' && result !== null && bytes[0] !== 0xfe;
  table.set(name, { bytes, args, result, imm, pure, align });
}

/** Consecutive opcodes from `first`; an empty name leaves a hole. */
function run(first: number, prefix: string, names: string, args: Ty[], result: Ty): void {
  names.split(' ').forEach((name, i) => {
    if (name !== '-') def(prefix + name, [first + i], args, result);
  });
}

const COMPARE = 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u';
const ARITHMETIC = 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr';
for (const [ty, eqz, bits, conv] of [
  ['i32', 0x45, 0x67, 0xc0],
  ['i64', 0x50, 0x79, 0xc2],
] as const) {
  def(`${ty}.eqz`, [eqz], [ty], 'i32');
  run(eqz + 1, `${ty}.`, COMPARE, [ty, ty], 'i32');
  run(bits, `${ty}.`, 'clz ctz popcnt', [ty], ty);
  run(bits + 3, `${ty}.`, ARITHMETIC, [ty, ty], ty);
  run(
    conv,
    `${ty}.`,
    ty === 'i32' ? 'extend8_s extend16_s' : 'extend8_s extend16_s extend32_s',
    [ty],
    ty,
  );
}
for (const [ty, compare, unary] of [
  ['f32', 0x5b, 0x8b],
  ['f64', 0x61, 0x99],
] as const) {
  run(compare, `${ty}.`, 'eq ne lt gt le ge', [ty, ty], 'i32');
  run(unary, `${ty}.`, 'abs neg ceil floor trunc nearest sqrt', [ty], ty);
  run(unary + 7, `${ty}.`, 'add sub mul div min max copysign', [ty, ty], ty);
}
def('i32.wrap_i64', [0xa7], ['i64'], 'i32');
def('i64.extend_i32_s', [0xac], ['i32'], 'i64');
def('i64.extend_i32_u', [0xad], ['i32'], 'i64');
for (const [to, from, code] of [
  ['f32', 'i32', 0xb2],
  ['f32', 'i64', 0xb4],
  ['f64', 'i32', 0xb7],
  ['f64', 'i64', 0xb9],
] as const) {
  def(`${to}.convert_${from}_s`, [code], [from], to);
  def(`${to}.convert_${from}_u`, [code + 1], [from], to);
}
def('f32.demote_f64', [0xb6], ['f64'], 'f32');
def('f64.promote_f32', [0xbb], ['f32'], 'f64');
def('i32.reinterpret_f32', [0xbc], ['f32'], 'i32');
def('i64.reinterpret_f64', [0xbd], ['f64'], 'i64');
def('f32.reinterpret_i32', [0xbe], ['i32'], 'f32');
def('f64.reinterpret_i64', [0xbf], ['i64'], 'f64');
let saturating = 0;
for (const to of ['i32', 'i64'] as const) {
  for (const from of ['f32', 'f64'] as const) {
    for (const sign of ['s', 'u']) {
      def(`${to}.trunc_sat_${from}_${sign}`, [0xfc, saturating++], [from], to);
    }
  }
}
def('memory.copy', [0xfc, 0x0a], ['i32', 'i32', 'i32'], null, 'zero2');
def('memory.fill', [0xfc, 0x0b], ['i32', 'i32', 'i32'], null, 'zero1');

// Loads and stores.
for (const [name, code, ty, align] of [
  ['i32.load', 0x28, 'i32', 2],
  ['i64.load', 0x29, 'i64', 3],
  ['f32.load', 0x2a, 'f32', 2],
  ['f64.load', 0x2b, 'f64', 3],
  ['i32.load8_s', 0x2c, 'i32', 0],
  ['i32.load8_u', 0x2d, 'i32', 0],
  ['i32.load16_s', 0x2e, 'i32', 1],
  ['i32.load16_u', 0x2f, 'i32', 1],
  ['i64.load8_s', 0x30, 'i64', 0],
  ['i64.load8_u', 0x31, 'i64', 0],
  ['i64.load16_s', 0x32, 'i64', 1],
  ['i64.load16_u', 0x33, 'i64', 1],
  ['i64.load32_s', 0x34, 'i64', 2],
  ['i64.load32_u', 0x35, 'i64', 2],
] as const) {
  def(name, [code], ['i32'], ty, 'memarg', align);
}
for (const [name, code, ty, align] of [
  ['i32.store', 0x36, 'i32', 2],
  ['i64.store', 0x37, 'i64', 3],
  ['f32.store', 0x38, 'f32', 2],
  ['f64.store', 0x39, 'f64', 3],
  ['i32.store8', 0x3a, 'i32', 0],
  ['i32.store16', 0x3b, 'i32', 1],
  ['i64.store8', 0x3c, 'i64', 0],
  ['i64.store16', 0x3d, 'i64', 1],
  ['i64.store32', 0x3e, 'i64', 2],
] as const) {
  def(name, [code], ['i32', ty], null, 'memarg', align);
}

// Threads: each group has the seven shapes in this order. [WASM threads]
const ATOMIC_SHAPES = [
  ['i32', '', 'i32', 2],
  ['i64', '', 'i64', 3],
  ['i32', '8', 'i32', 0],
  ['i32', '16', 'i32', 1],
  ['i64', '8', 'i64', 0],
  ['i64', '16', 'i64', 1],
  ['i64', '32', 'i64', 2],
] as const;
ATOMIC_SHAPES.forEach(([ty, width, value, align], i) => {
  const u = width ? '_u' : '';
  def(`${ty}.atomic.load${width}${u}`, [0xfe, 0x10 + i], ['i32'], value, 'memarg', align);
  def(`${ty}.atomic.store${width}`, [0xfe, 0x17 + i], ['i32', value], null, 'memarg', align);
  ['add', 'sub', 'and', 'or', 'xor', 'xchg'].forEach((op, group) => {
    const name = `${ty}.atomic.rmw${width}.${op}${u}`;
    def(name, [0xfe, 0x1e + 7 * group + i], ['i32', value], value, 'memarg', align);
  });
  const cmpxchg = `${ty}.atomic.rmw${width}.cmpxchg${u}`;
  def(cmpxchg, [0xfe, 0x48 + i], ['i32', value, value], value, 'memarg', align);
});

// SIMD. [WASM 5.4.10]
function simd(
  code: number,
  name: string,
  args: Ty[],
  result: Ty,
  imm: Opcode['imm'] = 'none',
): void {
  def(name, [0xfd, ...leb(code)], args, result, imm);
}
function simdRun(first: number, prefix: string, names: string, args: Ty[], result: Ty): void {
  names.split(' ').forEach((name, i) => {
    if (name !== '-') simd(first + i, prefix + name, args, result);
  });
}
const V1: Ty[] = ['v128'];
const V2: Ty[] = ['v128', 'v128'];
const VS: Ty[] = ['v128', 'i32'];
def('v128.load', [0xfd, 0x00], ['i32'], 'v128', 'memarg', 4);
def('v128.load32_zero', [0xfd, 0x5c], ['i32'], 'v128', 'memarg', 2);
def('v128.load64_zero', [0xfd, 0x5d], ['i32'], 'v128', 'memarg', 3);
def('v128.store', [0xfd, 0x0b], ['i32', 'v128'], null, 'memarg', 4);
simd(0x0d, 'i8x16.shuffle', V2, 'v128', 'bytes16');
simd(0x0e, 'i8x16.swizzle', V2, 'v128');
(['i32', 'i32', 'i32', 'i64', 'f32', 'f64'] as const).forEach((ty, i) => {
  simd(
    0x0f + i,
    `${['i8x16', 'i16x8', 'i32x4', 'i64x2', 'f32x4', 'f64x2'][i]}.splat`,
    [ty],
    'v128',
  );
});
for (const [shape, ty, extract, replace] of [
  ['i8x16', 'i32', ['extract_lane_s', 0x15, 'extract_lane_u', 0x16], 0x17],
  ['i16x8', 'i32', ['extract_lane_s', 0x18, 'extract_lane_u', 0x19], 0x1a],
  ['i32x4', 'i32', ['extract_lane', 0x1b], 0x1c],
  ['i64x2', 'i64', ['extract_lane', 0x1d], 0x1e],
  ['f32x4', 'f32', ['extract_lane', 0x1f], 0x20],
  ['f64x2', 'f64', ['extract_lane', 0x21], 0x22],
] as const) {
  for (let i = 0; i < extract.length; i += 2) {
    simd(extract[i + 1] as number, `${shape}.${extract[i]}`, V1, ty, 'lane');
  }
  simd(replace, `${shape}.replace_lane`, ['v128', ty], 'v128', 'lane');
}
simdRun(0x23, 'i8x16.', COMPARE, V2, 'v128');
simdRun(0x2d, 'i16x8.', COMPARE, V2, 'v128');
simdRun(0x37, 'i32x4.', COMPARE, V2, 'v128');
simdRun(0x41, 'f32x4.', 'eq ne lt gt le ge', V2, 'v128');
simdRun(0x47, 'f64x2.', 'eq ne lt gt le ge', V2, 'v128');
simd(0x4d, 'v128.not', V1, 'v128');
simdRun(0x4e, 'v128.', 'and andnot or xor', V2, 'v128');
simd(0x52, 'v128.bitselect', ['v128', 'v128', 'v128'], 'v128');
simd(0x53, 'v128.any_true', V1, 'i32');
simd(0x5e, 'f32x4.demote_f64x2_zero', V1, 'v128');
simd(0x5f, 'f64x2.promote_low_f32x4', V1, 'v128');
simdRun(0x60, 'i8x16.', 'abs neg popcnt', V1, 'v128');
simdRun(0x63, 'i8x16.', 'all_true bitmask', V1, 'i32');
simdRun(0x65, 'i8x16.', 'narrow_i16x8_s narrow_i16x8_u', V2, 'v128');
simdRun(0x67, 'f32x4.', 'ceil floor trunc nearest', V1, 'v128');
simdRun(0x6b, 'i8x16.', 'shl shr_s shr_u', VS, 'v128');
simdRun(0x6e, 'i8x16.', 'add add_sat_s add_sat_u sub sub_sat_s sub_sat_u', V2, 'v128');
simdRun(0x74, 'f64x2.', 'ceil floor', V1, 'v128');
simdRun(0x76, 'i8x16.', 'min_s min_u max_s max_u', V2, 'v128');
simd(0x7a, 'f64x2.trunc', V1, 'v128');
simd(0x7b, 'i8x16.avgr_u', V2, 'v128');
simdRun(0x7c, 'i16x8.', 'extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u', V1, 'v128');
simdRun(0x7e, 'i32x4.', 'extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u', V1, 'v128');
simdRun(0x80, 'i16x8.', 'abs neg', V1, 'v128');
simd(0x82, 'i16x8.q15mulr_sat_s', V2, 'v128');
simdRun(0x83, 'i16x8.', 'all_true bitmask', V1, 'i32');
simdRun(0x85, 'i16x8.', 'narrow_i32x4_s narrow_i32x4_u', V2, 'v128');
const EXTEND = (of: string) =>
  `extend_low_${of}_s extend_high_${of}_s extend_low_${of}_u extend_high_${of}_u`;
const EXTMUL = (of: string) =>
  `extmul_low_${of}_s extmul_high_${of}_s extmul_low_${of}_u extmul_high_${of}_u`;
simdRun(0x87, 'i16x8.', EXTEND('i8x16'), V1, 'v128');
simdRun(0x8b, 'i16x8.', 'shl shr_s shr_u', VS, 'v128');
simdRun(0x8e, 'i16x8.', 'add add_sat_s add_sat_u sub sub_sat_s sub_sat_u', V2, 'v128');
simd(0x94, 'f64x2.nearest', V1, 'v128');
simdRun(0x95, 'i16x8.', 'mul min_s min_u max_s max_u - avgr_u', V2, 'v128');
simdRun(0x9c, 'i16x8.', EXTMUL('i8x16'), V2, 'v128');
simdRun(0xa0, 'i32x4.', 'abs neg', V1, 'v128');
simdRun(0xa3, 'i32x4.', 'all_true bitmask', V1, 'i32');
simdRun(0xa7, 'i32x4.', EXTEND('i16x8'), V1, 'v128');
simdRun(0xab, 'i32x4.', 'shl shr_s shr_u', VS, 'v128');
simdRun(0xae, 'i32x4.', 'add - - sub - - - mul min_s min_u max_s max_u dot_i16x8_s', V2, 'v128');
simdRun(0xbc, 'i32x4.', EXTMUL('i16x8'), V2, 'v128');
simdRun(0xc0, 'i64x2.', 'abs neg', V1, 'v128');
simdRun(0xc3, 'i64x2.', 'all_true bitmask', V1, 'i32');
simdRun(0xc7, 'i64x2.', EXTEND('i32x4'), V1, 'v128');
simdRun(0xcb, 'i64x2.', 'shl shr_s shr_u', VS, 'v128');
simdRun(0xce, 'i64x2.', 'add - - sub - - - mul eq ne lt_s gt_s le_s ge_s', V2, 'v128');
simdRun(0xdc, 'i64x2.', EXTMUL('i32x4'), V2, 'v128');
for (const [shape, unary, binary] of [
  ['f32x4', 0xe0, 0xe4],
  ['f64x2', 0xec, 0xf0],
] as const) {
  simdRun(unary, `${shape}.`, 'abs neg - sqrt', V1, 'v128');
  simdRun(binary, `${shape}.`, 'add sub mul div min max pmin pmax', V2, 'v128');
}
simdRun(0xf8, 'i32x4.', 'trunc_sat_f32x4_s trunc_sat_f32x4_u', V1, 'v128');
simdRun(0xfa, 'f32x4.', 'convert_i32x4_s convert_i32x4_u', V1, 'v128');
simdRun(0xfc, 'i32x4.', 'trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero', V1, 'v128');
simdRun(0xfe, 'f64x2.', 'convert_low_i32x4_s convert_low_i32x4_u', V1, 'v128');

/** The instruction of that name; an unknown name is our own bug. */
export function opcode(name: string): Opcode {
  const found = table.get(name);
  if (!found) throw new Error(`no wasm instruction named ${name}`);
  return found;
}
