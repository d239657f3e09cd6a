/** Rings as driver and device see them in guest memory. Little-endian. */

/** A descriptor of either ring: address u64, length u32, then what differs. [VIRTIO 2.7.5, 2.8.13] */
export const DESCRIPTOR_BYTES = 16;

/** Descriptor flags. [VIRTIO 2.7.5, 2.8.1] */
export const descriptorFlag = {
  next: 1 << 0,
  /** The device writes this buffer; else it reads it. */
  write: 1 << 1,
  /** The buffer is a table of descriptors. */
  indirect: 1 << 2,
  /** Packed ring: equal to the driver's wrap counter when made available. */
  avail: 1 << 7,
  /** Packed ring: equal to `avail` when used. */
  used: 1 << 15,
} as const;

/**
 * Split ring. [VIRTIO 2.7.6, 2.7.8]
 *
 *   available: flags u16 | idx u16 | ring u16[size] | used_event u16
 *   used:      flags u16 | idx u16 | { id u32, len u32 }[size] | avail_event u16
 */
export const split = {
  index: 2,
  ring: 4,
  availableBytes: 2,
  usedBytes: 8,
  /** Available ring's flags: the driver wants no interrupts. */
  noInterrupt: 1,
} as const;

/** Packed ring: an event suppression structure is offset and wrap u16, flags u16. [VIRTIO 2.8.14] */
export const packed = {
  id: 12,
  flags: 14,
  eventFlags: 2,
  /** Notify at any, at none, at one descriptor. */
  eventEnable: 0,
  eventDisable: 1,
  eventDescriptor: 2,
  wrapBit: 15,
} as const;

/** Most descriptors of one chain, those of an indirect table counted: what Linux gives at most. */
export const MAX_CHAIN = 1024;

/** Largest queues of either kind. [VIRTIO 2.7, 2.8.10.1] */
export const MAX_QUEUE_SIZE = 32_768;
