import { CPU, unwind } from './env';
import { set_fault } from './fault';
import {
  ACCESS_FETCH, ACCESS_READ, ACCESS_WRITE, BOUNCE, BOUNCE_BYTES, BOUNCE_LINEAR, BOUNCE_PHYS1,
  BOUNCE_PHYS2, CR0, CR4, DEBUG_HITS, DR, EFER, EVENT, EVENT_DEBUG, FLAT, FLAT_SS, LINEAR_MASK, PHYS_MAP,
  PHYS_READ, PHYS_WRITE, SEGMENT_SIZE, SEGMENTS, SS, TLB, TLB_ADDEND, TLB_BASE, TLB_FETCH, TLB_FLAGS, TLB_READ,
  TLB_TABLE_SIZE, TLB_WRITE,
} from './generated-layout';
import { a20, before_store, bus_read, bus_write, log_write, phys_word } from './physical';
import {
  AC, BOUNCE_FIRST, BOUNCE_MMIO, BREAKPOINTS, CR0_PG, CR4_SMAP, EFER_LMA, GP, SS_FAULT,
  TABLE_ALIGNED, TABLE_SMAP, TABLE_SUPERVISOR, TABLE_USER, TLBF_WRITABLE, UD,
} from './private';
import { drop_page, tlb_entry, tlb_insert } from './tlb';
import { walk, walk_dirty, walk_flags, walk_identity, walk_physical, walk_rights } from './walk';

/** `resolve` found no memory: the bus answers at walk_physical. */
export const BUS: i32 = -1;

const FLAT_SEGMENT: i32 = SEGMENTS + FLAT * SEGMENT_SIZE;

/** Whether any data breakpoint lies in the page. */
function watched(linear: u64): bool {
  for (let n = 0; n < 4; n++) {
    if (!(load<i32>(CPU, BREAKPOINTS) & (1 << n))) continue;
    if ((load<u64>(CPU + (n << 3), DR) ^ linear) >> 12 == 0) return true;
  }
  return false;
}

/** Notes the data breakpoints that an access touches [SDM 3B 17.2.5]. */
function check_breakpoints(linear: u64, size: i32, access: i32): void {
  const enabled = load<i32>(CPU, BREAKPOINTS);
  const control = load<u64>(CPU, DR + 0x38);
  for (let n = 0; n < 4; n++) {
    if (!(enabled & (1 << n))) continue;
    const field = (control >> (16 + n * 4)) as i32;
    if ((field & 3) == 1 && access != ACCESS_WRITE) continue;
    const code = (field >> 2) & 3;
    const length: u64 = code == 2 ? 8 : code + 1;
    const at = load<u64>(CPU + (n << 3), DR) & ~(length - 1);
    if (at >= linear + size || linear >= at + length) continue;
    store<i32>(CPU, load<i32>(CPU, DEBUG_HITS) | (1 << n), DEBUG_HITS);
    store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_DEBUG, EVENT);
  }
}

/**
 * Where the byte at `linear` is for an access of this kind: its place, BUS, or 0 with the fault
 * recorded. Enters the page in the TLB. Writing: the page counts as dirty from here on.
 */
function resolve(linear: u64, access: i32, table: i32): i32 {
  const aligned = table == TABLE_ALIGNED;
  if (aligned) table = TABLE_USER;
  if (!(load<u64>(CPU, CR0) & CR0_PG)) walk_identity(linear);
  else if (!walk(linear, access, table)) {
    drop_page(table, linear);
    return 0;
  }
  const physical = a20(walk_physical);
  let map = phys_word(physical);
  if (access == ACCESS_WRITE && map & PHYS_WRITE) log_write(physical, map);
  if (map & PHYS_READ) {
    let rights = walk_rights;
    if (!walk_dirty) rights &= 5;
    if (load<i32>(CPU, BREAKPOINTS) & 15 && watched(linear)) rights &= 4;
    tlb_insert(table, linear, rights, map, PHYS_MAP + (((physical >> 12) as u32) << 2), walk_flags);
  }
  if (!(map & (access == ACCESS_WRITE ? PHYS_WRITE : PHYS_READ))) return BUS;
  return (map & ~0xfff) + ((physical as i32) & 0xfff);
}

