import { CPU } from './env';
import {
  CODE_EPOCH, CODE_PAGE_SIZE, CODE_PAGES, CODE_TAG, PHYS_LOG, PHYS_DIRTY, PHYS_WRITE, TLB, TLB_ADDEND, TLB_EMPTY, TLB_ENTRIES,
  TLB_FETCH, TLB_FLAGS, TLB_READ, TLB_TABLE_SIZE, TLB_TABLES, TLB_USED, TLB_WRITE, TLBF_GLOBAL,
  VCPU_AREA, VCPU_STRIDE, VM_VCPUS,
} from './generated-layout';
import { TLBF_HUGE, TLBF_LARGE, TLBF_WRITABLE } from './private';

const WORDS: i32 = TLB_ENTRIES >> 6;
/** Bit (linear >> 22) & 1023: a part of a large page of that 4 MiB may be in the TLB. */
const LARGE_FILTER: i32 = TLB_USED + TLB_TABLES * WORDS * 8;
/** Bit (linear >> 30) & 63: the same of 1 GiB pages. */
const HUGE_FILTER: i32 = LARGE_FILTER + 128;

/** The entry for a linear address in the table at `base`. */
// @ts-ignore: decorator
@inline
export function tlb_entry(base: usize, linear: u64): usize {
  return base + ((((linear as u32) >> 12) & (TLB_ENTRIES - 1)) << 5);
}

// @ts-ignore: decorator
@inline
export function code_page(place: u32): usize {
  return CODE_PAGES + (place >> 12) * CODE_PAGE_SIZE;
}

// @ts-ignore: decorator
@inline
function clear_entry(entry: usize): void {
  store<i64>(entry, -1, TLB_READ);
  store<i64>(entry, -1, TLB_WRITE);
  store<i64>(entry, -1, TLB_FETCH);
}

/** Where code lies or how it runs may have changed: see CODE_EPOCH. */
// @ts-ignore: decorator
@inline
export function code_moved(): void {
  store<i64>(CPU, -1, CODE_TAG);
  store<i32>(CPU, load<i32>(CPU, CODE_EPOCH) + 4, CODE_EPOCH);
}

/** Makes every entry of a new vCPU's TLB invalid, whatever the memory holds. */
export function tlb_init(): void {
  memory.fill(CPU + TLB, 0xff, TLB_TABLES * TLB_TABLE_SIZE);
  memory.fill(CPU + TLB_EMPTY, 0xff, TLB_TABLE_SIZE);
  memory.fill(CPU + TLB_USED, 0, TLB_TABLES * WORDS * 8 + 136);
  code_moved();
}

export function flush_tlb_all(): void {
  code_moved();
  for (let word: usize = 0; word < (TLB_TABLES * WORDS as usize); word++) {
    const used = CPU + TLB_USED + (word << 3);
    let bits = load<u64>(used);
    if (bits == 0) continue;
    store<u64>(used, 0);
    const first = CPU + TLB + (word << 11);
    do {
      clear_entry(first + ((ctz(bits) as usize) << 5));
      bits &= bits - 1;
    } while (bits != 0);
  }
  memory.fill(CPU + LARGE_FILTER, 0, 136);
}

/** All but global pages: a move to CR3 with CR4.PGE [SDM 3A 4.10.4.1]. */
export function flush_tlb_nonglobal(): void {
  code_moved();
  for (let word: usize = 0; word < (TLB_TABLES * WORDS as usize); word++) {
    const used = CPU + TLB_USED + (word << 3);
    const all = load<u64>(used);
    if (all == 0) continue;
    const first = CPU + TLB + (word << 11);
    let kept: u64 = 0;
    let bits = all;
    do {
      const entry = first + ((ctz(bits) as usize) << 5);
      if (load<i32>(entry, TLB_FLAGS) & TLBF_GLOBAL) kept |= bits & (~bits + 1);
      else clear_entry(entry);
      bits &= bits - 1;
    } while (bits != 0);
    store<u64>(used, kept);
  }
}

/** Drops every entry with a flag of `flag` whose linear address agrees from bit `shift` up. */
function drop_range(linear: u64, shift: u64, flag: i32): void {
  for (let word: usize = 0; word < (TLB_TABLES * WORDS as usize); word++) {
    let bits = load<u64>(CPU + TLB_USED + (word << 3));
    const first = CPU + TLB + (word << 11);
    for (; bits != 0; bits &= bits - 1) {
      const entry = first + ((ctz(bits) as usize) << 5);
      if (!(load<i32>(entry, TLB_FLAGS) & flag)) continue;
      // At least one tag is valid; the others may be -1.
      const at = load<u64>(entry, TLB_READ) & load<u64>(entry, TLB_WRITE) & load<u64>(entry, TLB_FETCH);
      if (at >> shift == linear >> shift) clear_entry(entry);
    }
  }
}

/** Drops one page from one table: a page fault does so [SDM 3A 4.10.4.1]. */
export function drop_page(table: i32, linear: u64): void {
  const entry = tlb_entry(CPU + TLB + table * TLB_TABLE_SIZE, linear);
  const at = load<u64>(entry, TLB_READ) & load<u64>(entry, TLB_WRITE) & load<u64>(entry, TLB_FETCH);
  if (at == (linear & ~0xfff)) clear_entry(entry);
}

