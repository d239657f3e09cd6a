import { BANK_BYTES } from './registers.js';

/** Memory sizes as the BIOS keeps them, low byte first [SeaBIOS src/hw/rtc.h]. */
const BASE_KIB = 0x15;
const EXTENDED_KIB = [0x17, 0x30] as const;
const ABOVE_16_MIB = 0x34;
const ABOVE_4_GIB = 0x5b;
/** What a PC is equipped with: an FPU (bit 1) and a PS/2 port (bit 2). */
const EQUIPMENT = 0x14;
const EQUIPMENT_FPU_AND_PS2 = 0x06;
/** Boot devices, first and second in one byte, the third with a flag in the other. */
const BOOT_FIRST_SECOND = 0x3d;
const BOOT_THIRD_AND_FLAGS = 0x38;

const BOOT_DEVICES = ['floppy', 'disk', 'cd', 'network'] as const;
export type BootDevice = (typeof BOOT_DEVICES)[number];

/**
 * CMOS contents that tell SeaBIOS how much RAM there is: `lowBytes` below 4 GiB, from address 0,
 * and `highBytes` above.
 */
export function cmosForMemory(lowBytes: number, highBytes: number): Uint8Array {
  const cmos = new Uint8Array(2 * BANK_BYTES);
  const put = (at: number, count: number, limit: number, bytes: number) => {
    const value = Math.max(0, Math.min(limit, Math.floor(count)));
    for (let i = 0; i < bytes; i++) cmos[at + i] = value >>> (8 * i);
  };
  put(BASE_KIB, lowBytes / 1024, 640, 2);
  for (const at of EXTENDED_KIB) put(at, lowBytes / 1024 - 1024, 0xffff, 2);
  put(ABOVE_16_MIB, (lowBytes - 16 * 1024 * 1024) / 0x1_0000, 0xffff, 2);
  put(ABOVE_4_GIB, highBytes / 0x1_0000, 0xff_ffff, 3);
  cmos[EQUIPMENT] = EQUIPMENT_FPU_AND_PS2;
  return cmos;
}

/** Writes the order in which SeaBIOS tries to boot; at most three devices count. */
export function setBootOrder(cmos: Uint8Array, order: readonly BootDevice[]): void {
  const code = (i: number) => (i < order.length ? BOOT_DEVICES.indexOf(order[i]!) + 1 : 0);
  cmos[BOOT_FIRST_SECOND] = code(0) | (code(1) << 4);
  cmos[BOOT_THIRD_AND_FLAGS] = code(2) << 4;
}
