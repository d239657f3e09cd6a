/** 82441FX PCI and Memory Controller (PMC), data sheet 290549. [PMC 3.2] */

export const identity = {
  vendorId: 0x8086,
  deviceId: 0x1237,
  revision: 2,
  classCode: 0x06_00_00,
  // QEMU's, which guests know boards like this one by.
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
} as const;

/** PCICMD bits fixed at one: bus master and memory. [PMC 3.2.3] */
export const PCICMD_RESET = 0x0006;
/** PCISTS: medium DEVSEL timing, fast back-to-back. [PMC 3.2.4] */
export const PCISTS_RESET = 0x0280;

/** Registers of the chip's own: offset, width, reset value, bits that can be written. */
export const plainRegisters: readonly [number, 1 | 2 | 4, number, number][] = [
  [0x50, 2, 0x0000, 0xb7f8], // PMCCFG
  [0x52, 1, 0x00, 0xff], // DETURBO
  [0x53, 1, 0x83, 0xff], // DBC
  [0x54, 1, 0x00, 0x82], // AXC
  [0x55, 2, 0x0000, 0xffff], // DRT
  [0x57, 1, 0x01, 0x7f], // DRAMC
  [0x58, 1, 0x10, 0xff], // DRAMT
  [0x60, 4, 0x01010101, ~0], // DRB0-3
  [0x64, 4, 0x01010101, ~0], // DRB4-7
  [0x68, 1, 0x00, 0xc0], // FDHC
  [0x70, 1, 0x20, 0xf8], // MTT
  [0x71, 1, 0x10, 0xf8], // CLT
  [0x90, 1, 0x00, 0xff], // ERRCMD
];

/** PAM0-6: a nibble for each segment, 0 for PCI. [PMC 3.2.18] */
export const PAM0 = 0x59;
export const PAM_COUNT = 7;
export const pam = { readEnable: 1, writeEnable: 2 } as const;
/** PAM0's low nibble is reserved: it would be 0x80000-0x9FFFF, which is always RAM. */
export const PAM0_WRITABLE = 0x30;
export const PAM_WRITABLE = 0x33;

/** SMRAM control. [PMC 3.2.22] */
export const SMRAM = 0x72;
export const smram = {
  /** DBASESEG: A0000-BFFFF, fixed. */
  baseSegment: 0b010,
  enable: 1 << 3,
  /** DLCK: only a power-on reset clears it. */
  lock: 1 << 4,
  close: 1 << 5,
  open: 1 << 6,
} as const;

/** The 13 segments in address order, and the register and shift of their nibble. */
export const pamSegments = [
  { base: 0xc0000, sizeBytes: 0x4000, register: PAM0 + 1, shift: 0 },
  { base: 0xc4000, sizeBytes: 0x4000, register: PAM0 + 1, shift: 4 },
  { base: 0xc8000, sizeBytes: 0x4000, register: PAM0 + 2, shift: 0 },
  { base: 0xcc000, sizeBytes: 0x4000, register: PAM0 + 2, shift: 4 },
  { base: 0xd0000, sizeBytes: 0x4000, register: PAM0 + 3, shift: 0 },
  { base: 0xd4000, sizeBytes: 0x4000, register: PAM0 + 3, shift: 4 },
  { base: 0xd8000, sizeBytes: 0x4000, register: PAM0 + 4, shift: 0 },
  { base: 0xdc000, sizeBytes: 0x4000, register: PAM0 + 4, shift: 4 },
  { base: 0xe0000, sizeBytes: 0x4000, register: PAM0 + 5, shift: 0 },
  { base: 0xe4000, sizeBytes: 0x4000, register: PAM0 + 5, shift: 4 },
  { base: 0xe8000, sizeBytes: 0x4000, register: PAM0 + 6, shift: 0 },
  { base: 0xec000, sizeBytes: 0x4000, register: PAM0 + 6, shift: 4 },
  { base: 0xf0000, sizeBytes: 0x10000, register: PAM0, shift: 4 },
] as const;
