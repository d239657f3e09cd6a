/**
 * Where things are when a guest starts without firmware. Everything below 640 KiB that a loader
 * writes is here on one page, so that nothing overlaps:
 *
 *     0x00400  BIOS data area: word 0x40e holds the EBDA's segment
 *     0x01000  GDT
 *     0x02000  boot_params (Linux), hvm_start_info or Multiboot information
 *     0x04000  stack top, growing down
 *     0x10000  page tables for the 64-bit entry, 24 KiB
 *     0x20000  command lines, up to 64 KiB
 *     0x90000  end of what a loader uses
 *     0x9fc00  EBDA: RSDP
 *     0xf0000  SMBIOS entry point and structures
 *
 * and the other ACPI tables at the top of low RAM, in bytes the e820 map reserves.
 */
import { EBDA_START } from './e820.js';

export const LAYOUT = {
  BDA_EBDA_SEGMENT: 0x40e,
  GDT: 0x1000,
  START_INFO: 0x2000,
  STACK_TOP: 0x4000,
  PAGE_TABLES: 0x1_0000,
  CMDLINE: 0x2_0000,
  CMDLINE_MAX: 0x1_0000,
  LOW_END: 0x9_0000,
  RSDP: EBDA_START + 0x10,
  SMBIOS: 0xf_0000,
  SMBIOS_END: 0x10_0000,
} as const;