/** The same, asking the TLB first; of use for the parts of an access across pages. */
// @ts-ignore: decorator
@inline
export function place_of(linear: u64, access: i32, table: i32): i32 {
  if (table != TABLE_ALIGNED) {
    const entry = tlb_entry(CPU + TLB + table * TLB_TABLE_SIZE, linear);
    const fits = load<u64>(entry, TLB_READ) == (linear & ~0xfff);
    if (fits && (access == ACCESS_READ || load<i32>(entry, TLB_FLAGS) & TLBF_WRITABLE)) {
      return (linear as i32) + load<i32>(entry, TLB_ADDEND);
    }
  }
  return resolve(linear, access, table);
}

// @ts-ignore: decorator
@inline
export function canonical(linear: u64): bool {
  return (((linear as i64) << 16) >> 16) == linear;
}

function not_canonical(seg: i32): i32 {
  const stack = seg == SEGMENTS + SS * SEGMENT_SIZE || seg == SEGMENTS + FLAT_SS * SEGMENT_SIZE;
  set_fault(stack ? SS_FAULT : GP, 1, 0);
  return 0;
}

/** Alignment that #AC asks for: that of the widest part [SDM 3A table 6-7]. */
function misaligned(linear: u64, size: i32): bool {
  const unit = size >= 16 ? 1 : size >= 8 ? 8 : size >= 4 ? 4 : size;
  return (linear & (unit - 1)) != 0;
}

// @ts-ignore: decorator
@inline
export function table_in_use(): i32 {
  return (load<i32>(CPU, TLB_BASE) - (CPU as i32) - TLB) / TLB_TABLE_SIZE;
}

/** Linear addresses have 32 bits outside 64-bit code. */
// @ts-ignore: decorator
@inline
export function truncated(linear: i64): u64 {
  return linear & load<u64>(CPU, LINEAR_MASK);
}

/** Where the second part of an access across pages is: at the 4 GiB end it wraps. */
export function next_page(linear: u64): u64 {
  const next = (linear | 0xfff) + 1;
  return next == 0x1_0000_0000 ? next & load<u64>(CPU, LINEAR_MASK) : next;
}

function read_place(linear: u64, size: i32, table: i32, seg: i32): i32 {
  const first = 0x1000 - ((linear as i32) & 0xfff);
  if (!canonical(linear)) return not_canonical(seg);
  if (table == TABLE_ALIGNED && misaligned(linear, size)) return alignment_fault();
  if (!canonical(linear + size - 1)) return not_canonical(seg);
  const place = place_of(linear, ACCESS_READ, table);
  if (place == 0) return 0;
  if (size <= first) {
    if (load<i32>(CPU, BREAKPOINTS) & 15) check_breakpoints(linear, size, ACCESS_READ);
    if (place != BUS) return place;
    bus_read(a20(walk_physical), size, CPU + BOUNCE);
    return (CPU as i32) + BOUNCE;
  }
  const physical = a20(walk_physical);
  const next = place_of(next_page(linear), ACCESS_READ, table);
  if (next == 0) return 0;
  if (load<i32>(CPU, BREAKPOINTS) & 15) check_breakpoints(linear, size, ACCESS_READ);
  if (place != BUS && next == place + first) return place;
  const bounce = (CPU as i32) + BOUNCE;
  if (place != BUS) memory.copy(bounce, place, first);
  if (next != BUS) memory.copy(bounce + first, next, size - first);
  const physical2 = a20(walk_physical);
  if (place == BUS) bus_read(physical, first, bounce);
  if (next == BUS) bus_read(physical2, size - first, bounce + first);
  return bounce;
}

function alignment_fault(): i32 {
  set_fault(AC, 1, 0);
  return 0;
}

/**
 * `fill`: the bounce gets the current bytes. Parts on the bus are kept as the complement of their
 * physical address in BOUNCE_PHYS*.
 */
