/** PCI configuration mechanism #1. [PCI 3.2.2.3.2], [PMC 3.2] */

/** CONFADD, a register for dword accesses only. */
export const CONFIG_ADDRESS_PORT = 0xcf8;
/** CONFDATA. */
export const CONFIG_DATA_PORT = 0xcfc;

export const configAddress = {
  /** CONE: CONFDATA accesses become configuration cycles. */
  enable: 0x8000_0000,
  /** Bits that can be set: enable, bus, device, function, register. */
  writable: 0x80ff_fffc,
} as const;
