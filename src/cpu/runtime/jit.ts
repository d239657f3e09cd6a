/** What translated code calls: memory accesses that miss the TLB, and flags at its exits. */
import { CPU } from './env';
import {
  ACCESS_READ, ACCESS_WRITE, CODE_KEY, FLAG_AUX, FLAG_RES, TLB_ADDEND, TLB_BASE, TLB_FETCH,
} from './generated-layout';
import { mul_s64_hi } from './bits';
import { BUS, canonical, fetch_probe, next_page, place_of, table_in_use, truncated } from './mmu';
import { TABLE_ALIGNED } from './private';
import { code_page, line_bits, tlb_entry } from './tlb';

/**
 * Pointer to `size` bytes for reading; 0: the interpreter has to execute the instruction, because a fault
 * was recorded or will be, because the bus answers, or because the bytes lie in two places. Touches nothing but the TLB.
 */
export function jit_read(linear: i64, size: i32): i32 {
  const at = truncated(linear);
  const table = table_in_use();
  if (table == TABLE_ALIGNED || !canonical(at) || !canonical(at + size - 1)) return 0;
  const place = place_of(at, ACCESS_READ, table);
  if (place == 0 || place == BUS) return 0;
  const first = 0x1000 - ((at as i32) & 0xfff);
  if (size <= first) return place;
  const next = place_of(next_page(at), ACCESS_READ, table);
  return next != BUS && next == place + first ? place : 0;
}

/** The same for writing; also left to the interpreter: what overwrites code. */
export function jit_write(linear: i64, size: i32): i32 {
  const at = truncated(linear);
  const table = table_in_use();
  if (table == TABLE_ALIGNED || !canonical(at) || !canonical(at + size - 1)) return 0;
  const place = place_of(at, ACCESS_WRITE, table);
  if (place == 0 || place == BUS) return 0;
  const first = 0x1000 - ((at as i32) & 0xfff);
  if (size <= first) return holds_code(place, size) ? 0 : place;
  const next = place_of(next_page(at), ACCESS_WRITE, table);
  if (next != place + first || next == BUS) return 0;
  return holds_code(place, first) || holds_code(next, size - first) ? 0 : place;
}

// @ts-ignore: decorator
@inline
function holds_code(place: u32, length: u32): bool {
  return (load<u64>(code_page(place), 8) & line_bits(place & 0xfff, length)) != 0;
}

/** Whether the code page at `linear` still lies at `place`, was not rewritten, and is run as it was (CODE_KEY). */
export function jit_still(linear: i64, place: i32, generation: i32, key: i32): i32 {
  const entry = tlb_entry(load<u32>(CPU, TLB_BASE), linear);
  return i32(
    load<i64>(entry, TLB_FETCH) == linear &&
      (linear as i32) + load<i32>(entry, TLB_ADDEND) == place &&
      load<i32>(code_page(place)) == generation &&
      load<i32>(CPU, CODE_KEY) == key,
  );
}

/** Whether instructions at `linear` are those that were translated. A fault to fetch them is recorded. */
export function jit_fetch(linear: i64, place: i32, generation: i32): i32 {
  return i32(fetch_probe(linear) == place && load<i32>(code_page(place)) == generation);
}

/**
 * Puts flags into their lazy form. `kind` is one of KIND_* in jit/flags.ts, plus the operand's size as a power
 * of two of bytes; `result` and `first` are the operation's result and first operand, zero-extended
 * (INC and DEC: CF before).
 */
export function jit_flags(kind: i32, result: i64, first: i64): void {
  const bits = 8 << (kind & 3);
  const shift: i64 = 64 - bits;
  const r = (result << shift) >> shift;
  if (kind >> 2 == 6) {
    const a = (result << shift) >> shift;
    const b = (first << shift) >> shift;
    const low = ((a * b) << shift) >> shift;
    const carry: u32 = bits == 64 ? u32(mul_s64_hi(a, b) != low >> 63) : u32(a * b != low);
    store<i64>(CPU, low, FLAG_RES);
    store<u32>(CPU, carry << 31, FLAG_AUX);
    return;
  }
  let carries: i64 = 0;
  switch (kind >> 2) {
    case 1: {
      const b = result - first;
      carries = (first & b) | ((first | b) & ~result);
      break;
    }
    case 2: {
      const b = first - result;
      carries = (~first & b) | ((~first | b) & result);
      break;
    }
    case 4: {
      const a = result - 1;
      carries = (a & 1) | ((a | 1) & ~result);
      break;
    }
    case 5: {
      const a = result + 1;
      carries = (~a & 1) | ((~a | 1) & result);
      break;
    }
  }
  let aux = ((carries << shift) >>> 32) as u32 & 0xc000_0000;
  if (kind >> 2 >= 4) {
    const overflow = (aux ^ (aux >> 1)) & 0x4000_0000;
    aux = ((first as u32) << 31) | ((((first as u32) << 30) ^ overflow) & 0x4000_0000);
  }
  store<i64>(CPU, r, FLAG_RES);
  store<u32>(CPU, aux | ((carries as u32) & 8), FLAG_AUX);
}
