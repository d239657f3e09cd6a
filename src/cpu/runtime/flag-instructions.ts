/** CLI, STI, PUSHF and POPF. VME and PVI are not offered. [SDM 2A, 2B] */
import { CPU } from './env';
import { raise_gp0 } from './fault';
import { read_eflags } from './flags';
import { CPL, EFLAGS, EVENT, EVENT_SHADOW, EVENT_SHADOW_SS } from './generated-layout';
import { write_flags } from './mode';
import { F_AC, F_DF, F_ID, F_IF, F_IOPL, F_NT, F_RF, F_STATUS, F_TF, F_VM } from './private';

/** CPL is 0 in real-address and 3 in virtual-8086 mode, so that one rule serves all modes. */
function may_change_if(): bool {
  return load<u32>(CPU, CPL) <= ((load<u32>(CPU, EFLAGS) >> 12) & 3);
}

export function cli(): void {
  if (!may_change_if()) raise_gp0();
  write_flags(0, F_IF);
}

/** Interrupts wait for one more instruction when they were off. */
export function sti(): void {
  if (!may_change_if()) raise_gp0();
  if (load<u32>(CPU, EFLAGS) & F_IF) return;
  write_flags(F_IF, F_IF);
  store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_SHADOW, EVENT);
}

/** After MOV SS and POP SS neither interrupts nor debug traps come before the next instruction. [SDM 3A 6.8.3] */
export function shadow_ss(): void {
  store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_SHADOW | EVENT_SHADOW_SS, EVENT);
}

/** Virtual-8086 programs need IOPL 3 for PUSHF and POPF. */
function check_vm86(): void {
  const flags = load<u32>(CPU, EFLAGS);
  if (flags & F_VM && (flags & F_IOPL) != F_IOPL) raise_gp0();
}

/** The image that PUSHF pushes: RF and VM read as 0. */
export function pushf_value(): u64 {
  check_vm86();
  return read_eflags() & ~(F_RF | F_VM);
}

/** `size` is the operand size in bits; RF is cleared, VM, VIF and VIP never change. */
export function popf(value: u64, size: i32): void {
  check_vm86();
  let mask = F_STATUS | F_TF | F_DF | F_NT;
  if (may_change_if()) mask |= F_IF;
  if (load<i32>(CPU, CPL) == 0) mask |= F_IOPL;
  if (size != 16) mask |= F_AC | F_ID;
  write_flags(u32(value) & ~F_RF, mask | F_RF);
}
