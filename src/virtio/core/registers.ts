/** Device status field. [VIRTIO 2.1] */
export const deviceStatus = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 64,
  failed: 128,
} as const;

/** What a driver may set. */
export const DRIVER_STATUS = 0x8f;

/** Feature bits that are not of a device type. [VIRTIO 6] */
export const feature = {
  /** Legacy devices only: buffers may be cut in any way. [VIRTIO 6.3] */
  anyLayout: 27,
  indirect: 28,
  eventIdx: 29,
  version1: 32,
  packed: 34,
  inOrder: 35,
  notificationData: 38,
  ringReset: 40,
} as const;

/** What every device here offers. */
export const commonFeatures: readonly number[] = Object.values(feature);

/** Interrupt status. [VIRTIO 4.1.4.5, 4.2.2] */
export const interruptStatus = { queue: 1, config: 2 } as const;

/** Legacy queues: a page number of 4 KiB, the used ring aligned to a page. [VIRTIO 2.7.2] */
export const LEGACY_PAGE = 4096;