/** Drops the page that holds a linear address, of whatever size, global or not. */
export function invlpg(linear: i64): void {
  const page = (linear as u64) & ~0xfff;
  code_moved();
  for (let table = 0; table < TLB_TABLES; table++) drop_page(table, page);
  const large = (page >> 22) & 1023;
  if ((load<u64>(CPU + LARGE_FILTER + ((large >> 6) << 3) as usize) >> (large & 63)) & 1) drop_range(page, 22, TLBF_LARGE);
  if ((load<u64>(CPU + HUGE_FILTER) >> ((page >> 30) & 63)) & 1) drop_range(page, 30, TLBF_HUGE);
}

/**
 * Enters a page. `rights`: 1 read, 2 write (permitted and the dirty bit set), 4 execute; `map` is the
 * page's word in the physical map, with PHYS_READ; `flags` are TLBF_*.
 */
export function tlb_insert(table: i32, linear: u64, rights: i32, map: u32, physical_word: usize, flags: i32): void {
  const page = linear & ~0xfff;
  const place = map & ~0xfff;
  const entry = tlb_entry(CPU + TLB + table * TLB_TABLE_SIZE, page);
  const index = (page >> 12) as u32 & (TLB_ENTRIES - 1);
  const used = CPU + TLB_USED + (table << 7) + ((index >> 6) << 3);
  store<u64>(used, load<u64>(used) | ((1 as u64) << (index & 63)));
  if (flags & (TLBF_LARGE | TLBF_HUGE)) note_large(page, flags);
  store<u64>(entry, rights & 1 ? page : -1, TLB_READ);
  store<u64>(entry, rights & 4 ? page : -1, TLB_FETCH);
  store<u64>(entry, -1, TLB_WRITE);
  store<u32>(entry, place - (page as u32), TLB_ADDEND);
  store<i32>(entry, flags, TLB_FLAGS);
  if (!(rights & 2) || !(map & PHYS_WRITE)) return;
  if ((map & PHYS_LOG) && !(load<u32>(physical_word) & PHYS_DIRTY)) return;
  if (rights & 1) store<i32>(entry, flags | TLBF_WRITABLE, TLB_FLAGS);
  const code = code_page(place);
  if (!load<u32>(code, 4)) atomic.store<u32>(code, 1, 4);
  atomic.store<u64>(entry, page, TLB_WRITE);
  // Another vCPU that marks code looks at our tags after it sets lines: one of us sees the other.
  if (atomic.load<u64>(code, 8) != 0) atomic.store<i64>(entry, -1, TLB_WRITE);
}

function note_large(page: u64, flags: i32): void {
  if (flags & TLBF_HUGE) {
    store<u64>(CPU + HUGE_FILTER, load<u64>(CPU + HUGE_FILTER) | ((1 as u64) << ((page >> 30) & 63)));
    return;
  }
  const large = (page >> 22) & 1023;
  const word = CPU + LARGE_FILTER + ((large >> 6) << 3) as usize;
  store<u64>(word, load<u64>(word) | ((1 as u64) << (large & 63)));
}

/** The page at `place` holds code from now on: no vCPU may store to it without being seen. */
function drop_write_tags(place: u32): void {
  const vcpus = load<u32>(VM_VCPUS);
  for (let cpu: u32 = 0; cpu < vcpus; cpu++) {
    const area = (VCPU_AREA as usize) + (cpu as usize) * VCPU_STRIDE;
    for (let word: usize = 0; word < (TLB_TABLES * WORDS as usize); word++) {
      let bits = load<u64>(area + TLB_USED + (word << 3));
      const first = area + TLB + (word << 11);
      for (; bits != 0; bits &= bits - 1) {
        const entry = first + ((ctz(bits) as usize) << 5);
        const page = load<u64>(entry, TLB_WRITE);
        if (page != -1 && (page as u32) + load<u32>(entry, TLB_ADDEND) == place) atomic.store<i64>(entry, -1, TLB_WRITE);
      }
    }
  }
}

/** Bits of the 64-byte lines that bytes [offset, offset + length) of a page touch. */
// @ts-ignore: decorator
@inline
export function line_bits(offset: u32, length: u32): u64 {
  const last = (offset + length - 1) >> 6;
  return (-1 as u64) << (offset >> 6) & (-1 as u64) >> (63 - last);
}

/** An instruction was decoded from these bytes: stores to them must be noticed. */
export function mark_code(place: i32, length: i32): void {
  while (length > 0) {
    const offset = (place as u32) & 0xfff;
    const part = min<u32>(length, 0x1000 - offset);
    const code = code_page(place);
    const bits = line_bits(offset, part);
    if ((load<u64>(code, 8) & bits) != bits) {
      const before = atomic.or<u64>(code, bits, 8);
      if (before == 0 && atomic.xchg<u32>(code, 0, 4)) drop_write_tags((place as u32) & ~0xfff);
    }
    place += part;
    length -= part;
  }
}
