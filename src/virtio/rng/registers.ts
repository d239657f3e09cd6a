/** Virtio entropy device. [VIRTIO 5.4] */

export const RNG_DEVICE_ID = 4;
/** No class fits. */
export const RNG_CLASS = 0xff_00_00;
export const RNG_QUEUE_SIZE = 64;
/** What one buffer gets at most: a driver that wants more asks again. */
export const MAX_RANDOM_BYTES = 4096;
