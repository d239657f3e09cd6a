import { CPU } from './env';
import { raise_selector } from './fault';
import { CS, GDTR, LDTR, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR } from './generated-layout';
import { sys_rd64, sys_wr8 } from './mmu';
import { ATTR_NULL, long_mode, segment } from './mode';
import { GP } from './private';

/** Linear address of the descriptor that was found last. */
export let descriptor_at: u64 = 0;

/** Looks a selector up in GDT or LDT: false when it lies outside. [SDM 3A 3.4.2] */
export function find_descriptor(selector: i32): bool {
  let base: u64;
  let limit: u32;
  if (selector & 4) {
    const ldt = segment(LDTR);
    if (load<u32>(ldt, SEG_ATTRIBUTES) & ATTR_NULL) return false;
    base = load<u64>(ldt, SEG_BASE);
    limit = load<u32>(ldt, SEG_LIMIT);
  } else {
    base = load<u64>(CPU, GDTR);
    limit = load<u32>(CPU, GDTR + 8);
  }
  const offset: u32 = selector & 0xfff8;
  if ((offset as u64) + 7 > (limit as u64)) return false;
  descriptor_at = base + offset;
  return true;
}

/** The descriptor that a selector names; outside of its table: `vector`(selector). */
export function read_descriptor(selector: i32, vector: i32): u64 {
  if (!find_descriptor(selector)) raise_selector(vector, selector);
  return sys_rd64(descriptor_at);
}

/**
 * The upper half of a 16-byte system descriptor found just now: bits 63..32 of its base. Its type
 * field must be 0. [SDM 3A 8.2.3]
 */
export function read_upper_half(selector: i32, vector: i32): u64 {
  const at = descriptor_at;
  if (!find_descriptor((selector & 0xffff) + 8)) raise_selector(vector, selector);
  descriptor_at = at;
  const upper = sys_rd64(at + 8);
  if ((upper >> 40) & 0x1f) raise_selector(GP, selector);
  return upper << 32;
}

// @ts-ignore: decorator
@inline
export function attributes_of(d: u64): u32 {
  return ((d >> 40) as u32) & 0xf0ff;
}

// @ts-ignore: decorator
@inline
export function base_of(d: u64): u64 {
  return ((d >> 16) & 0xff_ffff) | ((d >> 56) << 24);
}

// @ts-ignore: decorator
@inline
export function limit_of(d: u64): u32 {
  const limit = ((d & 0xffff) | ((d >> 32) & 0xf_0000)) as u32;
  return (d >> 55) & 1 ? (limit << 12) | 0xfff : limit;
}

// @ts-ignore: decorator
@inline
export function dpl_of(attributes: u32): i32 {
  return (attributes >> 5) & 3;
}

/** Sets the accessed bit of a code or data descriptor at `at`. May fault. */
export function mark_accessed(at: u64, d: u64): void {
  if (!((d >> 40) & 1)) sys_wr8(at + 5, ((d >> 40) as u32 & 0xff) | 1);
}

/** Fills a segment register from its descriptor. */
export function set_segment(n: i32, selector: i32, d: u64): void {
  const at = segment(n);
  store<u16>(at, selector as u16, SEG_SELECTOR);
  store<u32>(at, attributes_of(d) | 1, SEG_ATTRIBUTES);
  store<u32>(at, limit_of(d), SEG_LIMIT);
  store<u64>(at, base_of(d), SEG_BASE);
}

/** A null selector makes the segment unusable. */
export function set_null_segment(n: i32, selector: i32, dpl: i32): void {
  const at = segment(n);
  store<u16>(at, selector as u16, SEG_SELECTOR);
  store<u32>(at, ATTR_NULL | (dpl << 5), SEG_ATTRIBUTES);
  store<u32>(at, 0, SEG_LIMIT);
  store<u64>(at, 0, SEG_BASE);
}

/** Virtual-8086 segments: 64 KiB of writable data of ring 3. [SDM 3A 20.2.1] */
export function set_vm86_segment(n: i32, selector: i32): void {
  const at = segment(n);
  store<u16>(at, selector as u16, SEG_SELECTOR);
  store<u32>(at, 0xf3, SEG_ATTRIBUTES);
  store<u32>(at, 0xffff, SEG_LIMIT);
  store<u64>(at, ((selector & 0xffff) as u64) << 4, SEG_BASE);
}

/**
 * Real-address mode changes selector and base only, so that limits set in protected mode stay ("unreal
 * mode"). What was unusable becomes a plain 64 KiB segment. [SDM 3A 9.9.2]
 */
export function set_real_segment(n: i32, selector: i32): void {
  const at = segment(n);
  store<u16>(at, selector as u16, SEG_SELECTOR);
  store<u64>(at, ((selector & 0xffff) as u64) << 4, SEG_BASE);
  const attributes = load<u32>(at, SEG_ATTRIBUTES);
  if (attributes & ATTR_NULL) {
    store<u32>(at, 0x93, SEG_ATTRIBUTES);
    store<u32>(at, 0xffff, SEG_LIMIT);
  } else if (n == CS) {
    store<u32>(at, (attributes & 0xf000 & ~0x2000) | 0x93, SEG_ATTRIBUTES);
  }
}

/** Whether a 64-bit code segment also claims to be 32-bit: never valid in long mode. */
export function bad_size_bits(attributes: u32): bool {
  return long_mode() && (attributes & 0x6000) == 0x6000;
}
