/** Delivery of interrupts and exceptions through the IVT or IDT. [SDM 3A 6.12-6.14, 20.3] */
import { CPU } from './env';
import { raise, raise_gp0, raise_selector } from './fault';
import { read_eflags } from './flags';
import {
  CPL, CS, DS, EFLAGS, ES, EXC_FAULT, EXC_SOFTWARE, FS, GS, IDTR, NEXT_RIP, RIP, SS,
} from './generated-layout';
import {
  attributes_of, descriptor_at, dpl_of, mark_accessed, read_descriptor, set_null_segment, set_real_segment, set_segment,
} from './descriptor';
import { check_target, enter_code, selector_of } from './far';
import { sys_rd16, sys_rd64 } from './mmu';
import { ATTR_L, ATTR_P, long_mode, protected_mode, update_mode, vm86, write_flags } from './mode';
import { BP, EXT, F_AC, F_IF, F_IOPL, F_NT, F_OF, F_RF, F_TF, F_VM, GP, NP, OF, STEP, STEP_TF, TS } from './private';
import { check_stack } from './segment';
import { RSP, stack_64, stack_check, stack_commit, stack_current, stack_of, stack_push } from './stack';
import { inner_stack_pointer, inner_stack_selector, read_inner_stack, switch_task, TASK_INTERRUPT } from './task';

/** Fault of an IDT entry: error code names the vector. */
function bad_gate(vector: i32, idt_vector: i32): void {
  raise(vector, 1, (idt_vector << 3) | 2 | load<i32>(CPU, EXT));
}

/** As EXC_SOFTWARE, but the gate's DPL does not matter: INT1. */
const EXC_INT1: i32 = 4;

function return_address(kind: i32): u64 {
  return kind == EXC_SOFTWARE || kind == EXC_INT1 ? load<u64>(CPU, NEXT_RIP) : load<u64>(CPU, RIP);
}

/**
 * Enters the handler of a vector. `kind` is EXC_*; `has_error`, `error`: the code to push. Faults
 * commit nothing.
 */
export function deliver(vector: i32, kind: i32, has_error: i32, error: i32): void {
  if (!protected_mode()) {
    deliver_real(vector, kind);
    return;
  }
  const long = long_mode();
  const at = vector << (long ? 4 : 3);
  if (at + (long ? 15 : 7) > load<i32>(CPU, IDTR + 8)) bad_gate(GP, vector);
  const idt = load<u64>(CPU, IDTR);
  const gate = sys_rd64(idt + at);
  const attributes = (gate >> 40) as u32 & 0xff;
  const type = attributes & 0x1f;
  const known = long ? type == 14 || type == 15 : type == 5 || type == 6 || type == 7 || type == 14 || type == 15;
  if (!known) bad_gate(GP, vector);
  if (kind == EXC_SOFTWARE && dpl_of(attributes) < load<i32>(CPU, CPL)) bad_gate(GP, vector);
  if (!(attributes & ATTR_P)) bad_gate(NP, vector);
  const selector = ((gate >> 16) as i32) & 0xffff;
  const rip = return_address(kind);
  const rf = kind == EXC_FAULT ? F_RF : 0;
  if (type == 5) {
    switch_task(selector, TASK_INTERRUPT, rip, rf, has_error, error);
    return;
  }
  let offset = gate & 0xffff;
  if (type & 8) offset |= (gate >> 32) & 0xffff_0000;
  let ist = 0;
  if (long) {
    offset |= sys_rd64(idt + at + 8) << 32;
    ist = ((gate >> 32) as i32) & 7;
  }
  const size = long ? 8 : type & 8 ? 4 : 2;
  enter_gate(selector, offset, size, ist, rip, read_eflags() | rf, has_error, error);
  write_flags(0, F_TF | F_NT | F_RF | F_VM | (type & 1 ? 0 : F_IF));
  update_mode();
}

