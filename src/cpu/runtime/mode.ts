import { CPU } from './env';
import { read_eflags, write_status_flags } from './flags';
import {
  CODE_BASE, CODE_EPOCH, CODE_KEY, CODE_MODE, CODE_TAG, CPL, CR0, CR3, CR4, CS, DELIVERING, DR, EFER, EFLAGS, ES, EVENT, EVENT_INACTIVE,
  EVENT_RECHECK, EVENT_STEP, ACTIVITY, DS, FLAT_SS, FS, GS, KEY_CODE, KEY_FLAT, KEY_STACK, LINEAR_MASK, MMX_TRAP, SEG_ATTRIBUTES, SEG_BASE, SEG_CHECK,
  SEG_LIMIT, SEGMENT_SIZE, SEGMENTS, SP_MASK, SS, SSE_TRAP, STACK_SEGMENT, TLB, TLB_BASE, TLB_TABLE_SIZE, X87_TRAP,
} from './generated-layout';
import {
  BOUNCE_MMIO, BREAKPOINTS, CR0_AM, CR0_EM, CR0_PE, CR0_PG, CR0_TS, CR4_OSFXSR, CR4_PAE, EFER_LMA, EXT, F_AC, F_IF, F_RF,
  F_STATUS, F_TF, F_VM, IRQ_WAITING, STEP, TABLE_ALIGNED, TABLE_SUPERVISOR, TABLE_USER,
} from './private';
import { system_table } from './mmu';
import { code_moved, flush_tlb_all, tlb_init } from './tlb';
import { load_pdptes } from './walk';

/** Attributes of a segment: bits of its descriptor, shifted right by 8. */
export const ATTR_S: u32 = 0x10;
export const ATTR_CODE: u32 = 8;
export const ATTR_P: u32 = 0x80;
export const ATTR_L: u32 = 0x2000;
export const ATTR_DB: u32 = 0x4000;
export const ATTR_NULL: u32 = 0x1_0000;

/** Address of a segment register's fields. */
// @ts-ignore: decorator
@inline
export function segment(n: i32): usize {
  return CPU + SEGMENTS + n * SEGMENT_SIZE;
}

// @ts-ignore: decorator
@inline
export function protected_mode(): bool {
  return (load<u64>(CPU, CR0) & CR0_PE) != 0;
}

// @ts-ignore: decorator
@inline
export function vm86(): bool {
  return (load<u32>(CPU, EFLAGS) & F_VM) != 0;
}

/** Protected mode with descriptors: not real-address and not virtual-8086 mode. */
// @ts-ignore: decorator
@inline
export function uses_descriptors(): bool {
  return protected_mode() && !vm86();
}

// @ts-ignore: decorator
@inline
export function long_mode(): bool {
  return (load<u64>(CPU, EFER) & EFER_LMA) != 0;
}

// @ts-ignore: decorator
@inline
export function code64(): bool {
  return load<i32>(CPU, CODE_MODE) == 2;
}

/** Whether accesses through a segment need seg_check: anything but flat, writable data. */
export function update_segment(n: i32): void {
  const at = segment(n);
  const attributes = load<u32>(at, SEG_ATTRIBUTES);
  let check: i32 = 0;
  if (load<i32>(CPU, CODE_MODE) == 2) check = 0;
  else if (load<u32>(at, SEG_LIMIT) != 0xffff_ffff) check = 1;
  else if (uses_descriptors()) {
    // Data, expand-up, writable; code is checked even when readable, for stores.
    if (attributes & ATTR_NULL || (attributes & 0xe) != 2) check = 1;
  }
  store<i32>(at, check, SEG_CHECK);
  if (n == SS) update_stack();
  update_key();
}

/** What translated code relies on: CODE_KEY. */
function update_key(): void {
  const mode = load<i32>(CPU, CODE_MODE);
  let key = mode;
  if (mode == 2) key |= KEY_CODE | KEY_STACK | (KEY_FLAT << ES) | (KEY_FLAT << CS) | (KEY_FLAT << SS) | (KEY_FLAT << DS);
  else {
    for (let n = ES; n <= DS; n++) {
      const at = segment(n);
      if (load<u64>(at, SEG_BASE) != 0) continue;
      // Reads through CS are checked, but a flat one has no limit.
      if (n == CS ? load<u32>(at, SEG_LIMIT) == 0xffff_ffff : !load<i32>(at, SEG_CHECK)) key |= KEY_FLAT << n;
    }
    if (key & (KEY_FLAT << CS)) key |= KEY_CODE;
    if (load<u32>(segment(SS), SEG_ATTRIBUTES) & ATTR_DB) key |= KEY_STACK;
  }
  if (key == load<i32>(CPU, CODE_KEY)) return;
  store<i32>(CPU, key, CODE_KEY);
  code_moved();
}

function update_stack(): void {
  const mask: u64 = load<i32>(CPU, CODE_MODE) == 2 ? -1
    : load<u32>(segment(SS), SEG_ATTRIBUTES) & ATTR_DB ? 0xffff_ffff : 0xffff;
  store<u64>(CPU, mask, SP_MASK);
}

/** Which table of the TLB explicit accesses use: after changes of CPL, AC, CR0.AM or CR4.SMAP. */
export function update_access(): void {
  const flags = load<u32>(CPU, EFLAGS);
  let table: i32;
  if (load<i32>(CPU, CPL) == 3) {
    table = flags & F_AC && load<u64>(CPU, CR0) & CR0_AM ? TABLE_ALIGNED : TABLE_USER;
  } else {
    table = flags & F_AC ? TABLE_SUPERVISOR : system_table();
  }
  store<u32>(CPU, (CPU as u32) + TLB + table * TLB_TABLE_SIZE, TLB_BASE);
}

