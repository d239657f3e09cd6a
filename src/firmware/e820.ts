/**
 * The PC's memory map. [ACPI 15.1] QEMU's `pc` is followed: RAM fills up from 0 to the PCI hole, the
 * rest continues at 4 GiB.
 */
import { setU64 } from './bytes.js';

export const E820_RAM = 1;
export const E820_RESERVED = 2;

export interface E820Entry {
  readonly gpa: number;
  readonly sizeBytes: number;
  readonly type: number;
}

export interface RamLayout {
  /** RAM from address 0 up to here. */
  readonly below4G: number;
  /** RAM from 4 GiB on. */
  readonly above4G: number;
}

export const FOUR_GIB = 2 ** 32;
/** Where the hole for PCI devices, APICs and firmware begins unless the machine says otherwise. */
export const DEFAULT_HOLE_START = 0xe000_0000;
/** The last 1 KiB below 640 KiB: the extended BIOS data area, which may hold the RSDP. [ACPI 5.2.5.1] */
export const EBDA_START = 0x9_fc00;
const VGA_START = 0xa_0000;
/** Option ROMs end and system firmware starts. */
const FIRMWARE_LOW_START = 0xe_0000;
const HIGH_MEMORY_START = 0x10_0000;
/** IOAPIC, LAPIC and firmware: nothing else may be put there. */
const CHIPSET_TOP_START = 0xfec0_0000;

export function ramLayout(sizeBytes: number, holeStart = DEFAULT_HOLE_START): RamLayout {
  const below4G = Math.min(sizeBytes, holeStart);
  return { below4G, above4G: sizeBytes - below4G };
}

/**
 * The whole map as firmware would report it, for a guest started without firmware. The last
 * `reservedTop` bytes of low RAM are kept from the guest (that is where its tables are).
 */
export function e820Map(ram: RamLayout, reservedTop = 0): E820Entry[] {
  const ramEnd = ram.below4G - reservedTop;
  const map: E820Entry[] = [
    range(0, EBDA_START, E820_RAM),
    range(EBDA_START, VGA_START, E820_RESERVED),
    range(FIRMWARE_LOW_START, HIGH_MEMORY_START, E820_RESERVED),
    range(HIGH_MEMORY_START, ramEnd, E820_RAM),
  ];
  if (reservedTop > 0) map.push(range(ramEnd, ram.below4G, E820_RESERVED));
  map.push(range(CHIPSET_TOP_START, FOUR_GIB, E820_RESERVED));
  if (ram.above4G > 0) map.push(range(FOUR_GIB, FOUR_GIB + ram.above4G, E820_RAM));
  return map;
}

function range(from: number, to: number, type: number): E820Entry {
  return { gpa: from, sizeBytes: to - from, type };
}

/**
 * What fw_cfg's `etc/e820` says: only where RAM is; the firmware makes its own holes for itself.
 * [QEMU hw/i386/e820_memory_layout.c]
 */
export function fwCfgE820(ram: RamLayout): Uint8Array {
  const map = [range(0, ram.below4G, E820_RAM)];
  if (ram.above4G > 0) map.push(range(FOUR_GIB, FOUR_GIB + ram.above4G, E820_RAM));
  return encodeE820(map);
}

/** Packed 20-byte entries {u64 address, u64 length, u32 type}: the form of fw_cfg and boot_params. */
export function encodeE820(map: readonly E820Entry[]): Uint8Array {
  const out = new Uint8Array(map.length * 20);
  const view = new DataView(out.buffer);
  for (const [i, entry] of map.entries()) {
    setU64(view, i * 20, entry.gpa);
    setU64(view, i * 20 + 8, entry.sizeBytes);
    view.setUint32(i * 20 + 16, entry.type, true);
  }
  return out;
}
