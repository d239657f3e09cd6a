/** Virtio console device. [VIRTIO 5.3] */

export const CONSOLE_DEVICE_ID = 3;
/** Simple communication controller, other. */
export const CONSOLE_CLASS = 0x07_80_00;

/** [VIRTIO 5.3.3] */
export const consoleFeature = { size: 0, multiport: 1, emergencyWrite: 2 } as const;

/** Offsets in configuration space. [VIRTIO 5.3.4] */
export const consoleConfig = {
  columns: 0,
  rows: 2,
  maxPorts: 4,
  emergencyWrite: 8,
  bytes: 12,
} as const;

/** Queues of port 0 come first, then control, then the other ports' pairs. [VIRTIO 5.3.2] */
export const CONTROL_RECEIVE = 2;
export const CONTROL_TRANSMIT = 3;
export const receiveQueue = (port: number) => (port === 0 ? 0 : 2 + 2 * port);
/** The port of a data queue, or -1 for control queues. */
export const portOfQueue = (queue: number) =>
  queue < 2 ? 0 : queue < 4 ? -1 : Math.floor(queue / 2) - 1;

/** Control messages: port u32, event u16, value u16, then what the event adds. [VIRTIO 5.3.6.2] */
export const CONTROL_BYTES = 8;
export const controlEvent = {
  deviceReady: 0,
  deviceAdd: 1,
  portReady: 3,
  consolePort: 4,
  resize: 5,
  portOpen: 6,
  portName: 7,
} as const;

export const CONSOLE_QUEUE_SIZE = 128;
export const MAX_PORTS = 31;
/** Control messages that wait for the driver's buffers; a driver that asks for more gets none. */
export const MAX_WAITING = 256;
