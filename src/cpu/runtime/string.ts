/**
 * String instructions. Each function runs as many iterations as a chunk allows and returns 1 when
 * the instruction is finished, 0 when iterations remain or a fault was recorded: RSI, RDI and RCX
 * are then as the manual wants them at an interrupt or fault in the middle, and the instruction is
 * run again from its start. [SDM 2B REP/REPE/REPZ/REPNE/REPNZ]
 *
 * `rep`: 0 none, 3 F3 (REP, REPE), 2 F2 (REPNE). `mask`: all ones in the address size. `seg`: offset of
 * the source's segment in the vCPU's area.
 */
import { CPU, io_in, io_out } from './env';
import { flags_of_sub } from './flags';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  ATTENTION,
  BOUNCE,
  CODE_MODE,
  EFLAGS,
  ES,
  EVENT,
  EVENT_STEP,
  FLAT,
  GPR,
  ICOUNT_LIMIT,
  LINEAR_MASK,
  SEGMENTS,
  SEGMENT_SIZE,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_CHECK,
  SEG_LIMIT,
  TLB_BASE,
  TLB_ENTRIES,
  TLB_WRITE,
} from './generated-layout';
import { commit, probe_read, probe_write } from './mmu';
import { check_io, watch_port } from './port';
import { seg_check } from './segment';

const RAX = 0;
const RCX = 8;
const RDX = 16;
const RSI = 48;
const RDI = 56;

const FLAG_DF = 0x400;

/** Iterations in one call: bounds how long an interrupt waits. */
const CHUNK: u64 = 4096;

// @ts-ignore: decorator
@inline
function reg(offset: i32): u64 {
  return load<u64>(CPU + GPR + offset);
}

/** Writes a register as an instruction of this address size does. */
function set_reg(offset: i32, value: u64, mask: u64): void {
  if (mask == 0xffff) store<u16>(CPU + GPR + offset, u16(value));
  else store<u64>(CPU + GPR + offset, value & mask);
}

/**
 * Iterations this call may do: 1 without REP, 0 when RCX is 0 already. With REP and addresses of 32
 * bits, processors clear the upper half of RCX even where they do nothing else.
 */
function allowance(rep: i32, mask: u64): u64 {
  if (!rep) return 1;
  set_reg(RCX, reg(RCX), mask);
  const count = reg(RCX) & mask;
  if (load<i32>(CPU + EVENT) & EVENT_STEP) return min<u64>(count, 1);
  if (count <= CHUNK) return count;
  // Nothing retires for long: iterations use up the budget, so that `run` comes back in time.
  const limit = load<u64>(CPU + ICOUNT_LIMIT);
  store<u64>(CPU + ICOUNT_LIMIT, limit - min(limit, CHUNK));
  return CHUNK;
}

/** Counts `n` iterations. */
function count_down(rep: i32, n: u64, mask: u64): void {
  if (rep) set_reg(RCX, reg(RCX) - n, mask);
}

/** What the function returns once its allowance is used up. */
// @ts-ignore: decorator
@inline
function finished(rep: i32, mask: u64): i32 {
  return i32(rep == 0 || (reg(RCX) & mask) == 0);
}

// @ts-ignore: decorator
@inline
function backwards(): bool {
  return (load<i32>(CPU + EFLAGS) & FLAG_DF) != 0;
}

function move(offset: i32, n: u64, size: i32, down: bool, mask: u64): void {
  const distance = n * size;
  set_reg(offset, down ? reg(offset) - distance : reg(offset) + distance, mask);
}

/** The destination's segment: ES, flat in 64-bit code. */
// @ts-ignore: decorator
@inline
function es_segment(): i32 {
  return SEGMENTS + (load<i32>(CPU + CODE_MODE) == 2 ? FLAT : ES) * SEGMENT_SIZE;
}

// @ts-ignore: decorator
@inline
function linear_of(seg: i32, ea: u64): u64 {
  return (load<u64>(CPU + seg + SEG_BASE) + ea) & load<u64>(CPU + LINEAR_MASK);
}