/** EVENT_STEP: after changes of TF, RF or the breakpoints. */
// @ts-ignore: decorator
@inline
export function update_step(): void {
  const event = load<i32>(CPU, EVENT) & ~EVENT_STEP;
  const step = load<u32>(CPU, EFLAGS) & (F_TF | F_RF) || load<i32>(CPU, BREAKPOINTS);
  store<i32>(CPU, step ? event | EVENT_STEP : event, EVENT);
}

/**
 * Recomputes all that follows from CR0, CR4, EFER, RFLAGS, CPL and the segment registers. To be
 * called after any of them changed.
 */
export function update_mode(): void {
  const cs = segment(CS);
  const attributes = load<u32>(cs, SEG_ATTRIBUTES);
  const cr0 = load<u64>(CPU, CR0);
  const long = long_mode();
  const mode = long && attributes & ATTR_L ? 2 : attributes & ATTR_DB ? 1 : 0;
  store<i32>(CPU, mode, CODE_MODE);
  store<i64>(CPU, -1, CODE_TAG);
  store<i32>(CPU, (load<i32>(CPU, CODE_EPOCH) & ~3) | load<i32>(CPU, CPL), CODE_EPOCH);
  if (mode == 2) {
    store<u64>(CPU, 0, CODE_BASE);
    store<i64>(CPU, -1, LINEAR_MASK);
    store<i32>(segment(FS), 0, SEG_CHECK);
    store<i32>(segment(GS), 0, SEG_CHECK);
    store<i64>(CPU, -1, SP_MASK);
    store<i32>(CPU, SEGMENTS + FLAT_SS * SEGMENT_SIZE, STACK_SEGMENT);
  } else {
    store<u64>(CPU, load<u64>(cs, SEG_BASE), CODE_BASE);
    store<u64>(CPU, 0xffff_ffff, LINEAR_MASK);
    store<i32>(CPU, SEGMENTS + SS * SEGMENT_SIZE, STACK_SEGMENT);
    for (let n = ES; n <= GS; n++) update_segment(n);
  }
  update_key();
  update_access();
  const missing = cr0 & CR0_EM || !(load<u64>(CPU, CR4) & CR4_OSFXSR);
  const switched = cr0 & CR0_TS ? 7 : 0;
  store<i32>(CPU, missing ? 6 : switched, SSE_TRAP);
  store<i32>(CPU, cr0 & (CR0_EM | CR0_TS) ? 7 : 0, X87_TRAP);
  store<i32>(CPU, cr0 & CR0_EM ? 6 : switched, MMX_TRAP);
  update_step();
}

/** After DR7 changed: which breakpoints are on, and no watched page in the TLB. */
export function update_debug(): void {
  const control = load<u64>(CPU, DR + 0x38);
  let found = 0;
  for (let n = 0; n < 4; n++) {
    if (!((control >> (n * 2)) & 3)) continue;
    const kind = (control >> (16 + n * 4)) & 3;
    found |= kind == 1 || kind == 3 ? 1 << n : kind == 0 ? 0x10 : 0x20;
  }
  if (found == load<i32>(CPU, BREAKPOINTS) && !(found & 15)) return;
  store<i32>(CPU, found, BREAKPOINTS);
  flush_tlb_all();
  update_step();
}

/** After the whole state was written from outside: everything derived from it. */
export function after_restore(): void {
  tlb_init();
  store<i32>(CPU, 0, STEP);
  store<i32>(CPU, 0, EXT);
  store<i32>(CPU, 0, BOUNCE_MMIO);
  store<i32>(CPU, -1, DELIVERING);
  if (load<u64>(CPU, CR0) & CR0_PG && load<u64>(CPU, CR4) & CR4_PAE && !long_mode()) {
    load_pdptes(load<u64>(CPU, CR3));
  }
  store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_RECHECK, EVENT);
  store<i32>(CPU, 1, IRQ_WAITING);
  set_activity(load<i32>(CPU, ACTIVITY));
  update_debug();
  update_mode();
}

export function set_activity(activity: i32): void {
  store<i32>(CPU, activity, ACTIVITY);
  const event = load<i32>(CPU, EVENT);
  store<i32>(CPU, activity ? event | EVENT_INACTIVE : event & ~EVENT_INACTIVE, EVENT);
}

export function read_flags(): i64 {
  return read_eflags();
}

/**
 * Replaces the flags of `mask`. A VM change needs update_mode after it; everything else that follows
 * from the flags is done here.
 */
export function write_flags(value: i64, mask: i64): void {
  const old = read_eflags();
  let flags = (old & ~(mask as u32)) | ((value as u32) & (mask as u32));
  // RF only matters to execution breakpoints: without any, IRET need not step over an instruction.
  if (!(load<i32>(CPU, BREAKPOINTS) & 0x10)) flags &= ~F_RF;
  if (mask & F_STATUS) write_status_flags(flags);
  store<u32>(CPU, (flags & ~F_STATUS) | 2, EFLAGS);
  const changed = old ^ flags;
  if (!(changed & (F_IF | F_TF | F_RF | F_AC))) return;
  if (changed & (F_TF | F_RF)) update_step();
  if (changed & F_AC) update_access();
  if (flags & F_IF && load<i32>(CPU, IRQ_WAITING)) {
    store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_RECHECK, EVENT);
  }
}
