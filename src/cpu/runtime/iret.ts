/** IRET, IRETD and IRETQ. [SDM 2A IRET; 3A 6.12, 20.2] */
import { CPU } from './env';
import { raise_gp0 } from './fault';
import {
  CPL, CS, DS, EFLAGS, ES, EVENT, EVENT_RECHECK, FS, GS, NMI_STATE, RIP, SEG_LIMIT, SS,
} from './generated-layout';
import { attributes_of, descriptor_at, mark_accessed, set_vm86_segment } from './descriptor';
import {
  check_return_code, check_return_stack, check_target, drop_inner_segments, enter_code, leave_to_stack,
  set_paragraph_segment,
} from './far';
import { ATTR_L, code64, long_mode, protected_mode, segment, update_mode, vm86, write_flags } from './mode';
import { F_AC, F_DF, F_ID, F_IF, F_IOPL, F_NT, F_RF, F_STATUS, F_TF, F_VIF, F_VIP, F_VM } from './private';
import { set_stack_pointer, stack_commit, stack_current, stack_drop, stack_peek } from './stack';
import { return_from_task } from './task';

/** Flags that IRET loads at a CPL. `old` IOPL decides about IF. */
function flags_mask(size: i32, cpl: i32): u32 {
  let mask = F_STATUS | F_TF | F_DF | F_NT;
  if (size != 2) mask |= F_RF | F_AC | F_ID;
  const iopl: i32 = (load<u32>(CPU, EFLAGS) >> 12) & 3;
  if (cpl <= iopl) mask |= F_IF;
  if (cpl == 0) mask |= size != 2 ? F_IOPL | F_VIF | F_VIP : F_IOPL;
  return mask;
}

export function iret(opsize: i32): void {
  const size = opsize >> 3;
  // NMIs are unblocked even when the instruction faults [SDM 3A 6.7.1].
  const nmi = load<i32>(CPU, NMI_STATE);
  store<i32>(CPU, nmi & ~2, NMI_STATE);
  if (nmi == 3) store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_RECHECK, EVENT);
  const flags = load<u32>(CPU, EFLAGS);
  if (!protected_mode() || vm86()) {
    iret_paragraph(size);
    return;
  }
  if (flags & F_NT) {
    if (long_mode()) raise_gp0();
    return_from_task();
    return;
  }
  stack_current();
  const rip = stack_peek(0, size);
  const selector = (stack_peek(size, size) as i32) & 0xffff;
  const image = stack_peek(2 * size, size) as u32;
  const cpl = load<i32>(CPU, CPL);
  if (image & F_VM && size == 4 && cpl == 0 && !long_mode()) {
    iret_to_vm86(rip, selector, image);
    return;
  }
  const d = check_return_code(selector);
  const at = descriptor_at;
  const rpl = selector & 3;
  const mask = flags_mask(size, cpl);
  if (rpl == cpl && !code64()) {
    check_target(d, rip, 0);
    mark_accessed(at, d);
    stack_drop(3 * size);
    stack_commit();
    enter_code(selector, d, rpl, rip);
  } else {
    const sp = stack_peek(3 * size, size);
    const ss = (stack_peek(4 * size, size) as i32) & 0xffff;
    const ssDescriptor = check_return_stack(ss, d, rpl);
    const ssAt = descriptor_at;
    check_target(d, rip, 0);
    mark_accessed(at, d);
    if (ssDescriptor) mark_accessed(ssAt, ssDescriptor);
    enter_code(selector, d, rpl, rip);
    leave_to_stack(ss, ssDescriptor, rpl, sp, long_mode() && (attributes_of(d) & ATTR_L) != 0);
    if (rpl != cpl) drop_inner_segments(rpl);
  }
  write_flags(image, mask);
  update_mode();
}

/** Real-address mode, and virtual-8086 mode with IOPL 3. */
function iret_paragraph(size: i32): void {
  const vm = vm86();
  if (vm && (load<u32>(CPU, EFLAGS) & F_IOPL) != F_IOPL) raise_gp0();
  stack_current();
  const rip = stack_peek(0, size);
  const selector = (stack_peek(size, size) as i32) & 0xffff;
  const image = stack_peek(2 * size, size) as u32;
  if (rip > (load<u32>(segment(CS), SEG_LIMIT) as u64)) raise_gp0();
  stack_drop(3 * size);
  stack_commit();
  set_paragraph_segment(CS, selector);
  store<u64>(CPU, rip, RIP);
  let mask = F_STATUS | F_TF | F_DF | F_NT | F_IF;
  if (size == 4) mask |= F_RF | F_AC | F_ID;
  if (!vm) mask |= F_IOPL;
  write_flags(image, mask);
  update_mode();
}

function iret_to_vm86(rip: u64, cs: i32, image: u32): void {
  const sp = stack_peek(12, 4);
  const ss = stack_peek(16, 4) as i32;
  const es = stack_peek(20, 4) as i32;
  const ds = stack_peek(24, 4) as i32;
  const fs = stack_peek(28, 4) as i32;
  const gs = stack_peek(32, 4) as i32;
  if (rip > 0xffff) raise_gp0();
  set_vm86_segment(CS, cs);
  set_vm86_segment(SS, ss);
  set_vm86_segment(ES, es);
  set_vm86_segment(DS, ds);
  set_vm86_segment(FS, fs);
  set_vm86_segment(GS, gs);
  set_stack_pointer(sp, 0xffff_ffff);
  store<i32>(CPU, 3, CPL);
  store<u64>(CPU, rip, RIP);
  write_flags(image, F_STATUS | F_TF | F_IF | F_DF | F_IOPL | F_NT | F_RF | F_VM | F_AC | F_VIF | F_VIP | F_ID);
  update_mode();
}
