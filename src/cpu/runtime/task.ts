/** Hardware task switches and the stacks that a TSS names. [SDM 3A 7.2-7.3] */
import { CPU } from './env';
import { raise, raise_gp0, raise_selector } from './fault';
import { read_eflags } from './flags';
import {
  CPL, CR0, CR3, CR4, CS, DEBUG_HITS, DR, DS, ES, EVENT, EVENT_DEBUG, FS, GPR, GS, LDTR, NEXT_RIP, RIP,
  SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, SS, TR,
} from './generated-layout';
import {
  attributes_of, base_of, descriptor_at, dpl_of, find_descriptor, limit_of, mark_accessed, read_descriptor,
  set_null_segment, set_segment, set_vm86_segment,
} from './descriptor';
import { check_writable, sys_rd16, sys_rd32, sys_rd64, sys_wr16, sys_wr32, system_table } from './mmu';
import { ATTR_P, ATTR_S, long_mode, segment, update_debug, update_mode, write_flags } from './mode';
import { CR0_PG, CR0_TS, CR4_PAE, EXT, F_NT, F_VM, GP, NP, TS } from './private';
import { check_stack, mark_busy } from './segment';
import { stack_check, stack_commit, stack_current, stack_push } from './stack';
import { flush_tlb_nonglobal } from './tlb';
import { load_pdptes } from './walk';

export const TASK_JUMP: i32 = 0;
export const TASK_CALL: i32 = 1;
export const TASK_INTERRUPT: i32 = 2;
export const TASK_RETURN: i32 = 3;

export let inner_stack_selector: i32 = 0;
export let inner_stack_pointer: u64 = 0;

/** The stack of a privilege level, or (long mode) of an interrupt stack table entry. */
export function read_inner_stack(dpl: i32, ist: i32): void {
  const tr = segment(TR);
  const base = load<u64>(tr, SEG_BASE);
  const limit = load<u32>(tr, SEG_LIMIT);
  const selector: i32 = load<u16>(tr, SEG_SELECTOR);
  const long = long_mode();
  const wide = (load<u32>(tr, SEG_ATTRIBUTES) & 8) != 0;
  const offset: u32 = long ? (ist ? 0x1c + ist * 8 : 4 + dpl * 8) : wide ? 4 + dpl * 8 : 2 + dpl * 4;
  const last = offset + (long || wide ? 7 : 3);
  if (last > limit) raise_selector(TS, selector);
  if (long) {
    inner_stack_pointer = sys_rd64(base + offset);
    inner_stack_selector = dpl;
  } else if (wide) {
    inner_stack_pointer = sys_rd32(base + offset);
    inner_stack_selector = sys_rd16(base + offset + 4);
  } else {
    inner_stack_pointer = sys_rd16(base + offset);
    inner_stack_selector = sys_rd16(base + offset + 2);
  }
}

/** Order of ES CS SS DS FS GS in a TSS is that of our numbers. */
const IMAGE: usize = memory.data(64);

/**
 * Leaves the current task for the one whose TSS `selector` names. `rip` is where the old one goes
 * on, `rf` is or-ed to its saved flags. Up to the commit everything faults in the old task, later
 * faults belong to the new one. [SDM 3A 7.3]
 */
