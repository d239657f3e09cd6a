/** Virtio over MMIO. Words only; the device's configuration follows in its own widths. [VIRTIO 4.2.2] */
export const mmio = {
  magic: 0x000,
  version: 0x004,
  deviceId: 0x008,
  vendorId: 0x00c,
  deviceFeatures: 0x010,
  deviceFeaturesSelect: 0x014,
  driverFeatures: 0x020,
  driverFeaturesSelect: 0x024,
  queueSelect: 0x030,
  queueSizeMax: 0x034,
  queueSize: 0x038,
  queueReady: 0x044,
  queueNotify: 0x050,
  interruptStatus: 0x060,
  interruptAck: 0x064,
  status: 0x070,
  /** Each low and high. */
  queueDescriptors: 0x080,
  queueDriver: 0x090,
  queueDevice: 0x0a0,
  sharedLength: 0x0b0,
  sharedBaseHigh: 0x0bc,
  queueReset: 0x0c0,
  generation: 0x0fc,
  config: 0x100,
} as const;

/** "virt" */
export const MAGIC = 0x7472_6976;
export const VERSION = 2;
/** "CHAS" */
export const VENDOR = 0x5341_4843;
export const MMIO_BYTES = 0x200;