/** Checks one element against its segment; false: fault recorded. */
// @ts-ignore: decorator
@inline
function allowed(seg: i32, ea: u64, size: i32, access: i32): bool {
  return load<i32>(CPU + seg + SEG_CHECK) == 0 || seg_check(seg, ea, size, access) != 0;
}

/**
 * How many elements from `ea` on (downwards if `down`) stay in its page, its segment and the address
 * size; at least 1, the one that was checked.
 */
function run_length(seg: i32, ea: u64, size: i32, down: bool, mask: u64, most: u64): u64 {
  if (most <= 1) return most;
  const at = linear_of(seg, ea) & 0xfff;
  const bytes: u64 = size;
  if (at + bytes > 0x1000) return 1;
  let n = down ? at / bytes + 1 : (0x1000 - at) / bytes;
  // No wrap inside a run: offsets 0 and `mask` end it.
  const room = down ? ea / bytes + 1 : (mask - ea) / bytes;
  n = min(n, max<u64>(room, 1));
  if (load<i32>(CPU + seg + SEG_CHECK) != 0) {
    const attributes = load<i32>(CPU + seg + SEG_ATTRIBUTES);
    if ((attributes & 0xc) == 4) return 1; // expand-down data
    if (!down) {
      const limit: u64 = load<u32>(CPU + seg + SEG_LIMIT);
      n = min(n, max<u64>((limit + 1 - min(ea, limit + 1)) / bytes, 1));
    }
  }
  return min(n, most);
}

/** Whether all of the page at `linear` may be stored to directly. */
// @ts-ignore: decorator
@inline
function writes_fast(linear: u64): bool {
  const entry = load<i32>(CPU + TLB_BASE) + ((i32(linear >> 12) & (TLB_ENTRIES - 1)) << 5);
  return load<u64>(entry, TLB_WRITE) == (linear & ~0xfff);
}

// @ts-ignore: decorator
@inline
function load_element(at: i32, size: i32): u64 {
  switch (size) {
    case 1:
      return load<u8>(at);
    case 2:
      return load<u16>(at);
    case 4:
      return load<u32>(at);
    default:
      return load<u64>(at);
  }
}

// @ts-ignore: decorator
@inline
function store_element(at: i32, size: i32, value: u64): void {
  switch (size) {
    case 1:
      store<u8>(at, u8(value));
      break;
    case 2:
      store<u16>(at, u16(value));
      break;
    case 4:
      store<u32>(at, u32(value));
      break;
    default:
      store<u64>(at, value);
  }
}

/** Not a place in RAM: one element at a time, with a commit after stores. */
// @ts-ignore: decorator
@inline
function bounced(place: i32): bool {
  return place == i32(CPU) + BOUNCE;
}

/** Something wants attention between two iterations: a debug hit, an interrupt, a pause. */
// @ts-ignore: decorator
@inline
function disturbed(): bool {
  return (load<i32>(CPU + EVENT) | atomic.load<i32>(CPU + ATTENTION)) != 0;
}

