/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM [SDM 1 "Imm8 Control Byte Operation", SDM 2B]. `a` and `b`
 * are the first and second operand, 16 bytes in memory each. Results go to RCX or XMM0 and the flags.
 */
import { CPU } from './env';
import { write_status_flags } from './flags';
import { GPR, XMM } from './generated-layout';

const RAX = 0;
const RCX = 8;
const RDX = 16;

const CF = 0x001;
const ZF = 0x040;
const SF = 0x080;
const OF = 0x800;

// imm8: bit 0 words, bit 1 signed, bits 3..2 aggregation, bits 5..4 polarity, bit 6 last index or expanded mask.
const EQUAL_ANY = 0;
const RANGES = 1;
const EQUAL_EACH = 2;

/** Element `i` of an operand, sign- or zero-extended as imm8 says. */
function element(at: i32, i: i32, imm: i32): i32 {
  switch (imm & 3) {
    case 0:
      return load<u8>(at + i);
    case 1:
      return load<u16>(at + (i << 1));
    case 2:
      return load<i8>(at + i);
    default:
      return load<i16>(at + (i << 1));
  }
}

function implicit_length(at: i32, imm: i32): i32 {
  const count = imm & 1 ? 8 : 16;
  let n = 0;
  while (n < count && element(at, n, imm) != 0) n++;
  return n;
}

/** |EAX| or |RAX| clipped to the number of elements. */
function explicit_length(register: i32, imm: i32, wide: i32): i32 {
  const raw = load<i64>(CPU + GPR + register);
  const value: i64 = wide ? raw : i64(i32(raw));
  const size: u64 = value < 0 ? 0 - value : value;
  const count = imm & 1 ? 8 : 16;
  return size > u64(count) ? count : i32(size);
}

/** IntRes1: element pairs beyond a string's end compare as the manual's override table says. */
function aggregate(imm: i32, a: i32, b: i32, la: i32, lb: i32): i32 {
  const count = imm & 1 ? 8 : 16;
  const kind = (imm >> 2) & 3;
  let result = 0;
  for (let j = 0; j < count; j++) {
    let hit: bool = false;
    if (kind == EQUAL_ANY) {
      if (j < lb) {
        const value = element(b, j, imm);
        for (let i = 0; i < la && !hit; i++) hit = element(a, i, imm) == value;
      }
    } else if (kind == RANGES) {
      if (j < lb) {
        const value = element(b, j, imm);
        for (let i = 0; i + 1 < la && !hit; i += 2) {
          hit = element(a, i, imm) <= value && value <= element(a, i + 1, imm);
        }
      }
    } else if (kind == EQUAL_EACH) {
      hit = j < la && j < lb ? element(a, j, imm) == element(b, j, imm) : j >= la && j >= lb;
    } else {
      // Equal ordered: `a` is found at position j of `b`, as far as the register shows.
      hit = true;
      for (let i = 0; i < la && i + j < count && hit; i++) {
        hit = i + j < lb && element(a, i, imm) == element(b, i + j, imm);
      }
    }
    if (hit) result |= 1 << j;
  }
  return result;
}

/** IntRes2, with the flags written. */
function compare(imm: i32, a: i32, b: i32, la: i32, lb: i32): i32 {
  const count = imm & 1 ? 8 : 16;
  let result = aggregate(imm, a, b, la, lb);
  if (imm & 0x10) result ^= imm & 0x20 ? (1 << lb) - 1 : (1 << count) - 1;
  write_status_flags(
    (result != 0 ? CF : 0) |
      (lb < count ? ZF : 0) |
      (la < count ? SF : 0) |
      (result & 1 ? OF : 0),
  );
  return result;
}

function give_index(imm: i32, result: i32): void {
  let index = imm & 1 ? 8 : 16;
  if (result != 0) index = imm & 0x40 ? 31 - clz<i32>(result) : ctz<i32>(result);
  store<u64>(CPU + GPR + RCX, index);
}

function give_mask(imm: i32, result: i32): void {
  const out = CPU + XMM;
  if (!(imm & 0x40)) {
    store<u64>(out, result);
    store<u64>(out, 0, 8);
  } else if (imm & 1) {
    for (let i = 0; i < 8; i++) store<u16>(out + (i << 1), result & (1 << i) ? 0xffff : 0);
  } else {
    for (let i = 0; i < 16; i++) store<u8>(out + i, result & (1 << i) ? 0xff : 0);
  }
}

/** Lengths are in EAX and EDX, or RAX and RDX when `wide` (REX.W). */
export function pcmpestri(imm: i32, a: i32, b: i32, wide: i32): void {
  const la = explicit_length(RAX, imm, wide);
  give_index(imm, compare(imm, a, b, la, explicit_length(RDX, imm, wide)));
}

export function pcmpestrm(imm: i32, a: i32, b: i32, wide: i32): void {
  const la = explicit_length(RAX, imm, wide);
  give_mask(imm, compare(imm, a, b, la, explicit_length(RDX, imm, wide)));
}

export function pcmpistri(imm: i32, a: i32, b: i32): void {
  give_index(imm, compare(imm, a, b, implicit_length(a, imm), implicit_length(b, imm)));
}

export function pcmpistrm(imm: i32, a: i32, b: i32): void {
  give_mask(imm, compare(imm, a, b, implicit_length(a, imm), implicit_length(b, imm)));
}
