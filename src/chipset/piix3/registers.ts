/** 82371SB PCI ISA IDE Xcelerator (PIIX3), function 0: the ISA bridge. Data sheet 290550. */

export const identity = {
  vendorId: 0x8086,
  deviceId: 0x7000,
  revision: 0,
  classCode: 0x06_01_00,
  // QEMU's, which guests know boards like this one by.
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  multifunction: true,
} as const;

/** PCICMD: I/O, memory and bus master, fixed at one. [PIIX3 2.2.3] */
export const PCICMD_RESET = 0x0007;
/** PCISTS: medium DEVSEL timing. [PIIX3 2.2.4] */
export const PCISTS_RESET = 0x0200;

/** Registers of the chip's own: offset, width, reset value, bits that can be written. */
export const plainRegisters: readonly [number, 1 | 2 | 4, number, number][] = [
  [0x4c, 1, 0x4d, 0xff], // IORT
  [0x4e, 2, 0x0003, 0x01d7], // XBCS
  [0x69, 1, 0x02, 0xfe], // TOM
  [0x70, 1, 0x80, 0xef], // MBIRQ0
  [0x76, 1, 0x0c, 0x8f], // MBDMA0
  [0x77, 1, 0x0c, 0x8f], // MBDMA1
  [0x78, 2, 0x0002, 0xffff], // PCSC
  [0x80, 1, 0x00, 0x7f], // APICBASE
  [0x82, 1, 0x00, 0x0f], // DLC
  [0xa0, 1, 0x08, 0x1f], // SMICNTL
  [0xa2, 2, 0x0000, 0x01ff], // SMIEN
  [0xa4, 4, 0x0000_0000, ~0], // SEE
  [0xa8, 1, 0x0f, 0xff], // FTMR
  [0xac, 1, 0x00, 0xff], // CTLTMR
  [0xae, 1, 0x00, 0xff], // CTHTMR
];

/** PIRQRC[A:D]: where each PCI interrupt goes. [PIIX3 2.2.10] */
export const PIRQRC = 0x60;
export const PIRQ_COUNT = 4;
export const pirqrc = {
  /** Interrupt routing disabled; the reset value. */
  disabled: 0x80,
  irqMask: 0x0f,
  writable: 0x8f,
} as const;
/** IRQs that can be chosen: not 0, 1, 2, 8 and 13, which are the board's own. [PIIX3 2.2.10] */
export const ROUTABLE_IRQS = 0b1101_1110_1111_1000;

/** RCR, reset control. [PIIX3 2.5.4.1] */
export const RESET_CONTROL_PORT = 0xcf9;
export const rcr = {
  /** SRST: a hard reset of the whole machine, else a soft one of the CPU. */
  hard: 1 << 1,
  /** RCPU: its rise starts the reset. */
  resetCpu: 1 << 2,
} as const;
