import { apic_read, apic_write, CPU, mmio_read, mmio_write } from './env';
import {
  ATT_CODE, ATTENTION, BLOCK_REC, CODE_EPOCH, EVENT, EVENT_RECHECK, PHYS_APIC, PHYS_DIRTY, PHYS_LOG, PHYS_MAP, PHYS_PAGES, PHYS_READ,
  PHYS_WRITE, R_REMAINING, RECORD_SIZE, VCPU_AREA, VCPU_STRIDE, VM_A20, VM_VCPUS,
} from './generated-layout';
import { code_page, line_bits } from './tlb';

/** The physical address that leaves the CPU: bit 20 is masked while the A20 gate is closed. */
// @ts-ignore: decorator
@inline
export function a20(physical: u64): u64 {
  return load<u32>(VM_A20) != 0 ? physical : physical & ~0x10_0000;
}

/** The page's word in the physical map, 0 beyond it. */
// @ts-ignore: decorator
@inline
export function phys_word(physical: u64): u32 {
  const page = physical >> 12;
  return page < (PHYS_PAGES as u64) ? load<u32>(PHYS_MAP + ((page as u32) << 2)) : 0;
}

/** Marks a page of a logged slot as written. */
// @ts-ignore: decorator
@inline
export function log_write(physical: u64, map: u32): void {
  if ((map & (PHYS_LOG | PHYS_DIRTY)) != PHYS_LOG) return;
  atomic.or<u32>(PHYS_MAP + (((physical >> 12) as u32) << 2), PHYS_DIRTY);
}

/** Before bytes of RAM change: drops decoded instructions that they overlap. Stays in one page. */
export function before_store(place: u32, length: u32): void {
  const code = code_page(place);
  const lines = load<u64>(code, 8);
  if (lines == 0) return;
  if ((lines & line_bits(place & 0xfff, length)) == 0) return;
  atomic.add<u32>(code, 1, 0);
  atomic.store<u64>(code, 0, 8);
  // The block that does this may be the one that is rewritten: it ends after this instruction. The
  // word may be old; what follows a record with others after it is never the start of a block.
  const record = load<u32>(CPU, BLOCK_REC);
  if (record && ((load<u8>(record, R_REMAINING) + 1) & 0xff) > 1) store<u16>(record + RECORD_SIZE, 0);
  store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_RECHECK, EVENT);
  store<i32>(CPU, load<i32>(CPU, CODE_EPOCH) + 4, CODE_EPOCH);
  const vcpus = load<u32>(VM_VCPUS);
  for (let n: u32 = 0; n < vcpus; n++) {
    const area = (VCPU_AREA as usize) + (n as usize) * VCPU_STRIDE;
    if (area != CPU) atomic.or<u32>(area, ATT_CODE, ATTENTION);
  }
}

/** Bytes at `place` were written from outside the CPU (a device, a loader). */
export function code_written(place: i32, length: i32): void {
  while (length > 0) {
    const part = min<u32>(length, 0x1000 - ((place as u32) & 0xfff));
    before_store(place, part);
    place += part;
    length -= part;
  }
}

/** Reads `length` bytes that no memory answers, in naturally sized parts. */
export function bus_read(physical: u64, length: i32, to: usize): void {
  const apic = phys_word(physical) & PHYS_APIC;
  while (length > 0) {
    const size = length >= 4 ? 4 : length >= 2 ? 2 : 1;
    let value: u32;
    if (apic) {
      const offset = (physical as i32) & 0xfff;
      value = apic_read(offset & ~3) >> ((offset & 3) << 3);
    } else {
      value = mmio_read(physical as f64, size);
    }
    if (size == 4) store<u32>(to, value);
    else if (size == 2) store<u16>(to, value);
    else store<u8>(to, value);
    to += size;
    physical += size;
    length -= size;
  }
}

export function bus_write(physical: u64, length: i32, from: usize): void {
  const apic = phys_word(physical) & PHYS_APIC;
  while (length > 0) {
    const size = length >= 4 ? 4 : length >= 2 ? 2 : 1;
    const value: u32 = size == 4 ? load<u32>(from) : size == 2 ? load<u16>(from) : load<u8>(from);
    if (!apic) mmio_write(physical as f64, size, value);
    else if (size == 4 && (physical & 3) == 0) apic_write((physical as i32) & 0xfff, value);
    from += size;
    physical += size;
    length -= size;
  }
}

// Paging-structure entries. Tables outside RAM are read over the bus and never marked.

// @ts-ignore: decorator
@inline
export function entry64(physical: u64): u64 {
  const at = a20(physical);
  const map = phys_word(at);
  if (map & PHYS_READ) return load<u64>((map & ~0xfff) + ((at as u32) & 0xfff));
  return bus_entry(at, 8);
}

// @ts-ignore: decorator
@inline
export function entry32(physical: u64): u32 {
  const at = a20(physical);
  const map = phys_word(at);
  if (map & PHYS_READ) return load<u32>((map & ~0xfff) + ((at as u32) & 0xfff));
  return bus_entry(at, 4) as u32;
}

function bus_entry(at: u64, size: i32): u64 {
  const low: u64 = mmio_read(at as f64, 4);
  if (size == 4) return low;
  return low | ((mmio_read((at + 4) as f64, 4) as u64) << 32);
}

/** Sets bits of an entry that still is `old`: false when it has changed and the walk starts again. */
export function mark64(physical: u64, old: u64, bits: u64): bool {
  if ((old & bits) == bits) return true;
  const at = a20(physical);
  const map = phys_word(at);
  if (!(map & PHYS_WRITE)) return true;
  const place = (map & ~0xfff) + ((at as u32) & 0xfff);
  if (atomic.cmpxchg<u64>(place, old, old | bits) != old) return false;
  before_store(place, 8);
  log_write(at, map);
  return true;
}

export function mark32(physical: u64, old: u32, bits: u32): bool {
  if ((old & bits) == bits) return true;
  const at = a20(physical);
  const map = phys_word(at);
  if (!(map & PHYS_WRITE)) return true;
  const place = (map & ~0xfff) + ((at as u32) & 0xfff);
  if (atomic.cmpxchg<u32>(place, old, old | bits) != old) return false;
  before_store(place, 4);
  log_write(at, map);
  return true;
}
