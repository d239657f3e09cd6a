/** RFLAGS: the lazy form of the status flags put together and taken apart. */
import { CPU } from './env';
import { EFLAGS, FLAG_AUX, FLAG_RES } from './generated-layout';
import { F_AF, F_CF, F_OF, F_PF, F_SF, F_ZF } from './private';

/** Sets CF PF AF ZF SF OF from their places in RFLAGS. */
export function write_status_flags(flags: u32): void {
  // Not zero is 0x100: positive, with a low byte of even parity.
  store<u64>(CPU, flags & F_ZF ? 0 : 0x100, FLAG_RES);
  const carry = flags & F_CF;
  const overflow = (flags & F_OF) >> 11;
  store<u32>(
    CPU,
    (carry << 31) |
      ((carry ^ overflow) << 30) |
      ((flags & F_AF) >> 1) |
      (flags & F_PF ? 0 : 0x100) |
      ((flags & F_SF) >> 7),
    FLAG_AUX,
  );
}

/** CF PF AF ZF SF OF in their places. */
export function read_status_flags(): u32 {
  const result = load<i64>(CPU, FLAG_RES);
  const aux = load<u32>(CPU, FLAG_AUX);
  const odd = popcnt<u32>((u32(result) ^ (aux >> 8)) & 0xff) & 1;
  return (
    (aux >> 31) |
    (odd ? 0 : F_PF) |
    ((aux & 8) << 1) |
    (result == 0 ? F_ZF : 0) |
    ((u32(result >>> 63) ^ (aux & 1)) << 7) |
    (((aux ^ (aux << 1)) >> 31) << 11)
  );
}

/** All six flags of a - b with elements of `size` bytes. */
export function flags_of_sub(size: i32, a: u64, b: u64): void {
  const shift = u64(64 - 8 * size);
  const x = a << shift;
  const y = b << shift;
  const r = x - y;
  // Borrows out of each bit; the top two are CF and CF^OF of the element size.
  const borrows = (~x & y) | ((~x | y) & r);
  const result = i64(r) >> i64(shift);
  const low = (a ^ b ^ u64(result)) & 0x10;
  store<i64>(CPU, result, FLAG_RES);
  store<u32>(CPU, (u32(borrows >> 32) & 0xc0000000) | (u32(low) >> 1), FLAG_AUX);
}

export function read_eflags(): u32 {
  return load<u32>(CPU, EFLAGS) | read_status_flags();
}
