/** LAR, LSL, VERR, VERW: what a selector allows, without loading it. [SDM 2A LAR, LSL, 2B VERR] */
import { CPU } from './env';
import { raise_ud } from './fault';
import { CPL } from './generated-layout';
import { attributes_of, descriptor_at, dpl_of, find_descriptor, limit_of } from './descriptor';
import { sys_rd32, sys_rd64 } from './mmu';
import { ATTR_S, long_mode, uses_descriptors } from './mode';

/** System types that LAR accepts, a bit a type: outside long mode, and in it. */
const LAR_TYPES: u32 = 0x1a3e;
const LAR_TYPES_LONG: u32 = 0x1a04;
/** LSL: those with a limit. */
const LSL_TYPES: u32 = 0x0a0e;
const LSL_TYPES_LONG: u32 = 0x0a04;

let found: u64 = 0;

/** Whether the selector names a descriptor that CPL and RPL may see; it is `found` then. */
function visible(selector: i32): bool {
  if (!uses_descriptors()) raise_ud();
  selector &= 0xffff;
  if (!(selector & ~3) || !find_descriptor(selector)) return false;
  found = sys_rd64(descriptor_at);
  const attributes = attributes_of(found);
  // Conforming code is open to all.
  if ((attributes & 0x1c) == 0x1c) return true;
  const dpl = dpl_of(attributes);
  return load<i32>(CPU, CPL) <= dpl && (selector & 3) <= dpl;
}

function type_allowed(selector: i32, legacy: u32, long: u32): bool {
  const attributes = attributes_of(found);
  if (attributes & ATTR_S) return true;
  const type = attributes & 15;
  if (!(((long_mode() ? long : legacy) >> type) & 1)) return false;
  if (!long_mode()) return true;
  // 16-byte descriptors must be whole, with a type of 0 in the upper half.
  const at = descriptor_at;
  if (!find_descriptor((selector & 0xffff) + 8)) return false;
  return !((sys_rd32(at + 12) >> 8) & 0x1f);
}

/** The access rights as LAR gives them, -1: not accessible. */
export function lar(selector: i32): i64 {
  if (!visible(selector) || !type_allowed(selector, LAR_TYPES, LAR_TYPES_LONG)) return -1;
  return (found >> 32) & 0x00f0_ff00;
}

/** The limit in bytes, -1: not accessible. */
export function lsl(selector: i32): i64 {
  if (!visible(selector) || !type_allowed(selector, LSL_TYPES, LSL_TYPES_LONG)) return -1;
  return limit_of(found);
}

export function verr(selector: i32): i32 {
  if (!visible(selector)) return 0;
  const attributes = attributes_of(found);
  // Data, or code with the R bit.
  return i32((attributes & ATTR_S) != 0 && (attributes & 0xa) != 8);
}

export function verw(selector: i32): i32 {
  if (!visible(selector)) return 0;
  return i32((attributes_of(found) & 0x1a) == 0x12);
}
