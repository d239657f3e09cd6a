/** QEMU's firmware configuration device, [fw_cfg] in QEMU's docs/specs/fw_cfg. */

/** Selector (16-bit writes) and, one above, data (8-bit reads). */
export const FW_CFG_PORT = 0x510;
/** 64-bit big-endian address of a DMA descriptor; writing the low half starts it. */
export const FW_CFG_DMA_PORT = 0x514;

/** Items that have keys of their own. */
export const fwCfgKey = {
  signature: 0x00,
  id: 0x01,
  uuid: 0x02,
  ramSize: 0x03,
  noGraphic: 0x04,
  cpuCount: 0x05,
  kernelAddress: 0x07,
  kernelSize: 0x08,
  initrdAddress: 0x0a,
  initrdSize: 0x0b,
  bootMenu: 0x0e,
  maxCpus: 0x0f,
  kernelEntry: 0x10,
  kernelData: 0x11,
  initrdData: 0x12,
  cmdlineAddress: 0x13,
  cmdlineSize: 0x14,
  cmdlineData: 0x15,
  setupAddress: 0x16,
  setupSize: 0x17,
  setupData: 0x18,
  fileDirectory: 0x19,
  firstFile: 0x20,
  /** Of the architecture: whether IRQ 0 is IOAPIC pin 2. */
  irq0Override: 0x8002,
} as const;

/** Set in a selector by writers of old; the item is the same. */
export const WRITE_CHANNEL = 0x4000;
/** Keys from 0x4000 on are the write channel and the architecture's. */
export const MAX_FILES = 0x4000 - fwCfgKey.firstFile;

export const SIGNATURE = 'QEMU';
/** What the DMA register reads as. */
export const DMA_SIGNATURE = { high: 0x5145_4d55, low: 0x2043_4647 } as const;
export const idBits = { traditional: 1 << 0, dma: 1 << 1 } as const;

/** FWCfgFile: be32 size, be16 key, be16 zero, name. */
export const FILE_ENTRY_SIZE = 64;
export const FILE_NAME_OFFSET = 8;
/** With its terminating zero. */
export const FILE_NAME_SIZE = 56;

/** FWCfgDmaAccess: be32 control, be32 length, be64 address. */
export const DESCRIPTOR_SIZE = 16;
export const dmaControl = {
  error: 1 << 0,
  read: 1 << 1,
  skip: 1 << 2,
  select: 1 << 3,
  write: 1 << 4,
  keyShift: 16,
} as const;

/**
 * Reads past an item's end give zeros. No firmware asks for many; a guest that asks for gigabytes
 * would hold up the machine's thread, and gets an error after these.
 */
export const MAX_ZERO_FILL_BYTES = 16 << 20;
