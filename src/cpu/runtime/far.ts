/** Far JMP, CALL and RET. [SDM 2A CALL, JMP; 2B RET; 3A 5.8] */
import { CPU } from './env';
import { raise, raise_gp0, raise_selector } from './fault';
import { CPL, CS, ES, GS, NEXT_RIP, RIP, SEG_ATTRIBUTES, SEG_LIMIT, SEG_SELECTOR, SS } from './generated-layout';
import {
  attributes_of, bad_size_bits, descriptor_at, dpl_of, limit_of, mark_accessed, read_descriptor, read_upper_half,
  set_null_segment, set_real_segment, set_segment, set_vm86_segment,
} from './descriptor';
import { ATTR_L, ATTR_NULL, ATTR_P, ATTR_S, long_mode, segment, update_mode, uses_descriptors, vm86 } from './mode';
import { GP, NP, TS } from './private';
import { check_stack, is_canonical_address } from './segment';
import {
  set_stack_pointer, stack_64, stack_check, stack_commit, stack_current, stack_drop, stack_of, stack_peek,
  stack_push,
} from './stack';
import { inner_stack_pointer, inner_stack_selector, read_inner_stack, switch_task, TASK_CALL, TASK_JUMP } from './task';

const CONFORMING: u32 = 4;

// @ts-ignore: decorator
@inline
function width_mask(opsize: i32): u64 {
  return opsize == 64 ? -1 : opsize == 32 ? 0xffff_ffff : 0xffff;
}

export function selector_of(n: i32): i32 {
  return load<u16>(segment(n), SEG_SELECTOR);
}

/** Real-address and virtual-8086 code segments. */
export function set_paragraph_segment(n: i32, selector: i32): void {
  if (vm86()) set_vm86_segment(n, selector);
  else set_real_segment(n, selector);
}

/** A code segment that `cpl` may go to directly. */
function check_code(selector: i32, attributes: u32, cpl: i32): void {
  if ((attributes & 0x18) != 0x18 || bad_size_bits(attributes)) raise_selector(GP, selector);
  const dpl = dpl_of(attributes);
  if (attributes & CONFORMING) {
    if (dpl > cpl) raise_selector(GP, selector);
  } else if ((selector & 3) > cpl || dpl != cpl) {
    raise_selector(GP, selector);
  }
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
}

/** The new RIP must lie in the new segment: else #GP(`code`). */
export function check_target(d: u64, offset: u64, code: i32): void {
  if (long_mode() && attributes_of(d) & ATTR_L) {
    if (!is_canonical_address(offset)) raise(GP, 1, code);
  } else if (offset > (limit_of(d) as u64)) {
    raise(GP, 1, code);
  }
}

/** Commits CS at a privilege level, and RIP. */
export function enter_code(selector: i32, d: u64, cpl: i32, rip: u64): void {
  set_segment(CS, (selector & 0xfffc) | cpl, d);
  store<i32>(CPU, cpl, CPL);
  store<u64>(CPU, rip, RIP);
}

function real_target(offset: u64): void {
  if (offset > (load<u32>(segment(CS), SEG_LIMIT) as u64)) raise_gp0();
}

export function jmp_far(selector: i32, offset: i64, opsize: i32): void {
  selector &= 0xffff;
  const target = (offset as u64) & width_mask(opsize);
  if (!uses_descriptors()) {
    real_target(target);
    set_paragraph_segment(CS, selector);
    store<u64>(CPU, target, RIP);
    update_mode();
    return;
  }
  if (!(selector & ~3)) raise_gp0();
  const d = read_descriptor(selector, GP);
  const attributes = attributes_of(d);
  if (!(attributes & ATTR_S)) {
    far_system(selector, d, false);
    return;
  }
  const cpl = load<i32>(CPU, CPL);
  check_code(selector, attributes, cpl);
  check_target(d, target, 0);
  mark_accessed(descriptor_at, d);
  enter_code(selector, d, cpl, target);
  update_mode();
}

export function call_far(selector: i32, offset: i64, opsize: i32): void {
  selector &= 0xffff;
  const target = (offset as u64) & width_mask(opsize);
  const size = opsize >> 3;
  if (!uses_descriptors()) {
    real_target(target);
    stack_current();
    stack_check(2, size);
    stack_push(selector_of(CS), size);
    stack_push(load<u64>(CPU, NEXT_RIP), size);
    set_paragraph_segment(CS, selector);
    stack_commit();
    store<u64>(CPU, target, RIP);
    update_mode();
    return;
  }
  if (!(selector & ~3)) raise_gp0();
  const d = read_descriptor(selector, GP);
  const attributes = attributes_of(d);
  if (!(attributes & ATTR_S)) {
    far_system(selector, d, true);
    return;
  }
  const cpl = load<i32>(CPU, CPL);
  check_code(selector, attributes, cpl);
  const at = descriptor_at;
  stack_current();
  stack_check(2, size);
  check_target(d, target, 0);
  mark_accessed(at, d);
  stack_push(selector_of(CS), size);
  stack_push(load<u64>(CPU, NEXT_RIP), size);
  stack_commit();
  enter_code(selector, d, cpl, target);
  update_mode();
}