export function switch_task(selector: i32, source: i32, rip: u64, rf: u32, has_error: i32, error: i32): void {
  const bad = source == TASK_RETURN ? TS : GP;
  if (selector & 4 || !(selector & ~3)) raise_selector(bad, selector);
  const d = read_descriptor(selector, bad);
  const at = descriptor_at;
  const attributes = attributes_of(d);
  const type = attributes & 0x1f;
  const busy: u32 = source == TASK_RETURN ? 2 : 0;
  if ((type & ~8) != (1 | busy)) raise_selector(bad, selector);
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  const wide = (type & 8) != 0;
  if (limit_of(d) < (wide ? 0x67 : 0x2b)) raise_selector(TS, selector);
  const base = base_of(d);

  // The whole new state, before anything changes.
  const cr3: u64 = wide ? sys_rd32(base + 28) : 0;
  const eip: u64 = wide ? sys_rd32(base + 32) : sys_rd16(base + 14);
  let flags: u32 = wide ? sys_rd32(base + 36) : sys_rd16(base + 16);
  for (let n: u64 = 0; n < 8; n++) {
    const value = wide ? sys_rd32(base + 40 + n * 4) : sys_rd16(base + 18 + n * 2) | 0xffff_0000;
    store<u32>(IMAGE + ((n * 4) as usize), value);
  }
  for (let n: u64 = 0; n < 6; n++) {
    const value = wide ? sys_rd16(base + 72 + n * 4) : n < 4 ? sys_rd16(base + 34 + n * 2) : 0;
    store<u32>(IMAGE + 32 + ((n * 4) as usize), value);
  }
  const ldt: i32 = wide ? sys_rd16(base + 96) : sys_rd16(base + 42);
  const trap: u32 = wide ? sys_rd16(base + 100) & 1 : 0;

  // All that will be written must be writable.
  const tr = segment(TR);
  const old = load<u64>(tr, SEG_BASE);
  const old_wide = (load<u32>(tr, SEG_ATTRIBUTES) & 8) != 0;
  const old_selector: i32 = load<u16>(tr, SEG_SELECTOR);
  const table = system_table();
  const nested = source == TASK_CALL || source == TASK_INTERRUPT;
  check_writable(old + (old_wide ? 32 : 14), old_wide ? 64 : 28, table, 0);
  check_writable(at + 5, 1, table, 0);
  if (nested) check_writable(base, 2, table, 0);
  let old_at: u64 = 0;
  if (!nested) {
    if (!find_descriptor(old_selector)) raise_selector(TS, old_selector);
    old_at = descriptor_at;
    check_writable(old_at + 5, 1, table, 0);
  }
  const paging = (load<u64>(CPU, CR0) & CR0_PG) != 0;
  if (wide && paging && load<u64>(CPU, CR4) & CR4_PAE && !load_pdptes(cr3)) raise_gp0();

  let old_flags = read_eflags() | rf;
  if (source == TASK_RETURN) old_flags &= ~F_NT;
  if (!nested) mark_busy(old_at, sys_rd64(old_at), false);
  save_task(old, old_wide, rip, old_flags);
  if (nested) {
    sys_wr16(base, old_selector);
    flags |= F_NT;
  }
  if (source != TASK_RETURN) mark_busy(at, d, true);

  // From here on we are in the new task.
  store<u16>(tr, selector as u16, SEG_SELECTOR);
  store<u32>(tr, attributes | 2, SEG_ATTRIBUTES);
  store<u32>(tr, limit_of(d), SEG_LIMIT);
  store<u64>(tr, base, SEG_BASE);
  store<u64>(CPU, load<u64>(CPU, CR0) | CR0_TS, CR0);
  if (wide && paging) {
    store<u64>(CPU, cr3, CR3);
    flush_tlb_nonglobal();
  }
  for (let n = 0; n < 8; n++) {
    store<u64>(CPU + (n << 3), load<u32>(IMAGE + (n << 2)) as u64, GPR);
  }
  store<u64>(CPU, eip, RIP);
  store<u64>(CPU, eip, NEXT_RIP);
  store<u64>(CPU, load<u64>(CPU, DR + 0x38) & ~0x155, DR + 0x38);
  update_debug();
  if (trap) {
    store<i32>(CPU, load<i32>(CPU, DEBUG_HITS) | 0x8000, DEBUG_HITS);
    store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_DEBUG, EVENT);
  }
  write_flags(flags, 0x3f_7fd5);
  load_task_segments(ldt, flags);
  if (eip > (load<u32>(segment(CS), SEG_LIMIT) as u64)) raise(GP, 1, load<i32>(CPU, EXT));
  if (has_error) {
    stack_current();
    stack_check(1, wide ? 4 : 2);
    stack_push(error, wide ? 4 : 2);
    stack_commit();
  }
  update_mode();
}

