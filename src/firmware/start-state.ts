/** How a vCPU starts when a loader, not the reset vector, hands over. */

/** A segment register with its hidden part. */
export interface StartSegment {
  selector: number;
  base: number;
  /** In bytes, granularity already applied. */
  limit: number;
  /** Descriptor bits as VMX keeps them: 0-7 type, S, DPL, P; 12-15 AVL, L, D/B, G. [SDM 3C 25.4.1] */
  access: number;
}

export interface StartTable {
  base: number;
  limit: number;
}

/** Plain numbers, all addresses below 2^32; registers not named here are zero. */
export interface StartState {
  mode: 'long' | 'protected';
  rip: number;
  rax: number;
  rbx: number;
  rsi: number;
  rsp: number;
  rflags: number;
  cr0: number;
  cr3: number;
  cr4: number;
  efer: number;
  cs: StartSegment;
  /** DS, ES, FS, GS and SS alike. */
  data: StartSegment;
  tr: StartSegment;
  gdt: StartTable;
  idt: StartTable;
}

const CR0_PE = 1 << 0;
const CR0_MP = 1 << 1;
const CR0_ET = 1 << 4;
const CR0_NE = 1 << 5;
const CR0_WP = 1 << 16;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 1 << 5;
const EFER_LME = 1 << 8;
const EFER_LMA = 1 << 10;

/** Selectors of {@link startGdt}: Linux's __BOOT_CS, __BOOT_DS and __BOOT_TSS. [boot.rst "32-bit"] */
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
const BOOT_TSS = 0x20;

const CODE_32 = 0xc09b;
const CODE_64 = 0xa09b;
const DATA = 0xc093;
const BUSY_TSS = 0x008b;

function descriptor(base: number, limit: number, access: number): [number, number] {
  const pages = access & 0x8000 ? Math.floor(limit / 4096) : limit;
  return [
    ((base & 0xffff) << 16) | (pages & 0xffff),
    (base & 0xff00_0000) | ((access & 0xf0ff) << 8) | (pages & 0xf0000) | ((base >>> 16) & 0xff),
  ];
}

const flat = (selector: number, access: number): StartSegment => ({
  selector,
  base: 0,
  limit: 0xffff_ffff,
  access,
});

/** The GDT that the selectors in a start state refer to: null, null, code, data, TSS. */
export function startGdt(mode: StartState['mode']): Uint8Array {
  const words = [
    [0, 0],
    [0, 0],
    descriptor(0, 0xffff_ffff, mode === 'long' ? CODE_64 : CODE_32),
    descriptor(0, 0xffff_ffff, DATA),
    descriptor(0, 0x67, BUSY_TSS),
    // The upper half of a 64-bit TSS descriptor.
    [0, 0],
  ].flat();
  const gdt = new Uint8Array(words.length * 4);
  const view = new DataView(gdt.buffer);
  for (const [i, word] of words.entries()) view.setUint32(i * 4, word, true);
  return gdt;
}

type Entry = { rip: number; rsp: number; rax?: number; rbx?: number; rsi?: number };

function common({ rip, rsp, rax = 0, rbx = 0, rsi = 0 }: Entry, gdtAt: number) {
  return {
    rip,
    rsp,
    rax,
    rbx,
    rsi,
    rflags: 2,
    data: flat(BOOT_DS, DATA),
    tr: { selector: BOOT_TSS, base: 0, limit: 0x67, access: BUSY_TSS },
    gdt: { base: gdtAt, limit: startGdt('long').length - 1 },
    idt: { base: 0, limit: 0 },
  };
}

/** Flat 32-bit protected mode, paging off, interrupts off: Linux 32-bit, Multiboot and PVH entry. */
export function protectedStart(entry: Entry, gdtAt: number): StartState {
  return {
    mode: 'protected',
    ...common(entry, gdtAt),
    cr0: CR0_PE | CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    cs: flat(BOOT_CS, CODE_32),
  };
}

/** Flat 64-bit mode on the page tables at `pml4At`: Linux's 64-bit entry. */
export function longStart(entry: Entry, gdtAt: number, pml4At: number): StartState {
  return {
    mode: 'long',
    ...common(entry, gdtAt),
    cr0: (CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE) >>> 0,
    cr3: pml4At,
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
    cs: flat(BOOT_CS, CODE_64),
  };
}

/** Page tables for {@link longStart}: the first 4 GiB identity-mapped by 2 MiB pages. [SDM 3A 4.5] */
export function identityPageTables(pml4At: number): Uint8Array {
  const PRESENT_WRITABLE = 3;
  const PAGE_2M = 1 << 7;
  const tables = new Uint8Array(IDENTITY_TABLES_SIZE);
  const view = new DataView(tables.buffer);
  view.setUint32(0, (pml4At + 0x1000) | PRESENT_WRITABLE, true);
  for (let gib = 0; gib < 4; gib++) {
    view.setUint32(0x1000 + gib * 8, (pml4At + 0x2000 + gib * 0x1000) | PRESENT_WRITABLE, true);
  }
  for (let page = 0; page < 2048; page++) {
    view.setUint32(0x2000 + page * 8, page * 0x20_0000 + (PAGE_2M | PRESENT_WRITABLE), true);
  }
  return tables;
}

/** PML4, PDPT and four page directories. */
export const IDENTITY_TABLES_SIZE = 6 * 4096;