/** The target is a gate or a TSS. */
function far_system(selector: i32, d: u64, call: bool): void {
  const attributes = attributes_of(d);
  const type = attributes & 15;
  const dpl = dpl_of(attributes);
  const long = long_mode();
  const known = long ? type == 12 : type == 1 || type == 4 || type == 5 || type == 9 || type == 12;
  if (!known || dpl < load<i32>(CPU, CPL) || dpl < (selector & 3)) raise_selector(GP, selector);
  if (type == 4 || type == 12) {
    // The upper half's type is checked before presence.
    const upper = long ? read_upper_half(selector, GP) : 0;
    if (!(attributes & ATTR_P)) raise_selector(NP, selector);
    call_gate(d, upper, call);
    return;
  }
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  const tss = type == 5 ? ((d >> 16) as i32) & 0xffff : selector;
  switch_task(tss, call ? TASK_CALL : TASK_JUMP, load<u64>(CPU, NEXT_RIP), 0, 0, 0);
}

function call_gate(gate: u64, upper: u64, call: bool): void {
  const long = long_mode();
  const wide = (gate >> 43) & 1;
  const size = long ? 8 : wide ? 4 : 2;
  let offset = gate & 0xffff;
  if (wide) offset |= (gate >> 32) & 0xffff_0000;
  if (long) offset |= upper;
  const selector = ((gate >> 16) as i32) & 0xffff;
  if (!(selector & ~3)) raise_gp0();
  const d = read_descriptor(selector, GP);
  const at = descriptor_at;
  const attributes = attributes_of(d);
  const cpl = load<i32>(CPU, CPL);
  const dpl = dpl_of(attributes);
  if ((attributes & 0x18) != 0x18 || dpl > cpl) raise_selector(GP, selector);
  // In long mode gates lead to 64-bit code only.
  if (long && (attributes & 0x6000) != ATTR_L) raise_selector(GP, selector);
  const conforming = (attributes & CONFORMING) != 0;
  if (!call && !conforming && dpl != cpl) raise_selector(GP, selector);
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  if (call && !conforming && dpl < cpl) {
    inner_call(gate, selector, d, at, dpl, offset, size);
    return;
  }
  if (call) {
    stack_current();
    stack_check(2, size);
    check_target(d, offset, 0);
    mark_accessed(at, d);
    stack_push(selector_of(CS), size);
    stack_push(load<u64>(CPU, NEXT_RIP), size);
    stack_commit();
  } else {
    check_target(d, offset, 0);
    mark_accessed(at, d);
  }
  enter_code(selector, d, cpl, offset);
  update_mode();
}

/** A call through a gate to a more privileged level: the TSS gives the stack. [SDM 3A 5.8.5] */
function inner_call(gate: u64, selector: i32, d: u64, at: u64, dpl: i32, offset: u64, size: i32): void {
  const long = size == 8;
  const count = long ? 0 : ((gate >> 32) as i32) & 31;
  const oldSs = selector_of(SS);
  const oldSp = load<u64>(CPU, RSP_AT);
  read_inner_stack(dpl, 0);
  const ss = inner_stack_selector;
  // Parameters are read from the old stack before the new one is set up, the first pushed first.
  stack_current();
  for (let n = count - 1; n >= 0; n--) store<u32>(PARAMETERS + n * 4, stack_peek(n * size, size) as u32);
  let ssDescriptor: u64 = 0;
  let ssAt: u64 = 0;
  if (long) {
    stack_64(inner_stack_pointer, dpl);
  } else {
    if (!(ss & ~3)) raise(TS, 1, 0);
    ssDescriptor = read_descriptor(ss, TS);
    ssAt = descriptor_at;
    check_stack(ss, ssDescriptor, dpl, TS, 0);
    stack_of(ssDescriptor, inner_stack_pointer, dpl, ss & 0xfffc);
  }
  stack_check(4 + count, size);
  check_target(d, offset, 0);
  if (!long) mark_accessed(ssAt, ssDescriptor);
  mark_accessed(at, d);
  stack_push(oldSs, size);
  stack_push(oldSp, size);
  for (let n = count - 1; n >= 0; n--) stack_push(load<u32>(PARAMETERS + n * 4), size);
  stack_push(selector_of(CS), size);
  stack_push(load<u64>(CPU, NEXT_RIP), size);
  if (long) set_null_segment(SS, dpl, dpl);
  else set_segment(SS, ss, ssDescriptor);
  stack_commit();
  enter_code(selector, d, dpl, offset);
  update_mode();
}

