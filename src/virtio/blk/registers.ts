/** Virtio block device. [VIRTIO 5.2] */

export const BLK_DEVICE_ID = 2;
/** Mass storage, other. */
export const BLK_CLASS = 0x01_80_00;
export const SECTOR_BYTES = 512;

/** [VIRTIO 5.2.3] */
export const blkFeature = {
  segMax: 2,
  readOnly: 5,
  blkSize: 6,
  flush: 9,
  topology: 10,
  configWce: 11,
  multiQueue: 12,
  discard: 13,
  writeZeroes: 14,
} as const;

/** Offsets in configuration space. [VIRTIO 5.2.4] */
export const blkConfig = {
  capacity: 0,
  segMax: 12,
  blkSize: 20,
  physicalBlockExp: 24,
  minIoBlocks: 26,
  optIoBlocks: 28,
  writeback: 32,
  queueCount: 34,
  maxDiscardSectors: 36,
  maxDiscardSegments: 40,
  discardAlignment: 44,
  maxZeroSectors: 48,
  maxZeroSegments: 52,
  zeroMayUnmap: 56,
  bytes: 60,
} as const;

/** [VIRTIO 5.2.6] */
export const request = {
  in: 0,
  out: 1,
  flush: 4,
  getId: 8,
  discard: 11,
  writeZeroes: 13,
} as const;
/** Type u32, reserved u32, sector u64. */
export const HEADER_BYTES = 16;
/** Of discard and write-zeroes: sector u64, sectors u32, flags u32. */
export const SEGMENT_BYTES = 16;
export const UNMAP_FLAG = 1;
export const ID_BYTES = 20;

export const blkStatus = { ok: 0, ioError: 1, unsupported: 2 } as const;

/** Entries of each queue; a request may have all but two of them as data. */
export const BLK_QUEUE_SIZE = 256;
export const SEG_MAX = BLK_QUEUE_SIZE - 2;
/** What one discard or write-zeroes may ask for: 2 GiB in each of 64 ranges. */
export const MAX_RANGE_SECTORS = 2 ** 22;
export const MAX_RANGES = 64;
