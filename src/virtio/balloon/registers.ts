/** Traditional memory balloon. [VIRTIO 5.5] */

export const BALLOON_DEVICE_ID = 5;
/** No class fits. */
export const BALLOON_CLASS = 0xff_00_00;

/** [VIRTIO 5.5.3] */
export const balloonFeature = {
  mustTellHost: 0,
  statistics: 1,
  deflateOnOom: 2,
  freePageHint: 3,
  pagePoison: 4,
  reporting: 5,
} as const;

/** Offsets in configuration space. [VIRTIO 5.5.4] */
export const balloonConfig = { pages: 0, actual: 4, bytes: 8 } as const;

export const BALLOON_PAGE = 4096;
export const BALLOON_QUEUE_SIZE = 128;
/**
 * Queue 3 is for free page hints, which are not offered: Linux then numbers its reporting queue 3,
 * others 4 as the standard does, and both are listened to. [VIRTIO 5.5.2]
 */
export const balloonQueue = { inflate: 0, deflate: 1, statistics: 2, reporting: 3 } as const;
export const BALLOON_QUEUES = 5;

/** Tags of the driver's statistics, each with a 64-bit value. [VIRTIO 5.5.6.4] */
export const statisticNames = [
  'swapIn',
  'swapOut',
  'majorFaults',
  'minorFaults',
  'freeBytes',
  'totalBytes',
  'availableBytes',
  'cacheBytes',
  'hugePagesAllocated',
  'hugePagesFailed',
] as const;
export const STATISTIC_BYTES = 10;
/** Of one buffer; the rest of it is not looked at. Linux sends a kilobyte. */
export const MAX_INFLATE_BYTES = 1 << 18;
/** Page numbers are read in pieces of so many bytes. */
export const PIECE_BYTES = 4096;