export function movs(size: i32, rep: i32, mask: u64, seg: i32): i32 {
  const es = es_segment();
  if (rep) {
    // As RCX: see `allowance`.
    set_reg(RSI, reg(RSI), mask);
    set_reg(RDI, reg(RDI), mask);
  }
  const down = backwards();
  let left = allowance(rep, mask);
  while (left != 0) {
    const si = reg(RSI) & mask;
    const di = reg(RDI) & mask;
    if (!allowed(seg, si, size, ACCESS_READ)) return 0;
    const from = probe_read(linear_of(seg, si), size, seg);
    if (from == 0) return 0;
    const value = load_element(from, size);
    if (!allowed(es, di, size, ACCESS_WRITE)) return 0;
    const target = linear_of(es, di);
    const to = probe_write(target, size, es);
    if (to == 0) return 0;
    let n: u64 = 1;
    if (left > 1 && !bounced(from) && !bounced(to) && writes_fast(target)) {
      n = run_length(seg, si, size, down, mask, left);
      n = run_length(es, di, size, down, mask, n);
      // Elements are copied one after the other: a run must not read what it writes.
      const gap = down ? from - to : to - from;
      if (gap > 0) n = min(n, max<u64>(u64(gap) / size, 1));
    }
    if (n > 1) {
      const back = down ? i32(n - 1) * size : 0;
      memory.copy(to - back, from - back, usize(n) * size);
    } else {
      store_element(to, size, value);
      if (bounced(to)) commit();
    }
    move(RSI, n, size, down, mask);
    move(RDI, n, size, down, mask);
    count_down(rep, n, mask);
    left -= n;
    if (disturbed()) break;
  }
  return finished(rep, mask);
}

export function stos(size: i32, rep: i32, mask: u64): i32 {
  const es = es_segment();
  if (rep) set_reg(RDI, reg(RDI), mask);
  const down = backwards();
  const value = reg(RAX);
  let left = allowance(rep, mask);
  while (left != 0) {
    const di = reg(RDI) & mask;
    if (!allowed(es, di, size, ACCESS_WRITE)) return 0;
    const target = linear_of(es, di);
    const to = probe_write(target, size, es);
    if (to == 0) return 0;
    let n: u64 = 1;
    if (left > 1 && !bounced(to) && writes_fast(target)) {
      n = run_length(es, di, size, down, mask, left);
      fill(down ? to - i32(n - 1) * size : to, size, value, i32(n));
    } else {
      store_element(to, size, value);
      if (bounced(to)) commit();
    }
    move(RDI, n, size, down, mask);
    count_down(rep, n, mask);
    left -= n;
    if (disturbed()) break;
  }
  return finished(rep, mask);
}

/** `n` elements with the same value. */
function fill(to: i32, size: i32, value: u64, n: i32): void {
  const bits: u64 = size * 8;
  const unequal = ((value ^ (value << 8)) << (64 - bits)) >> (64 - bits) >> 8;
  if (unequal == 0) {
    // Every byte but the lowest repeats the byte below it.
    memory.fill(to, u8(value), n * size);
    return;
  }
  for (const end = to + n * size; to != end; to += size) store_element(to, size, value);
}

export function lods(size: i32, rep: i32, mask: u64, seg: i32): i32 {
  const down = backwards();
  let left = allowance(rep, mask);
  while (left != 0) {
    const si = reg(RSI) & mask;
    if (!allowed(seg, si, size, ACCESS_READ)) return 0;
    const from = probe_read(linear_of(seg, si), size, seg);
    if (from == 0) return 0;
    const value = load_element(from, size);
    if (size >= 4) store<u64>(CPU + GPR + RAX, value);
    else store_element(i32(CPU) + GPR + RAX, size, value);
    move(RSI, 1, size, down, mask);
    count_down(rep, 1, mask);
    left--;
    if (disturbed()) break;
  }
  return finished(rep, mask);
}

/**
 * Whether a comparing instruction is over after a pair. Flags are written only then: a fault in the
 * middle finds them as they were before the instruction. [SDM 2B REP]
 */
function decided(rep: i32, mask: u64, a: u64, b: u64): i32 {
  if (rep == 3 && a != b) return 1;
  if (rep == 2 && a == b) return 1;
  return finished(rep, mask);
}

