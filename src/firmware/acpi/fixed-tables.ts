/** The tables without AML: FADT, FACS, MADT, WAET. Offsets and bits from ACPI 6.4, chapter 5.2. */
import { assert } from '../../base/assert.js';
import { ascii, concat, viewOf } from '../bytes.js';
import {
  ACPI_DISABLE,
  ACPI_ENABLE,
  type AcpiBoard,
  CMOS_CENTURY,
  IOAPIC_BASE,
  LAPIC_BASE,
  PCI_ISA_IRQS,
  PM_BASE,
  RESET_PORT,
  RESET_VALUE,
  SCI_IRQ,
  SMI_COMMAND_PORT,
} from './board.js';

export const HEADER_LENGTH = 36;
export const HEADER_CHECKSUM = 9;

/** A table with its header; the checksum is left 0 for whoever places it. [5.2.6] */
export function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const out = concat(new Uint8Array(HEADER_LENGTH), body);
  const view = viewOf(out);
  out.set(ascii(signature), 0);
  view.setUint32(4, out.length, true);
  out[8] = revision;
  out.set(ascii('CHASSI'), 10);
  out.set(ascii('CHASSIS '), 16);
  view.setUint32(24, 1, true);
  out.set(ascii('CHAS'), 28);
  view.setUint32(32, 1, true);
  return out;
}

/** Where the FADT points to other tables. [5.2.9] */
export const FADT_FIRMWARE_CTRL = 36;
export const FADT_DSDT = 40;
export const FADT_X_DSDT = 140;

const FADT_LENGTH = 244;
const FLAG = {
  WBINVD: 1 << 0,
  PROC_C1: 1 << 2,
  // PWR_BUTTON (bit 4) stays 0: the power button is the fixed one of PM1.
  /** No fixed sleep button. */
  SLP_BUTTON: 1 << 5,
  RESET_REG_SUP: 1 << 10,
  USE_PLATFORM_CLOCK: 1 << 15,
} as const;
const BOOT_ARCH_LEGACY_DEVICES = 1 << 0;
const BOOT_ARCH_8042 = 1 << 1;

/** Revision 3, pointers left 0. The PM timer has 24 bits as in PIIX4 (TMR_VAL_EXT clear). */
export function fadt(): Uint8Array {
  const out = table('FACP', 3, new Uint8Array(FADT_LENGTH - HEADER_LENGTH));
  const view = viewOf(out);
  const INT_MODEL_APIC = 1;
  const PROFILE_DESKTOP = 1;
  out[44] = INT_MODEL_APIC;
  out[45] = PROFILE_DESKTOP;
  view.setUint16(46, SCI_IRQ, true);
  view.setUint32(48, SMI_COMMAND_PORT, true);
  out[52] = ACPI_ENABLE;
  out[53] = ACPI_DISABLE;
  /** One register block: legacy address, its length byte, and the generic address that doubles it. */
  const block = (address: number, length: number, port: number, bytes: number, generic: number) => {
    view.setUint32(address, port, true);
    out[length] = bytes;
    genericAddress(generic, port, bytes);
  };
  const genericAddress = (offset: number, port: number, bytes: number) => {
    const SYSTEM_IO = 1;
    out[offset] = SYSTEM_IO;
    out[offset + 1] = bytes * 8;
    view.setUint32(offset + 4, port, true);
  };
  block(56, 88, PM_BASE, 4, 148);
  block(64, 89, PM_BASE + 4, 2, 172);
  block(76, 91, PM_BASE + 8, 4, 208);
  // Latencies above 100 and 1000 us say that C2 and C3 do not exist.
  view.setUint16(96, 0xfff, true);
  view.setUint16(98, 0xfff, true);
  out[108] = CMOS_CENTURY;
  view.setUint16(109, BOOT_ARCH_LEGACY_DEVICES | BOOT_ARCH_8042, true);
  view.setUint32(
    112,
    FLAG.WBINVD | FLAG.PROC_C1 | FLAG.SLP_BUTTON | FLAG.RESET_REG_SUP | FLAG.USE_PLATFORM_CLOCK,
    true,
  );
  genericAddress(116, RESET_PORT, 1);
  out[128] = RESET_VALUE;
  return out;
}

/** 64 bytes, no checksum, 64-byte aligned. [5.2.10] */
export function facs(): Uint8Array {
  const out = new Uint8Array(64);
  out.set(ascii('FACS'));
  out[4] = out.length;
  return out;
}

const ACTIVE_HIGH_LEVEL = 0x0d;

/**
 * [5.2.12] The PIT's interrupt is wired to IOAPIC pin 2, as on PCs since the 82489DX and in QEMU; the
 * SCI and the PCI interrupts are level-triggered where ISA's default is edge.
 */
export function madt(board: AcpiBoard): Uint8Array {
  assert(board.cpus >= 1 && board.cpus <= 255, 'a local APIC id has 8 bits, and 255 is broadcast');
  const u32 = (value: number) => [
    value & 0xff,
    (value >>> 8) & 0xff,
    (value >>> 16) & 0xff,
    value >>> 24,
  ];
  const override = (irq: number, gsi: number, flags: number) => [
    2,
    10,
    0,
    irq,
    ...u32(gsi),
    flags,
    0,
  ];
  const PCAT_COMPAT = 1;
  const body = [
    ...u32(LAPIC_BASE),
    ...u32(PCAT_COMPAT),
    ...Array.from({ length: board.cpus }, (_, id) => [0, 8, id, id, ...u32(1)]).flat(),
    ...[1, 12, 0, 0, ...u32(IOAPIC_BASE), ...u32(0)],
    ...override(0, 2, 0),
    ...[...PCI_ISA_IRQS, SCI_IRQ]
      .sort((a, b) => a - b)
      .flatMap((irq) => override(irq, irq, ACTIVE_HIGH_LEVEL)),
    // NMI on LINT1 of every CPU.
    ...[4, 6, 0xff, 0, 0, 1],
  ];
  return table('APIC', 3, Uint8Array.from(body));
}

/** Windows ACPI Emulated devices Table: RTC acknowledges and the PM timer needs one read only. */
export function waet(): Uint8Array {
  const RTC_GOOD = 1;
  const PM_TIMER_GOOD = 2;
  return table('WAET', 1, Uint8Array.of(RTC_GOOD | PM_TIMER_GOOD, 0, 0, 0));
}