/** Up to 31 parameters of a call gate on their way from stack to stack. */
const PARAMETERS: usize = memory.data(128);
const RSP_AT: i32 = 32;

/** Data segments that a less privileged level may not keep become null. [SDM 2B RET] */
export function drop_inner_segments(cpl: i32): void {
  for (let n = ES; n <= GS; n++) {
    if (n == CS || n == SS) continue;
    const attributes = load<u32>(segment(n), SEG_ATTRIBUTES);
    if (attributes & ATTR_NULL) continue;
    const conforming = (attributes & 0x1c) == 0x1c;
    if (!conforming && dpl_of(attributes) < cpl) set_null_segment(n, 0, 0);
  }
}

/** A return's code segment, at its RPL; also of IRET. Its descriptor is at descriptor_at. */
export function check_return_code(selector: i32): u64 {
  if (!(selector & ~3)) raise_gp0();
  const d = read_descriptor(selector, GP);
  const attributes = attributes_of(d);
  const rpl = selector & 3;
  if (rpl < load<i32>(CPU, CPL)) raise_selector(GP, selector);
  if ((attributes & 0x18) != 0x18 || bad_size_bits(attributes)) raise_selector(GP, selector);
  const dpl = dpl_of(attributes);
  if (attributes & CONFORMING ? dpl > rpl : dpl != rpl) raise_selector(GP, selector);
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  return d;
}

/** A return's stack segment, 0: null and permitted (64-bit code below CPL 3). */
export function check_return_stack(selector: i32, code: u64, cpl: i32): u64 {
  if (!(selector & ~3)) {
    const to64 = long_mode() && attributes_of(code) & ATTR_L;
    if (!to64 || cpl == 3 || (selector & 3) != cpl) raise_gp0();
    return 0;
  }
  const d = read_descriptor(selector, GP);
  check_stack(selector, d, cpl, GP, 0);
  return d;
}

/** Commits SS and RSP of a return; `d` 0: null. */
export function leave_to_stack(selector: i32, d: u64, cpl: i32, pointer: u64, to64: bool): void {
  if (d) set_segment(SS, selector, d);
  else set_null_segment(SS, selector, cpl);
  const big = load<u32>(segment(SS), SEG_ATTRIBUTES) & 0x4000;
  set_stack_pointer(pointer, to64 ? -1 : big ? 0xffff_ffff : 0xffff);
}

/** `extra`: bytes of parameters to drop. */
export function ret_far(opsize: i32, extra: i32): void {
  const size = opsize >> 3;
  stack_current();
  const rip = stack_peek(0, size);
  const selector = (stack_peek(size, size) as i32) & 0xffff;
  if (!uses_descriptors()) {
    real_target(rip);
    stack_drop(2 * size + extra);
    stack_commit();
    set_paragraph_segment(CS, selector);
    store<u64>(CPU, rip, RIP);
    update_mode();
    return;
  }
  const d = check_return_code(selector);
  const at = descriptor_at;
  const rpl = selector & 3;
  if (rpl == load<i32>(CPU, CPL)) {
    check_target(d, rip, 0);
    mark_accessed(at, d);
    stack_drop(2 * size + extra);
    stack_commit();
    enter_code(selector, d, rpl, rip);
    update_mode();
    return;
  }
  const sp = stack_peek(2 * size + extra, size);
  const ss = (stack_peek(3 * size + extra, size) as i32) & 0xffff;
  const ssDescriptor = check_return_stack(ss, d, rpl);
  const ssAt = descriptor_at;
  check_target(d, rip, 0);
  mark_accessed(at, d);
  if (ssDescriptor) mark_accessed(ssAt, ssDescriptor);
  const to64 = long_mode() && (attributes_of(d) & ATTR_L) != 0;
  enter_code(selector, d, rpl, rip);
  leave_to_stack(ss, ssDescriptor, rpl, sp, to64);
  // The parameters are dropped from the outer stack as well.
  if (extra) set_stack_pointer(sp + extra, to64 ? -1 : load<u32>(segment(SS), SEG_ATTRIBUTES) & 0x4000 ? 0xffff_ffff : 0xffff);
  drop_inner_segments(rpl);
  update_mode();
}
