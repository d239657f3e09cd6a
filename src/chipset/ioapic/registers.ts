/** 82093AA I/O APIC, data sheet 290566. [IOAPIC] */

export const IOAPIC_BASE = 0xfec0_0000;
export const IOAPIC_SIZE = 0x1000;
export const PIN_COUNT = 24;

/** Offsets of the two registers that memory shows. [IOAPIC 3.1] */
export const IOREGSEL = 0x00;
export const IOWIN = 0x10;

/** Indices behind them. [IOAPIC 3.2] */
export const index = {
  id: 0x00, // IOAPICID
  version: 0x01, // IOAPICVER
  arbitration: 0x02, // IOAPICARB
  redirection: 0x10, // IOREDTBL: low word, high word for each pin
} as const;

/** Version 11h, 24 entries: no EOI register. [IOAPIC 3.2.2] */
export const VERSION = 0x11 | ((PIN_COUNT - 1) << 16);
export const ID_SHIFT = 24;
export const ID_MASK = 0xf;

/** Low word of a redirection entry. [IOAPIC 3.2.4] */
export const entry = {
  vector: 0xff,
  deliveryModeShift: 8,
  logical: 1 << 11,
  lowActive: 1 << 13,
  remoteIrr: 1 << 14,
  level: 1 << 15,
  masked: 1 << 16,
  /** Delivery status and remote IRR are the chip's. */
  writable: 0x1_afff,
  valid: 0x1_efff,
} as const;
/** High word: destination. */
export const DEST_SHIFT = 24;
export const DEST_MASK = 0xff00_0000 | 0;

/** Message-signalled interrupts. [SDM 3A 11.11] */
export const msi = {
  /** Bits 31 to 20 of the address. */
  base: 0xfee,
  logical: 1 << 2,
  destShift: 12,
  vector: 0xff,
  deliveryModeShift: 8,
  assert: 1 << 14,
  level: 1 << 15,
} as const;