function write_place(linear: u64, size: i32, table: i32, seg: i32, fill: bool): i32 {
  const first = 0x1000 - ((linear as i32) & 0xfff);
  if (!canonical(linear)) return not_canonical(seg);
  if (table == TABLE_ALIGNED && misaligned(linear, size)) return alignment_fault();
  if (!canonical(linear + size - 1)) return not_canonical(seg);
  const place = place_of(linear, ACCESS_WRITE, table);
  if (place == 0) return 0;
  const physical = a20(walk_physical);
  let next = 0;
  let physical2: u64 = 0;
  if (size <= first) {
    if (place != BUS) {
      if (load<i32>(CPU, BREAKPOINTS) & 15) check_breakpoints(linear, size, ACCESS_WRITE);
      before_store(place, size);
      return place;
    }
  } else {
    next = place_of(next_page(linear), ACCESS_WRITE, table);
    if (next == 0) return 0;
    physical2 = a20(walk_physical);
  }
  if (load<i32>(CPU, BREAKPOINTS) & 15) check_breakpoints(linear, size, ACCESS_WRITE);
  if (place != BUS && next == place + first) {
    before_store(place, first);
    before_store(next, size - first);
    return place;
  }
  const bounce = (CPU as i32) + BOUNCE;
  const inFirst = min<i32>(size, first);
  store<u64>(CPU, linear, BOUNCE_LINEAR);
  store<i32>(CPU, size, BOUNCE_BYTES);
  store<i32>(CPU, inFirst, BOUNCE_FIRST);
  store<u64>(CPU, place == BUS ? ~physical : (place as u32 as u64), BOUNCE_PHYS1);
  store<u64>(CPU, next == BUS ? ~physical2 : (next as u32 as u64), BOUNCE_PHYS2);
  store<i32>(CPU, i32(place == BUS || next == BUS), BOUNCE_MMIO);
  if (fill) {
    fill_part(place, physical, inFirst, bounce);
    if (size > inFirst) fill_part(next, physical2, size - inFirst, bounce + inFirst);
  }
  return bounce;
}

/** A page that may not be written through memory may still be read from it: ROM. */
function fill_part(place: i32, physical: u64, length: i32, to: i32): void {
  const map = phys_word(physical);
  if (place != BUS) memory.copy(to, place, length);
  else if (map & PHYS_READ) memory.copy(to, (map & ~0xfff) + ((physical as i32) & 0xfff), length);
  else bus_read(physical, length, to);
}

export function probe_read(linear: i64, size: i32, seg: i32): i32 {
  return read_place(truncated(linear), size, table_in_use(), seg);
}

export function probe_write(linear: i64, size: i32, seg: i32): i32 {
  return write_place(truncated(linear), size, table_in_use(), seg, false);
}

export function probe_rmw(linear: i64, size: i32, seg: i32): i32 {
  return write_place(truncated(linear), size, table_in_use(), seg, true);
}

/** Writes the bounce out after a probe for writing returned it. */
export function commit(): void {
  const size = load<i32>(CPU, BOUNCE_BYTES);
  const first = load<i32>(CPU, BOUNCE_FIRST);
  const bounce = CPU + BOUNCE;
  commit_part(load<i64>(CPU, BOUNCE_PHYS1), first, bounce);
  if (size > first) commit_part(load<i64>(CPU, BOUNCE_PHYS2), size - first, bounce + first);
  store<i32>(CPU, 0, BOUNCE_MMIO);
}

function commit_part(target: i64, length: i32, from: usize): void {
  if (target < 0) {
    bus_write(~target, length, from);
    return;
  }
  before_store(target as u32, length);
  memory.copy(target as u32, from, length);
}

/** Place of the code byte at `linear`; 0: the fault is recorded. Code on the bus reads FF FF: #UD. */
export function fetch_probe(linear: i64): i32 {
  const at = truncated(linear);
  if (!canonical(at)) return not_canonical(0);
  let table = table_in_use();
  if (table == TABLE_ALIGNED) table = TABLE_USER;
  const entry = tlb_entry(CPU + TLB + table * TLB_TABLE_SIZE, at);
  if (load<u64>(entry, TLB_FETCH) == (at & ~0xfff)) return (at as i32) + load<i32>(entry, TLB_ADDEND);
  const place = resolve(at, ACCESS_FETCH, table);
  if (place != BUS) return place;
  set_fault(UD, 0, 0);
  return 0;
}

// --- accesses of the runtime itself: these raise -------------------------------------------------

/** The table of accesses that the CPU makes for itself, whatever CPL [SDM 3A 4.6]. */
// @ts-ignore: decorator
@inline
export function system_table(): i32 {
  return load<u64>(CPU, CR4) & CR4_SMAP ? TABLE_SMAP : TABLE_SUPERVISOR;
}

/** The table of explicit accesses at a CPL with SMAP lifted (AC) or not. */
export function table_for(cpl: i32, lifted: bool): i32 {
  if (cpl == 3) return TABLE_USER;
  return lifted ? TABLE_SUPERVISOR : system_table();
}