export function scas(size: i32, rep: i32, mask: u64): i32 {
  const es = es_segment();
  const down = backwards();
  const all: u64 = size == 8 ? ~0 : (1 << (u64(size) * 8)) - 1;
  const a = reg(RAX) & all;
  let left = allowance(rep, mask);
  if (left == 0) return 1;
  let over = 0;
  let b: u64 = 0;
  while (left != 0 && !over) {
    const di = reg(RDI) & mask;
    if (!allowed(es, di, size, ACCESS_READ)) return 0;
    let from = probe_read(linear_of(es, di), size, es);
    if (from == 0) return 0;
    const most = bounced(from) ? 1 : run_length(es, di, size, down, mask, left);
    let n: u64 = 0;
    do {
      b = load_element(from, size);
      n++;
      from += down ? -size : size;
    } while (n < most && (a == b) == (rep == 3));
    move(RDI, n, size, down, mask);
    count_down(rep, n, mask);
    left -= n;
    over = decided(rep, mask, a, b);
    if (disturbed()) break;
  }
  if (over) flags_of_sub(size, a, b);
  return over;
}

export function cmps(size: i32, rep: i32, mask: u64, seg: i32): i32 {
  const es = es_segment();
  const down = backwards();
  let left = allowance(rep, mask);
  if (left == 0) return 1;
  let over = 0;
  let a: u64 = 0;
  let b: u64 = 0;
  while (left != 0 && !over) {
    const si = reg(RSI) & mask;
    const di = reg(RDI) & mask;
    // Where both fault it is the second operand's fault that processors report.
    if (!allowed(es, di, size, ACCESS_READ)) return 0;
    let second = probe_read(linear_of(es, di), size, es);
    if (second == 0) return 0;
    b = load_element(second, size);
    let direct = !bounced(second);
    if (!allowed(seg, si, size, ACCESS_READ)) return 0;
    let first = probe_read(linear_of(seg, si), size, seg);
    if (first == 0) return 0;
    a = load_element(first, size);
    direct = direct && !bounced(first);
    let most: u64 = 1;
    if (direct) {
      most = run_length(seg, si, size, down, mask, left);
      most = run_length(es, di, size, down, mask, most);
    }
    let n: u64 = 1;
    const step = down ? -size : size;
    while (n < most && (a == b) == (rep == 3)) {
      first += step;
      second += step;
      a = load_element(first, size);
      b = load_element(second, size);
      n++;
    }
    move(RSI, n, size, down, mask);
    move(RDI, n, size, down, mask);
    count_down(rep, n, mask);
    left -= n;
    over = decided(rep, mask, a, b);
    if (disturbed()) break;
  }
  if (over) flags_of_sub(size, a, b);
  return over;
}

/** INS: the destination is checked before the port is read. */
export function ins(size: i32, rep: i32, mask: u64): i32 {
  const es = es_segment();
  const down = backwards();
  const port = i32(reg(RDX) & 0xffff);
  // Permission counts even where RCX is 0.
  check_io(port, size);
  let left = allowance(rep, mask);
  if (left == 0) return 1;
  while (left != 0) {
    const di = reg(RDI) & mask;
    if (!allowed(es, di, size, ACCESS_WRITE)) return 0;
    const to = probe_write(linear_of(es, di), size, es);
    if (to == 0) return 0;
    store_element(to, size, io_in(port, size));
    if (bounced(to)) commit();
    watch_port(port, size);
    move(RDI, 1, size, down, mask);
    count_down(rep, 1, mask);
    left--;
    if (disturbed()) break;
  }
  return finished(rep, mask);
}

export function outs(size: i32, rep: i32, mask: u64, seg: i32): i32 {
  const down = backwards();
  const port = i32(reg(RDX) & 0xffff);
  // Permission counts even where RCX is 0.
  check_io(port, size);
  let left = allowance(rep, mask);
  if (left == 0) return 1;
  while (left != 0) {
    const si = reg(RSI) & mask;
    if (!allowed(seg, si, size, ACCESS_READ)) return 0;
    const from = probe_read(linear_of(seg, si), size, seg);
    if (from == 0) return 0;
    io_out(port, size, i32(load_element(from, size)));
    watch_port(port, size);
    move(RSI, 1, size, down, mask);
    count_down(rep, 1, mask);
    left--;
    if (disturbed()) break;
  }
  return finished(rep, mask);
}
