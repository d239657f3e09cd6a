/** Bit gathering, CRC-32C and 128-bit arithmetic that wasm has no instruction for. */
import { CPU } from './env';
import { raise } from './fault';
import { OPERANDS } from './generated-layout';

const DE = 0;

export function pdep(value: u64, mask: u64): u64 {
  let result: u64 = 0;
  while (mask != 0) {
    const lowest = mask & (0 - mask);
    if (value & 1) result |= lowest;
    value >>= 1;
    mask ^= lowest;
  }
  return result;
}

export function pext(value: u64, mask: u64): u64 {
  let result: u64 = 0;
  let bit: u64 = 1;
  while (mask != 0) {
    const lowest = mask & (0 - mask);
    if (value & lowest) result |= bit;
    bit <<= 1;
    mask ^= lowest;
  }
  return result;
}

/** CRC-32C (reflected polynomial 0x82f63b78) of each nibble. */
// biome-ignore format: a table
const CRC_NIBBLE = memory.data<u32>([
  0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
  0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
]);

/** CRC32: `size` low bytes of `value` added to `accumulator`. */
export function crc32(accumulator: u32, value: u64, size: i32): u32 {
  for (; size > 0; size--) {
    accumulator ^= u32(value) & 0xff;
    accumulator = (accumulator >> 4) ^ load<u32>(CRC_NIBBLE + ((accumulator & 15) << 2));
    accumulator = (accumulator >> 4) ^ load<u32>(CRC_NIBBLE + ((accumulator & 15) << 2));
    value >>= 8;
  }
  return accumulator;
}

/** Upper half of an unsigned product. */
export function mul_u64_hi(x: u64, y: u64): u64 {
  const x0 = x & 0xffffffff;
  const x1 = x >> 32;
  const y0 = y & 0xffffffff;
  const y1 = y >> 32;
  const low = x0 * y0;
  const middle = x1 * y0 + (low >> 32);
  const other = x0 * y1 + (middle & 0xffffffff);
  return x1 * y1 + (middle >> 32) + (other >> 32);
}

/** Upper half of a signed product. */
export function mul_s64_hi(x: i64, y: i64): i64 {
  return i64(mul_u64_hi(x, y)) - ((x >> 63) & y) - ((y >> 63) & x);
}

/**
 * high:low / divisor: quotient to OPERANDS, remainder to OPERANDS + 8. False when the quotient does
 * not fit (divisor 0 included). Schoolbook division with 32-bit digits [Knuth 4.3.1 D].
 */
function divide(low: u64, high: u64, divisor: u64): bool {
  if (high >= divisor) return false;
  if (high == 0) {
    store<u64>(CPU + OPERANDS, low / divisor);
    store<u64>(CPU + OPERANDS + 8, low % divisor);
    return true;
  }
  const shift = clz<u64>(divisor);
  const d = divisor << shift;
  const d1 = d >> 32;
  const d0 = d & 0xffffffff;
  const n = shift == 0 ? high : (high << shift) | (low >> (64 - shift));
  const l = low << shift;
  const q1 = digit(n, l >> 32, d1, d0);
  const n1 = ((n << 32) | (l >> 32)) - q1 * d;
  const q0 = digit(n1, l & 0xffffffff, d1, d0);
  store<u64>(CPU + OPERANDS, (q1 << 32) | q0);
  store<u64>(CPU + OPERANDS + 8, (((n1 << 32) | (l & 0xffffffff)) - q0 * d) >> shift);
  return true;
}

/** One quotient digit of (n : next) / (d1 : d0); n < d1:d0. */
function digit(n: u64, next: u64, d1: u64, d0: u64): u64 {
  let q = n / d1;
  let r = n % d1;
  while (q >> 32 != 0 || q * d0 > ((r << 32) | next)) {
    q--;
    r += d1;
    if (r >> 32 != 0) break;
  }
  return q;
}

/** DIV with a 64-bit divisor: quotient to OPERANDS, remainder to OPERANDS + 8, or #DE. */
export function div_u128(low: u64, high: u64, divisor: u64): void {
  if (!divide(low, high, divisor)) raise(DE, 0, 0);
}

/** IDIV with a 64-bit divisor: quotient truncated towards zero, the remainder has the dividend's sign. */
export function idiv_s128(low: i64, high: i64, divisor: i64): void {
  const negative = high < 0;
  let l: u64 = low;
  let h: u64 = high;
  if (negative) {
    l = 0 - l;
    h = ~h + u64(l == 0);
  }
  if (!divide(l, h, divisor < 0 ? 0 - divisor : divisor)) raise(DE, 0, 0);
  const q = load<u64>(CPU + OPERANDS);
  const minus = negative != divisor < 0;
  // The quotient may be -2^63, but not +2^63.
  if (q > 0x7fffffffffffffff + u64(minus)) raise(DE, 0, 0);
  if (minus) store<u64>(CPU + OPERANDS, 0 - q);
  if (negative) store<i64>(CPU + OPERANDS + 8, 0 - load<i64>(CPU + OPERANDS + 8));
}
