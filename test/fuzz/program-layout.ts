/**
 * Where things stand in a generated guest, the same in every mode: below 64 KiB, so that real mode
 * reaches them, and identity-mapped where there is paging.
 *
 *   0x0000 real mode's vectors     0x5000 stack of the handlers (64-bit)
 *   0x1000 IDT                     0x6000 stack
 *   0x2000 GDT, TSS, variables     0x8000 code, four pages
 *   0x3000 handlers                0xc000 data, four pages
 *   0x4000 log of events           0x1_0000 page tables
 *
 * With paging, 0x2_0000 shows the first 64 KiB again, 0x3_0000 the page table, and 0x4_0000 four pages at
 * 0x1_8000 for copies of the code; 0x40_0000 has all of it again, in the same entries of a TLB of 1,024.
 */
import type { Width } from './assembler.js';

export interface ProgramMode {
  readonly name: string;
  readonly width: Width;
  readonly paging: boolean;
  /** 64-bit code only: at CPL 3. */
  readonly user: boolean;
}

export const programModes: readonly ProgramMode[] = [
  { name: 'long', width: 64, paging: true, user: false },
  { name: 'long, user', width: 64, paging: true, user: true },
  { name: 'protected, paging', width: 32, paging: true, user: false },
  { name: 'protected', width: 32, paging: false, user: false },
  { name: 'real', width: 16, paging: false, user: false },
];

/** Of programs by their seeds, one in thirteen is of 16-bit code, which is not translated. */
export function modeOf(seed: number): ProgramMode {
  const last = programModes.length - 1;
  return programModes[seed % 13 === 0 ? last : seed % last]!;
}

export const RAM_BYTES = 0x2_0000;

export const IDT = 0x1000;
export const GDT = 0x2000;
export const TSS = 0x2800;
export const HANDLERS = 0x3000;
export const LOG = 0x4000;
export const LOG_ENTRIES = 64;
export const HANDLER_STACK = 0x6000;
export const STACK_TOP = 0x8000;
export const CODE = 0x8000;
export const CODE_BYTES = 0x4000;
export const DATA = 0xc000;
export const DATA_BYTES = 0x4000;
export const PML4 = 0x1_0000;
/** The last level, 4 KiB. */
export const PAGE_TABLE = 0x1_3000;

// Linear addresses with paging.
export const ALIAS = 0x2_0000;
export const TABLE_WINDOW = 0x3_0000;
export const COPY_WINDOW = 0x4_0000;
export const RIVAL = 0x40_0000;

/** Physical address of the copies. */
export const COPIES = 0x1_8000;

/** Variables of program and handlers. */
export const VARS = {
  /** Events logged so far. */
  logged: 0x2c00,
  /** Where to go on after a fault that was not meant, and with which stack. */
  recover: 0x2c08,
  recoverStack: 0x2c10,
  /** Faults of that kind that are still allowed. */
  patience: 0x2c18,
  /** Single steps that are still to be taken. */
  steps: 0x2c20,
  outer: 0x2c28,
  /** Counters of loops and recursions. */
  counters: 0x2d00,
  /** Far pointers and the like. */
  scratch: 0x2e00,
} as const;

/** A port whose write asks for an interrupt, when interrupts are off. */
export const INTERRUPT_PORT = 0xe0;
export const FIRST_INTERRUPT = 0x30;

/** Selectors. */
export const KERNEL_CODE = 0x08;
export const KERNEL_DATA = 0x10;
export const USER_DATA = 0x1b;
export const USER_CODE = 0x23;
export const TSS_SELECTOR = 0x28;