function read_or_raise(linear: u64, size: i32, table: i32, seg: i32): usize {
  const place = read_place(linear, size, table, seg);
  if (place == 0) unwind();
  return place;
}

function write_or_raise(linear: u64, size: i32, table: i32, seg: i32): usize {
  const place = write_place(linear, size, table, seg, false);
  if (place == 0) unwind();
  return place;
}

/** Linear addresses of descriptor tables have 64 bits in all of long mode. */
// @ts-ignore: decorator
@inline
function system_linear(linear: u64): u64 {
  return load<u64>(CPU, EFER) & EFER_LMA ? linear : linear & 0xffff_ffff;
}

/** Reads through a given table of the TLB; `linear` is already truncated. */
// @ts-ignore: decorator
@inline
export function table_read<T>(linear: u64, table: i32, seg: i32 = FLAT_SEGMENT): T {
  if (table != TABLE_ALIGNED) {
    const entry = tlb_entry(CPU + TLB + table * TLB_TABLE_SIZE, linear);
    if (load<u64>(entry, TLB_READ) == ((linear + (sizeof<T>() - 1)) & ~0xfff)) {
      return load<T>((linear as u32) + load<u32>(entry, TLB_ADDEND));
    }
  }
  return load<T>(read_or_raise(linear, sizeof<T>() as i32, table, seg));
}

// @ts-ignore: decorator
@inline
export function table_write<T>(linear: u64, value: T, table: i32, seg: i32 = FLAT_SEGMENT): void {
  if (table != TABLE_ALIGNED) {
    const entry = tlb_entry(CPU + TLB + table * TLB_TABLE_SIZE, linear);
    if (load<u64>(entry, TLB_WRITE) == ((linear + (sizeof<T>() - 1)) & ~0xfff)) {
      store<T>((linear as u32) + load<u32>(entry, TLB_ADDEND), value);
      return;
    }
  }
  const place = write_or_raise(linear, sizeof<T>() as i32, table, seg);
  store<T>(place, value);
  if (place == CPU + BOUNCE) commit();
}

/** Raises unless all of `[linear, linear + size)` (at most a page long) may be written. */
export function check_writable(linear: u64, size: i32, table: i32, seg: i32): void {
  if (size <= 0) return;
  if (!canonical(linear) || !canonical(linear + size - 1)) {
    not_canonical(seg);
    unwind();
  }
  if (place_of(linear, ACCESS_WRITE, table) == 0) unwind();
  if ((linear & 0xfff) + size > 0x1000 && place_of(linear + size - 1, ACCESS_WRITE, table) == 0) unwind();
}

export function rd8(linear: i64): u32 { return table_read<u8>(truncated(linear), table_in_use()); }
export function rd16(linear: i64): u32 { return table_read<u16>(truncated(linear), table_in_use()); }
export function rd32(linear: i64): u32 { return table_read<u32>(truncated(linear), table_in_use()); }
export function rd64(linear: i64): u64 { return table_read<u64>(truncated(linear), table_in_use()); }
export function wr8(linear: i64, value: u32): void { table_write<u8>(truncated(linear), value as u8, table_in_use()); }
export function wr16(linear: i64, value: u32): void { table_write<u16>(truncated(linear), value as u16, table_in_use()); }
export function wr32(linear: i64, value: u32): void { table_write<u32>(truncated(linear), value, table_in_use()); }
export function wr64(linear: i64, value: u64): void { table_write<u64>(truncated(linear), value, table_in_use()); }

export function sys_rd8(linear: i64): u32 { return table_read<u8>(system_linear(linear), system_table()); }
export function sys_rd16(linear: i64): u32 { return table_read<u16>(system_linear(linear), system_table()); }
export function sys_rd32(linear: i64): u32 { return table_read<u32>(system_linear(linear), system_table()); }
export function sys_rd64(linear: i64): u64 { return table_read<u64>(system_linear(linear), system_table()); }
export function sys_wr8(linear: i64, value: u32): void { table_write<u8>(system_linear(linear), value as u8, system_table()); }
export function sys_wr16(linear: i64, value: u32): void { table_write<u16>(system_linear(linear), value as u16, system_table()); }
export function sys_wr32(linear: i64, value: u32): void { table_write<u32>(system_linear(linear), value, system_table()); }
export function sys_wr64(linear: i64, value: u64): void { table_write<u64>(system_linear(linear), value, system_table()); }