function save_task(at: u64, wide: bool, rip: u64, flags: u32): void {
  if (wide) {
    sys_wr32(at + 32, rip as u32);
    sys_wr32(at + 36, flags);
    for (let n: u64 = 0; n < 8; n++) sys_wr32(at + 40 + n * 4, load<u32>(CPU + (n << 3) as usize, GPR));
    for (let n = ES; n <= GS; n++) sys_wr16(at + 72 + n * 4, load<u16>(segment(n), SEG_SELECTOR));
  } else {
    sys_wr16(at + 14, rip as u32);
    sys_wr16(at + 16, flags);
    for (let n: u64 = 0; n < 8; n++) sys_wr16(at + 18 + n * 2, load<u16>(CPU + (n << 3) as usize, GPR));
    for (let n = ES; n <= DS; n++) sys_wr16(at + 34 + n * 2, load<u16>(segment(n), SEG_SELECTOR));
  }
}

function image_selector(n: i32): i32 {
  return load<i32>(IMAGE + 32 + (n << 2));
}

/** Selectors first, unusable; then each is checked and filled. */
function load_task_segments(ldt: i32, flags: u32): void {
  const vm = (flags & F_VM) != 0;
  const cpl = vm ? 3 : image_selector(CS) & 3;
  store<i32>(CPU, cpl, CPL);
  set_null_segment(LDTR, ldt, 0);
  for (let n = ES; n <= GS; n++) {
    if (vm) set_vm86_segment(n, image_selector(n));
    else set_null_segment(n, image_selector(n), n == SS ? cpl : 0);
  }
  update_mode();
  if (ldt & ~3) load_task_ldt(ldt);
  if (vm) return;
  load_task_stack(image_selector(SS), cpl);
  load_task_code(image_selector(CS), cpl);
  for (let n = ES; n <= GS; n++) {
    if (n != CS && n != SS) load_task_data(n, image_selector(n), cpl);
  }
  update_mode();
}

function load_task_ldt(selector: i32): void {
  if (selector & 4) raise_selector(TS, selector);
  const d = read_descriptor(selector, TS);
  const attributes = attributes_of(d);
  if ((attributes & 0x1f) != 2 || !(attributes & ATTR_P)) raise_selector(TS, selector);
  const at = segment(LDTR);
  store<u32>(at, attributes, SEG_ATTRIBUTES);
  store<u32>(at, limit_of(d), SEG_LIMIT);
  store<u64>(at, base_of(d), SEG_BASE);
}

function load_task_code(selector: i32, cpl: i32): void {
  if (!(selector & ~3)) raise_selector(TS, selector);
  const d = read_descriptor(selector, TS);
  const attributes = attributes_of(d);
  if ((attributes & 0x18) != 0x18) raise_selector(TS, selector);
  const dpl = dpl_of(attributes);
  if (attributes & 4 ? dpl > cpl : dpl != cpl) raise_selector(TS, selector);
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  mark_accessed(descriptor_at, d);
  set_segment(CS, selector, d);
}

function load_task_stack(selector: i32, cpl: i32): void {
  if (!(selector & ~3)) raise_selector(TS, selector);
  const d = read_descriptor(selector, TS);
  check_stack(selector, d, cpl, TS, load<i32>(CPU, EXT));
  mark_accessed(descriptor_at, d);
  set_segment(SS, selector, d);
}

function load_task_data(n: i32, selector: i32, cpl: i32): void {
  if (!(selector & ~3)) return;
  const d = read_descriptor(selector, TS);
  const attributes = attributes_of(d);
  if (!(attributes & ATTR_S) || (attributes & 0xa) == 8) raise_selector(TS, selector);
  if ((attributes & 0xc) != 0xc) {
    const dpl = dpl_of(attributes);
    if ((selector & 3) > dpl || cpl > dpl) raise_selector(TS, selector);
  }
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  mark_accessed(descriptor_at, d);
  set_segment(n, selector, d);
}

/** IRET with NT set: back to the task that the TSS's link names. */
export function return_from_task(): void {
  const link = sys_rd16(load<u64>(segment(TR), SEG_BASE));
  switch_task(link, TASK_RETURN, load<u64>(CPU, NEXT_RIP), 0, 0, 0);
}
