import { RUNTIME_PRIVATE } from './generated-layout';

/**
 * The runtime's own words in a vCPU's area, RUNTIME_PRIVATE .. +0x6ff: offsets from CPU.
 * 0x000-0x1ff memory, events, segments; 0x200-0x3ff system instructions; 0x400-0x6ff floating point.
 */

/** u32: 1 while this vCPU holds the exclusive section. */
export const HOLDS_EXCLUSIVE: i32 = RUNTIME_PRIVATE + 0x04;
/** u32: an interrupt was seen but IF was 0. */
export const IRQ_WAITING: i32 = RUNTIME_PRIVATE + 0x08;
/** u32: STEP_* of the single instruction now being run. */
export const STEP: i32 = RUNTIME_PRIVATE + 0x0c;
/** u32: 1 while an event that is not a software interrupt is delivered: EXT of error codes. */
export const EXT: i32 = RUNTIME_PRIVATE + 0x10;
/** u32: the pending bounce has an MMIO part. */
export const BOUNCE_MMIO: i32 = RUNTIME_PRIVATE + 0x14;
/** u32: bit n set when DR7 makes DRn a data breakpoint (0-3), bit 4: any execution breakpoint. */
export const BREAKPOINTS: i32 = RUNTIME_PRIVATE + 0x18;
/** u32: bytes of the pending bounce in its first page. */
export const BOUNCE_FIRST: i32 = RUNTIME_PRIVATE + 0x1c;
/** Four u64: PDPTEs of PAE paging, loaded with CR3 [SDM 3A 4.4.1]. */
export const PDPTE: i32 = RUNTIME_PRIVATE + 0x20;

/** STEP: the instruction runs alone. */
export const STEP_ARMED: i32 = 1;
/** TF was set before it. */
export const STEP_TF: i32 = 2;
/** RF was set before it. */
export const STEP_RF: i32 = 4;
/** It runs in the shadow of sti or mov ss. */
export const STEP_SHADOW: i32 = 8;

export const CR0_PE: u64 = 1;
export const CR0_MP: u64 = 2;
export const CR0_EM: u64 = 4;
export const CR0_TS: u64 = 8;
export const CR0_WP: u64 = 1 << 16;
export const CR0_AM: u64 = 1 << 18;
export const CR0_PG: u64 = 1 << 31;

export const CR4_PSE: u64 = 1 << 4;
export const CR4_PAE: u64 = 1 << 5;
export const CR4_PGE: u64 = 1 << 7;
export const CR4_OSFXSR: u64 = 1 << 9;
export const CR4_SMEP: u64 = 1 << 20;
export const CR4_SMAP: u64 = 1 << 21;

export const EFER_LME: u64 = 1 << 8;
export const EFER_LMA: u64 = 1 << 10;
export const EFER_NXE: u64 = 1 << 11;

export const F_CF: u32 = 1;
export const F_PF: u32 = 4;
export const F_AF: u32 = 0x10;
export const F_ZF: u32 = 0x40;
export const F_SF: u32 = 0x80;
export const F_TF: u32 = 0x100;
export const F_IF: u32 = 0x200;
export const F_DF: u32 = 0x400;
export const F_OF: u32 = 0x800;
export const F_IOPL: u32 = 0x3000;
export const F_NT: u32 = 0x4000;
export const F_RF: u32 = 0x1_0000;
export const F_VM: u32 = 0x2_0000;
export const F_AC: u32 = 0x4_0000;
export const F_VIF: u32 = 0x8_0000;
export const F_VIP: u32 = 0x10_0000;
export const F_ID: u32 = 0x20_0000;
/** The flags in lazy form. */
export const F_STATUS: u32 = 0x8d5;

export const DE: i32 = 0;
export const DB: i32 = 1;
export const BP: i32 = 3;
export const OF: i32 = 4;
export const UD: i32 = 6;
export const NM: i32 = 7;
export const DF: i32 = 8;
export const TS: i32 = 10;
export const NP: i32 = 11;
export const SS_FAULT: i32 = 12;
export const GP: i32 = 13;
export const PF: i32 = 14;
export const MF: i32 = 16;
export const AC: i32 = 17;
export const XM: i32 = 19;

/** Width of physical addresses, as CPUID leaf 0x80000008 tells it. */
export const PHYSICAL_BITS: i32 = 40;

/** TLB_FLAGS beside TLBF_GLOBAL: part of a 2 or 4 MiB page, of a 1 GiB page. */
export const TLBF_LARGE: i32 = 2;
export const TLBF_HUGE: i32 = 4;
/** Stores are allowed and need no walk; the write tag is missing because the page holds code. */
export const TLBF_WRITABLE: i32 = 8;

/** Tables of the TLB; also how an access is made. */
export const TABLE_USER: i32 = 0;
export const TABLE_SMAP: i32 = 1;
export const TABLE_SUPERVISOR: i32 = 2;
/** As TABLE_USER, with alignment checked. */
export const TABLE_ALIGNED: i32 = 3;
