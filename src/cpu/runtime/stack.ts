/**
 * A stack that is being pushed to or popped from before anything is committed: the current one, or
 * the one of an inner privilege level or another task. The registers change only when the caller
 * takes `stack_pointer` over.
 */
import { CPU } from './env';
import { raise } from './fault';
import {
  CPL, EFLAGS, FLAT_SS, GPR, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEGMENT_SIZE, SEGMENTS, SP_MASK, SS, TLB, TLB_BASE,
  TLB_TABLE_SIZE,
} from './generated-layout';
import { attributes_of, base_of, limit_of } from './descriptor';
import { check_writable, table_for, table_read, table_write } from './mmu';
import { ATTR_DB, code64, segment } from './mode';
import { F_AC, SS_FAULT } from './private';
import { inside } from './segment';

export const RSP: i32 = GPR + 32;

const FLAT_STACK: i32 = SEGMENTS + FLAT_SS * SEGMENT_SIZE;

let base: u64 = 0;
let mask: u64 = 0;
let limit: u32 = 0;
let attributes: u32 = 0;
let flat: bool = false;
let table: i32 = 0;
let error: i32 = 0;
/** The whole register: bits above the mask stay as they were. */
export let stack_pointer: u64 = 0;

/** The current stack. */
export function stack_current(): void {
  const ss = segment(SS);
  flat = code64();
  base = flat ? 0 : load<u64>(ss, SEG_BASE);
  mask = load<u64>(CPU, SP_MASK);
  limit = load<u32>(ss, SEG_LIMIT);
  attributes = load<u32>(ss, SEG_ATTRIBUTES);
  table = (load<i32>(CPU, TLB_BASE) - (CPU as i32) - TLB) / TLB_TABLE_SIZE;
  error = 0;
  stack_pointer = load<u64>(CPU, RSP);
}

/** The stack that descriptor `d` describes, used at `cpl`; limit faults are #SS(`fault_code`). */
export function stack_of(d: u64, pointer: u64, cpl: i32, fault_code: i32): void {
  flat = false;
  base = base_of(d);
  limit = limit_of(d);
  attributes = attributes_of(d);
  mask = attributes & ATTR_DB ? 0xffff_ffff : 0xffff;
  table = table_for(cpl, false);
  error = fault_code;
  stack_pointer = pointer;
}

/** A flat stack of 64-bit code. */
export function stack_64(pointer: u64, cpl: i32): void {
  flat = true;
  base = 0;
  mask = -1;
  table = table_for(cpl, cpl == load<i32>(CPU, CPL) && (load<u32>(CPU, EFLAGS) & F_AC) != 0);
  error = 0;
  stack_pointer = pointer;
}

/** Linear address of stack offset `at`. */
// @ts-ignore: decorator
@inline
function linear_of(at: u64): u64 {
  return flat ? at : (base + at) & 0xffff_ffff;
}

/**
 * Raises unless `count` values of `size` bytes can be pushed. Pages are asked for as the pushes go: the
 * highest slot that cannot be written is the one that faults.
 */
export function stack_check(count: i32, size: i32): void {
  let at = stack_pointer;
  for (let n = 0; n < count && !flat; n++) {
    at -= size;
    if (!inside(attributes, limit, at & mask, size)) raise(SS_FAULT, 1, error);
  }
  at = stack_pointer;
  let page: u64 = -1;
  for (let n = 0; n < count; n++) {
    at -= size;
    const linear = linear_of(at & mask);
    if (linear >> 12 == page && (linear + size - 1) >> 12 == page) continue;
    check_writable(linear, size, table, FLAT_STACK);
    page = linear >> 12;
  }
}

/** Pushes; checked by stack_check before. */
export function stack_push(value: u64, size: i32): void {
  const next = (stack_pointer & ~mask) | ((stack_pointer - size) & mask);
  const linear = linear_of(next & mask);
  if (size == 8) table_write<u64>(linear, value, table, FLAT_STACK);
  else if (size == 4) table_write<u32>(linear, value as u32, table, FLAT_STACK);
  else table_write<u16>(linear, value as u16, table, FLAT_STACK);
  stack_pointer = next;
}

/** The value of `size` bytes `offset` bytes above the top. Nothing moves. */
export function stack_peek(offset: i32, size: i32): u64 {
  const at = (stack_pointer + offset) & mask;
  if (!flat && !inside(attributes, limit, at, size)) raise(SS_FAULT, 1, error);
  const linear = linear_of(at);
  if (size == 8) return table_read<u64>(linear, table, FLAT_STACK);
  if (size == 4) return table_read<u32>(linear, table, FLAT_STACK);
  return table_read<u16>(linear, table, FLAT_STACK);
}

/** Moves the top by `bytes` (popped). */
export function stack_drop(bytes: i32): void {
  stack_pointer = (stack_pointer & ~mask) | ((stack_pointer + bytes) & mask);
}

/** Takes the pointer over: 16-bit stacks leave the upper part of RSP alone. */
export function stack_commit(): void {
  set_stack_pointer(stack_pointer, mask);
}

export function set_stack_pointer(value: u64, width: u64): void {
  const old = load<u64>(CPU, RSP);
  store<u64>(CPU, width == 0xffff ? (old & ~0xffff) | (value & 0xffff) : value & width, RSP);
}
