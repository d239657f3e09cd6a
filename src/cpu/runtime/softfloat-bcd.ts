/** Packed decimal integers: eighteen digits in nine bytes, sign in the tenth [SDM 1 8.1.2, 4.7]. */

/** Magnitude; digits above 9 count as they are (undefined by the manual). */
export function bcdToInt(p: usize): i64 {
  let value: i64 = 0;
  for (let i = 8; i >= 0; i--) {
    const byte = <i64>load<u8>(p + i);
    value = value * 100 + (byte >> 4) * 10 + (byte & 15);
  }
  return value;
}

/** Values of 10^18 and above are the packed indefinite. */
export function intToBcd(p: usize, value: u64, sign: i32): void {
  if (value >= 1_000_000_000_000_000_000) {
    store<u64>(p, 0xc000_0000_0000_0000);
    store<u16>(p, 0xffff, 8);
    return;
  }
  for (let i = 0; i < 9; i++) {
    const two = value % 100;
    value /= 100;
    store<u8>(p + i, <u8>(((two / 10) << 4) | two % 10));
  }
  store<u8>(p, <u8>(sign << 7), 9);
}
