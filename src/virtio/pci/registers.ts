/** Red Hat's vendor id, which all virtio functions have. [VIRTIO 4.1.2] */
export const VENDOR_ID = 0x1af4;
/** Plus the device type. */
export const MODERN_DEVICE_ID = 0x1040;
/** Device ids of transitional functions by device type. [VIRTIO 4.1.2] */
export const transitionalDeviceId: Readonly<Record<number, number>> = {
  1: 0x1000,
  2: 0x1001,
  5: 0x1002,
  3: 0x1003,
  8: 0x1004,
  4: 0x1005,
  9: 0x1009,
};

/** Where each structure is; all modern ones share one BAR. [VIRTIO 4.1.4] */
export const bars = { legacy: 0, msix: 1, modern: 4 } as const;
export const structures = {
  common: { type: 1, offset: 0x0000, length: 0x40 },
  isr: { type: 3, offset: 0x1000, length: 4 },
  device: { type: 4, offset: 0x2000 },
  notify: { type: 2, offset: 0x3000 },
} as const;
export const MODERN_BYTES = 0x4000;
export const MSIX_BYTES = 0x1000;
/** Bytes from one queue's doorbell to the next. [VIRTIO 4.1.4.4] */
export const NOTIFY_MULTIPLIER = 4;

/** Capability ids. [PCI appendix H] */
export const capabilityId = { vendor: 0x09, msix: 0x11 } as const;
/** Window to the BARs through configuration space. [VIRTIO 4.1.4.9] */
export const PCI_CFG_TYPE = 5;
/** Offsets in the window's capability. */
export const window = { bar: 4, offset: 8, length: 12, data: 16 } as const;

/** Common configuration structure. [VIRTIO 4.1.4.3] */
export const common = {
  deviceFeatureSelect: 0x00,
  deviceFeature: 0x04,
  driverFeatureSelect: 0x08,
  driverFeature: 0x0c,
  configVector: 0x10,
  queueCount: 0x12,
  status: 0x14,
  generation: 0x15,
  queueSelect: 0x16,
  queueSize: 0x18,
  queueVector: 0x1a,
  queueEnable: 0x1c,
  queueNotifyOffset: 0x1e,
  /** Descriptor, driver, device area: two words each. */
  queueAreas: 0x20,
  queueAreasEnd: 0x38,
  queueNotifyData: 0x38,
  queueReset: 0x3a,
} as const;

/** Legacy interface, in an I/O BAR. [VIRTIO 4.1.4.10] */
export const legacy = {
  deviceFeatures: 0,
  driverFeatures: 4,
  queuePage: 8,
  queueSize: 12,
  queueSelect: 14,
  queueNotify: 16,
  status: 18,
  isr: 19,
  /** Only while MSI-X is enabled; the device's own registers follow. */
  configVector: 20,
  queueVector: 22,
  device: 20,
  deviceWithMsix: 24,
} as const;

/** No vector: the interrupt goes nowhere. [VIRTIO 4.1.5.1.2] */
export const NO_VECTOR = 0xffff;
