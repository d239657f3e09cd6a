/** The facts of machine type `pc` that its ACPI tables tell the guest. */
import type { RamLayout } from '../e820.js';

export interface AcpiBoard {
  readonly ram: RamLayout;
  /** APIC ids 0 to cpus - 1. */
  readonly cpus: number;
  /** COM1, and COM2 when 2. */
  readonly serialPorts: 0 | 1 | 2;
  /**
   * The IOAPIC pin of PIRQA, B, C and D following, where the board wires them to the IOAPIC besides
   * the PIIX router; without it APIC mode uses the router's ISA interrupts, as QEMU's `pc`.
   */
  readonly pirqGsiBase?: number;
  /** Virtio devices over MMIO, at {@link virtioMmio}. */
  readonly mmioDevices?: number;
}

/** Where virtio devices over MMIO stand, each with a pin of the IOAPIC that no ISA interrupt has. */
export const virtioMmio = { base: 0xfed5_0000, sizeBytes: 0x200, gsi: 16, max: 8 } as const;

export const PM_BASE = 0x600;
export const SCI_IRQ = 9;
export const SMI_COMMAND_PORT = 0xb2;
/** Written to {@link SMI_COMMAND_PORT}: sets SCI_EN. */
export const ACPI_ENABLE = 0xf1;
/** Written to {@link SMI_COMMAND_PORT}: clears SCI_EN. */
export const ACPI_DISABLE = 0xf0;
/** PIIX3's reset control register; 6 is a hard reset. [PIIX3 2.5.4.1] */
export const RESET_PORT = 0xcf9;
export const RESET_VALUE = 6;
export const LAPIC_BASE = 0xfee0_0000;
export const IOAPIC_BASE = 0xfec0_0000;
export const CMOS_CENTURY = 0x32;
/** The interrupts the PIIX router may give a PCI line; level-triggered in PIC and IOAPIC. */
export const PCI_ISA_IRQS = [5, 10, 11] as const;