function enter_gate(
  selector: i32, offset: u64, size: i32, ist: i32, rip: u64, flags: u32, has_error: i32, error: i32,
): void {
  const ext = load<i32>(CPU, EXT);
  if (!(selector & ~3)) raise(GP, 1, ext);
  const d = read_descriptor(selector, GP);
  const at = descriptor_at;
  const attributes = attributes_of(d);
  const cpl = load<i32>(CPU, CPL);
  const dpl = dpl_of(attributes);
  const vm = vm86();
  if ((attributes & 0x18) != 0x18 || dpl > cpl) raise_selector(GP, selector);
  if (size == 8 && (attributes & 0x6000) != ATTR_L) raise_selector(GP, selector);
  if (!(attributes & ATTR_P)) raise_selector(NP, selector);
  const inner = !(attributes & 4) && dpl < cpl;
  if (vm && (!inner || dpl != 0)) raise_selector(GP, selector);
  const level = inner ? dpl : cpl;
  const pushed_ss = selector_of(SS);
  const pushed_sp = load<u64>(CPU, RSP);
  let ss_descriptor: u64 = 0;
  let ss_at: u64 = 0;
  let ss = 0;
  if (size == 8) {
    let sp = pushed_sp;
    if (inner || ist) {
      read_inner_stack(dpl, ist);
      sp = inner_stack_pointer;
    }
    stack_64(sp & ~15, level);
  } else if (inner) {
    read_inner_stack(dpl, 0);
    ss = inner_stack_selector;
    if (!(ss & ~3)) raise(TS, 1, ext);
    ss_descriptor = read_descriptor(ss, TS);
    ss_at = descriptor_at;
    check_stack(ss, ss_descriptor, dpl, TS, ext);
    stack_of(ss_descriptor, inner_stack_pointer, dpl, (ss & 0xfffc) | ext);
  } else {
    stack_current();
  }
  const count = 3 + (has_error ? 1 : 0) + (inner || size == 8 ? 2 : 0) + (vm ? 4 : 0);
  stack_check(count, size);
  check_target(d, offset, ext);
  mark_accessed(at, d);
  if (ss_descriptor) mark_accessed(ss_at, ss_descriptor);
  if (vm) {
    stack_push(selector_of(GS), size);
    stack_push(selector_of(FS), size);
    stack_push(selector_of(DS), size);
    stack_push(selector_of(ES), size);
  }
  if (inner || size == 8) {
    stack_push(pushed_ss, size);
    stack_push(pushed_sp, size);
  }
  stack_push(flags, size);
  stack_push(selector_of(CS), size);
  stack_push(rip, size);
  if (has_error) stack_push(error as u32, size);
  if (inner) {
    if (size == 8) set_null_segment(SS, dpl, dpl);
    else set_segment(SS, ss, ss_descriptor);
  }
  stack_commit();
  if (vm) {
    for (let n = ES; n <= GS; n++) if (n != CS && n != SS) set_null_segment(n, 0, 0);
  }
  enter_code(selector, d, level, offset);
}

/** Real-address mode: the vector table is 4 bytes an entry, error codes are not pushed. */
function deliver_real(vector: i32, kind: i32): void {
  const at = vector << 2;
  if (at + 3 > load<i32>(CPU, IDTR + 8)) bad_gate(GP, vector);
  const ivt = load<u64>(CPU, IDTR) + at;
  const ip = sys_rd16(ivt);
  const cs = sys_rd16(ivt + 2);
  stack_current();
  stack_check(3, 2);
  stack_push(read_eflags() & 0xffff, 2);
  stack_push(selector_of(CS), 2);
  stack_push(return_address(kind), 2);
  stack_commit();
  set_real_segment(CS, cs);
  store<u64>(CPU, ip, RIP);
  write_flags(0, F_IF | F_TF | F_AC | F_RF);
  update_mode();
}

/** A software interrupt: its own single-step trap is lost with TF. [SDM 3B 17.3.1.4] */
function software(vector: i32): void {
  store<i32>(CPU, 0, EXT);
  deliver(vector, EXC_SOFTWARE, 0, 0);
  store<i32>(CPU, load<i32>(CPU, STEP) & ~STEP_TF, STEP);
}

/** INT n: in virtual-8086 mode only with IOPL 3. [SDM 3A 20.3] */
export function int_n(vector: i32): void {
  if (vm86() && (load<u32>(CPU, EFLAGS) & F_IOPL) != F_IOPL) raise_gp0();
  software(vector);
}

export function int3(): void {
  software(BP);
}

/** INTO: nothing unless OF is set. */
export function into(): void {
  if (read_eflags() & F_OF) software(OF);
  else store<u64>(CPU, load<u64>(CPU, NEXT_RIP), RIP);
}

/** INT1 (ICEBP): a #DB trap without a look at the gate's DPL, and without a DR6 bit. */
export function int1(): void {
  store<i32>(CPU, 1, EXT);
  deliver(1, EXC_INT1, 0, 0);
  store<i32>(CPU, 0, EXT);
}
