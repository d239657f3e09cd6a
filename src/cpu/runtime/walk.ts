import { CPU } from './env';
import { fault_page } from './page-fault';
import { ACCESS_WRITE, CR0, CR3, CR4, EFER, TLBF_GLOBAL } from './generated-layout';
import { entry32, entry64, mark32, mark64 } from './physical';
import {
  CR0_WP, CR4_PAE, CR4_PGE, CR4_PSE, CR4_SMEP, EFER_LMA, EFER_NXE, PDPTE, PHYSICAL_BITS, TABLE_SMAP,
  TABLE_USER, TLBF_HUGE, TLBF_LARGE,
} from './private';

const P: u64 = 1;
const W: u64 = 2;
const U: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const G: u64 = 0x100;
const NX: u64 = 1 << 63;
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/** Bits 51..MAXPHYADDR of any 64-bit entry. */
const BEYOND: u64 = FRAME & ~((1 << PHYSICAL_BITS) - 1);

/** What the last successful walk found: the physical address, rights (1 R, 2 W, 4 X), TLBF_* bits. */
export let walk_physical: u64 = 0;
export let walk_rights: i32 = 0;
export let walk_flags: i32 = 0;
/** The page is marked dirty: stores need no further walk. */
export let walk_dirty: bool = false;

export function walk_identity(linear: u64): void {
  walk_physical = linear & 0xffff_ffff;
  walk_rights = 7;
  walk_flags = 0;
  walk_dirty = true;
}

/** What a page allows accesses of this table [SDM 3A 4.6.1]. */
// @ts-ignore: decorator
@inline
function rights_of(table: i32, user: bool, write: bool, execute: bool): i32 {
  if (table == TABLE_USER) return user ? 1 | (i32(write) << 1) | (i32(execute) << 2) : 0;
  const x = execute && !(user && (load<u64>(CPU, CR4) & CR4_SMEP)) ? 4 : 0;
  if (user && table == TABLE_SMAP) return x;
  return 1 | (write || !(load<u64>(CPU, CR0) & CR0_WP) ? 2 : 0) | x;
}

// @ts-ignore: decorator
@inline
function needed(access: i32): i32 {
  return 1 << access;
}

/**
 * Translates one linear address, checks rights and sets accessed and dirty bits. False: a page fault
 * is recorded. [SDM 3A 4.3-4.8]
 */
export function walk(linear: u64, access: i32, table: i32): bool {
  const cr4 = load<u64>(CPU, CR4);
  if (!(cr4 & CR4_PAE)) return walk_32(linear, access, table);
  return walk_64(linear, access, table);
}

function finish(physical: u64, rights: i32, leaf: u64, flags: i32, access: i32): bool {
  walk_physical = physical;
  walk_rights = rights;
  walk_dirty = access == ACCESS_WRITE || (leaf & D) != 0;
  walk_flags = flags | ((leaf & G) != 0 && (load<u64>(CPU, CR4) & CR4_PGE) != 0 ? TLBF_GLOBAL : 0);
  return true;
}

/** 32-bit paging, with 4 MiB pages of up to 40 physical bits [SDM 3A 4.3]. */
function walk_32(linear: u64, access: i32, table: i32): bool {
  for (;;) {
    const pde_at = (load<u64>(CPU, CR3) & 0xffff_f000) + ((linear >> 20) & 0xffc);
    const pde = entry32(pde_at);
    if (!(pde & 1)) return fault_page(linear, access, table, 0);
    if (pde & (PS as u32) && (load<u64>(CPU, CR4) & CR4_PSE)) {
      if (pde & 0x20_0000) return fault_page(linear, access, table, 9);
      const rights = rights_of(table, (pde & 4) != 0, (pde & 2) != 0, true);
      if (!(rights & needed(access))) return fault_page(linear, access, table, 1);
      if (!mark32(pde_at, pde, access == ACCESS_WRITE ? 0x60 : 0x20)) continue;
      const frame = (pde as u64 & 0xffc0_0000) | (((pde as u64 >> 13) & 0xff) << 32);
      return finish(frame | (linear & 0x3f_ffff), rights, pde, TLBF_LARGE, access);
    }
    const pte_at = (pde as u64 & 0xffff_f000) + ((linear >> 10) & 0xffc);
    const pte = entry32(pte_at);
    if (!(pte & 1)) return fault_page(linear, access, table, 0);
    const both = pde & pte;
    const rights = rights_of(table, (both & 4) != 0, (both & 2) != 0, true);
    if (!(rights & needed(access))) return fault_page(linear, access, table, 1);
    if (!mark32(pde_at, pde, 0x20)) continue;
    if (!mark32(pte_at, pte, access == ACCESS_WRITE ? 0x60 : 0x20)) continue;
    return finish((pte as u64 & 0xffff_f000) | (linear & 0xfff), rights, pte, 0, access);
  }
}

