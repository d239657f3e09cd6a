import { CPU } from './env';
import { raise, raise_gp0, raise_selector, raise_ud, set_fault } from './fault';
import {
  ACCESS_WRITE, CPL, CS, LDTR, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, SEGMENT_SIZE,
  SEGMENTS, SS, TR,
} from './generated-layout';
import {
  attributes_of, base_of, descriptor_at, dpl_of, limit_of, mark_accessed, read_descriptor,
  read_upper_half, set_null_segment, set_real_segment, set_segment, set_vm86_segment,
} from './descriptor';
import { sys_wr8 } from './mmu';
import {
  ATTR_CODE, ATTR_DB, ATTR_NULL, ATTR_P, ATTR_S, code64, long_mode, segment, update_segment,
  uses_descriptors, vm86,
} from './mode';
import { GP, NP, SS_FAULT } from './private';

/** Whether bytes [offset, offset + size) lie inside a segment. [SDM 3A 5.3] */
export function inside(attributes: u32, limit: u32, offset: u64, size: i32): bool {
  const last = offset + size - 1;
  // Expand-down data: valid from above the limit to the end the B flag gives.
  if ((attributes & 0x1c) == 0x14) {
    const end: u64 = attributes & ATTR_DB ? 0xffff_ffff : 0xffff;
    return offset > limit && last <= end;
  }
  // An access over the end of 4 GiB goes on at 0.
  return last <= (limit as u64) || limit == 0xffff_ffff;
}

/** The check of an access through a segment whose SEG_CHECK is set: 1 passes, 0 a fault is recorded. */
export function seg_check(segOffset: i32, ea: i64, size: i32, access: i32): i32 {
  const at = CPU + segOffset;
  const attributes = load<u32>(at, SEG_ATTRIBUTES);
  if (uses_descriptors()) {
    if (attributes & ATTR_NULL) return refuse(segOffset);
    if (access == ACCESS_WRITE) {
      if ((attributes & 0xa) != 2) return refuse(segOffset);
    } else if ((attributes & 0xa) == 8) {
      return refuse(segOffset);
    }
  }
  if (!inside(attributes, load<u32>(at, SEG_LIMIT), ea, size)) return refuse(segOffset);
  return 1;
}

function refuse(segOffset: i32): i32 {
  set_fault(segOffset == SEGMENTS + SS * SEGMENT_SIZE ? SS_FAULT : GP, 1, 0);
  return 0;
}

/** MOV, POP, LDS and kin: everything but CS. Commits nothing when it faults. [SDM 2B MOV] */
export function load_seg(n: i32, selector: i32): void {
  selector &= 0xffff;
  if (!uses_descriptors()) {
    if (vm86()) set_vm86_segment(n, selector);
    else set_real_segment(n, selector);
  } else if (n == SS) {
    load_stack_segment(selector);
  } else if (selector & ~3) {
    const d = read_descriptor(selector, GP);
    check_data(selector, d);
    mark_accessed(descriptor_at, d);
    set_segment(n, selector, d);
  } else {
    set_null_segment(n, selector, 0);
  }
  update_segment(n);
}

/** Data, or code that may be read, at a privilege that CPL and RPL may use. */
function check_data(selector: i32, d: u64): void {
  const attributes = attributes_of(d);
  if (!(attributes & ATTR_S) || (attributes & 0xa) == ATTR_CODE) raise_selector(GP, selector);
  if ((attributes & 0xc) != 0xc) {
    const dpl = dpl_of(attributes);
    if ((selector & 3) > dpl || load<i32>(CPU, CPL) > dpl) raise_selector(GP, selector);
  }
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
}

function load_stack_segment(selector: i32): void {
  const cpl = load<i32>(CPU, CPL);
  if (!(selector & ~3)) {
    if (!code64() || cpl == 3 || (selector & 3) != cpl) raise_gp0();
    set_null_segment(SS, selector, cpl);
    return;
  }
  const d = read_descriptor(selector, GP);
  check_stack(selector, d, cpl, GP, 0);
  mark_accessed(descriptor_at, d);
  set_segment(SS, selector, d);
}

/**
 * Writable data whose DPL and RPL are `cpl`: else `vector`(selector | ext); not present: #SS(selector |
 * ext).
 */
export function check_stack(selector: i32, d: u64, cpl: i32, vector: i32, ext: i32): void {
  const attributes = attributes_of(d);
  if ((selector & 3) != cpl || (attributes & 0x1a) != 0x12 || dpl_of(attributes) != cpl) {
    raise(vector, 1, (selector & 0xfffc) | ext);
  }
  if (!(attributes & ATTR_P)) raise(SS_FAULT, 1, (selector & 0xfffc) | ext);
}

function check_system_load(): void {
  if (!uses_descriptors()) raise_ud();
  if (load<i32>(CPU, CPL) != 0) raise_gp0();
}

function set_system_segment(n: i32, selector: i32, attributes: u32, limit: u32, base: u64): void {
  const at = segment(n);
  store<u16>(at, selector as u16, SEG_SELECTOR);
  store<u32>(at, attributes, SEG_ATTRIBUTES);
  store<u32>(at, limit, SEG_LIMIT);
  store<u64>(at, base, SEG_BASE);
}

// @ts-ignore: decorator
@inline
export function is_canonical_address(address: u64): bool {
  return (((address as i64) << 16) >> 16) == address;
}

export function lldt(selector: i32): void {
  check_system_load();
  selector &= 0xffff;
  if (!(selector & ~3)) {
    set_null_segment(LDTR, selector, 0);
    return;
  }
  if (selector & 4) raise_selector(GP, selector);
  const d = read_descriptor(selector, GP);
  const attributes = attributes_of(d);
  if ((attributes & 0x1f) != 2) raise_selector(GP, selector);
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  let base = base_of(d);
  if (long_mode()) base |= read_upper_half(selector, GP);
  if (!is_canonical_address(base)) raise_selector(GP, selector);
  set_system_segment(LDTR, selector, attributes, limit_of(d), base);
}

/** Sets or clears the busy bit of the TSS descriptor at `at`. May fault. */
export function mark_busy(at: u64, d: u64, busy: bool): void {
  const type = (d >> 40) as u32 & 0xff;
  sys_wr8(at + 5, busy ? type | 2 : type & ~2);
}

export function ltr(selector: i32): void {
  check_system_load();
  selector &= 0xffff;
  if (!(selector & ~3)) raise_gp0();
  if (selector & 4) raise_selector(GP, selector);
  const d = read_descriptor(selector, GP);
  const at = descriptor_at;
  const attributes = attributes_of(d);
  const type = attributes & 0x1f;
  const long = long_mode();
  if (type != 9 && (type != 1 || long)) raise_selector(GP, selector);
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  let base = base_of(d);
  if (long) base |= read_upper_half(selector, GP);
  if (!is_canonical_address(base)) raise_selector(GP, selector);
  mark_busy(at, d, true);
  set_system_segment(TR, selector, attributes | 2, limit_of(d), base);
}