/** PAE and 4-level paging: the same page directories and tables [SDM 3A 4.4, 4.5]. */
function walk_64(linear: u64, access: i32, table: i32): bool {
  const efer = load<u64>(CPU, EFER);
  const long = (efer & EFER_LMA) != 0;
  let reserved: u64 = efer & EFER_NXE ? BEYOND : BEYOND | NX;
  // Outside long mode bits 62..52 are reserved too.
  if (!long) reserved |= 0x7ff0_0000_0000_0000;
  const write = access == ACCESS_WRITE;
  for (;;) {
    let e4: u64 = A | W | U;
    let e3: u64 = A | W | U;
    let e4_at: u64 = 0;
    let e3_at: u64 = 0;
    if (long) {
      e4_at = (load<u64>(CPU, CR3) & FRAME) + ((linear >> 36) & 0xff8);
      e4 = entry64(e4_at);
      if (!(e4 & P)) return fault_page(linear, access, table, 0);
      if (e4 & (reserved | PS)) return fault_page(linear, access, table, 9);
      e3_at = (e4 & FRAME) + ((linear >> 27) & 0xff8);
      e3 = entry64(e3_at);
      if (!(e3 & P)) return fault_page(linear, access, table, 0);
      if (e3 & reserved) return fault_page(linear, access, table, 9);
      if (e3 & PS) {
        if (e3 & 0x3fff_e000) return fault_page(linear, access, table, 9);
        const rights = rights_of(table, (e4 & e3 & U) != 0, (e4 & e3 & W) != 0, !((e4 | e3) & NX));
        if (!(rights & needed(access))) return fault_page(linear, access, table, 1);
        if (!mark64(e4_at, e4, A)) continue;
        if (!mark64(e3_at, e3, write ? A | D : A)) continue;
        return finish((e3 & FRAME & ~0x3fff_ffff) | (linear & 0x3fff_ffff), rights, e3, TLBF_HUGE, access);
      }
    } else {
      const pdpte = load<u64>(CPU + ((linear >> 27) & 0x18) as usize, PDPTE);
      if (!(pdpte & P)) return fault_page(linear, access, table, 0);
      e3 |= pdpte & FRAME;
    }
    const upper = e4 & e3;
    const e2_at = (e3 & FRAME) + ((linear >> 18) & 0xff8);
    const e2 = entry64(e2_at);
    if (!(e2 & P)) return fault_page(linear, access, table, 0);
    if (e2 & reserved) return fault_page(linear, access, table, 9);
    if (e2 & PS) {
      if (e2 & 0x1f_e000) return fault_page(linear, access, table, 9);
      const all = upper & e2;
      const rights = rights_of(table, (all & U) != 0, (all & W) != 0, !((e4 | e3 | e2) & NX));
      if (!(rights & needed(access))) return fault_page(linear, access, table, 1);
      if (!(upper & A) && !(mark64(e4_at, e4, A) && mark64(e3_at, e3, A))) continue;
      if (!mark64(e2_at, e2, write ? A | D : A)) continue;
      return finish((e2 & FRAME & ~0x1f_ffff) | (linear & 0x1f_ffff), rights, e2, TLBF_LARGE, access);
    }
    const e1_at = (e2 & FRAME) + ((linear >> 9) & 0xff8);
    const e1 = entry64(e1_at);
    if (!(e1 & P)) return fault_page(linear, access, table, 0);
    if (e1 & reserved) return fault_page(linear, access, table, 9);
    const all = upper & e2 & e1;
    const rights = rights_of(table, (all & U) != 0, (all & W) != 0, !((e4 | e3 | e2 | e1) & NX));
    if (!(rights & needed(access))) return fault_page(linear, access, table, 1);
    if (!(upper & e2 & A)) {
      if (!(mark64(e4_at, e4, A) && mark64(e3_at, e3, A) && mark64(e2_at, e2, A))) continue;
    }
    if (!mark64(e1_at, e1, write ? A | D : A)) continue;
    return finish((e1 & FRAME) | (linear & 0xfff), rights, e1, 0, access);
  }
}

/** What PDPTEs may not have set [SDM 3A 4.4.1, table 4-8]. */
const PDPTE_RESERVED: u64 = BEYOND | 0xfff0_0000_0000_01e6;

/**
 * Loads the four PDPTEs that `cr3` points to, as MOV to CR0, CR3 and CR4 and task switches do.
 * False: a present one has reserved bits set; nothing was changed and #GP(0) is due.
 */
export function load_pdptes(cr3: i64): i32 {
  const at = (cr3 as u64) & 0xffff_ffe0;
  for (let n: u64 = 0; n < 4; n++) {
    const entry = entry64(at + n * 8);
    if (entry & P && entry & PDPTE_RESERVED) return 0;
  }
  for (let n: u64 = 0; n < 4; n++) {
    store<u64>(CPU + ((n * 8) as usize), entry64(at + n * 8), PDPTE);
  }
  return 1;
}
