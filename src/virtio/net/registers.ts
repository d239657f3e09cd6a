/** Virtio network device. [VIRTIO 5.1] */

export const NET_DEVICE_ID = 1;
/** Network controller, Ethernet. */
export const NET_CLASS = 0x02_00_00;

/** [VIRTIO 5.1.3] */
export const netFeature = {
  checksum: 0,
  guestChecksum: 1,
  controlGuestOffloads: 2,
  mtu: 3,
  mac: 5,
  guestTso4: 7,
  guestTso6: 8,
  guestEcn: 9,
  hostTso4: 11,
  hostTso6: 12,
  hostEcn: 13,
  mergeable: 15,
  status: 16,
  control: 17,
  controlRx: 18,
  controlVlan: 19,
  controlRxExtra: 20,
  guestAnnounce: 21,
  multiQueue: 22,
  controlMac: 23,
  guestUso4: 54,
  guestUso6: 55,
  hostUso: 56,
} as const;

const f = netFeature;

/** [VIRTIO 5.1.3.1] */
export const netRequires: readonly (readonly [number, ...number[]])[] = [
  [f.guestTso4, f.guestChecksum],
  [f.guestTso6, f.guestChecksum],
  [f.guestEcn, f.guestTso4, f.guestTso6],
  [f.guestUso4, f.guestChecksum],
  [f.guestUso6, f.guestChecksum],
  [f.hostTso4, f.checksum],
  [f.hostTso6, f.checksum],
  [f.hostEcn, f.hostTso4, f.hostTso6],
  [f.hostUso, f.checksum],
  [f.controlRx, f.control],
  [f.controlVlan, f.control],
  [f.guestAnnounce, f.control],
  [f.multiQueue, f.control],
  [f.controlMac, f.control],
];

/** Offsets in configuration space. [VIRTIO 5.1.4] */
export const netConfig = { mac: 0, status: 6, maxPairs: 8, mtu: 10, bytes: 12 } as const;
export const MAC_BYTES = 6;
export const netStatus = { linkUp: 1, announce: 2 } as const;

/** Before every frame: flags, gso_type u8; the rest u16. [VIRTIO 5.1.6] */
export const netHeader = {
  flags: 0,
  gsoType: 1,
  headerBytes: 2,
  gsoBytes: 4,
  checksumStart: 6,
  checksumOffset: 8,
  buffers: 10,
  bytes: 12,
  /** Of legacy drivers without mergeable buffers. */
  legacyBytes: 10,
} as const;
export const headerFlag = { needsChecksum: 1, dataValid: 2 } as const;
export const gsoType = { none: 0, tcp4: 1, tcp6: 4, udp: 5, ecn: 0x80 } as const;

/** Control queue: class, command, data; then a status. [VIRTIO 5.1.6.5] */
export const control = {
  rx: 0,
  mac: 1,
  vlan: 2,
  announce: 3,
  multiQueue: 4,
  guestOffloads: 5,
} as const;
export const macCommand = { tableSet: 0, addressSet: 1 } as const;
/** Commands of class `rx`, which are also the bits of the mode. */
export const rxMode = {
  promiscuous: 0,
  allMulti: 1,
  allUni: 2,
  noMulti: 3,
  noUni: 4,
  noBroadcast: 5,
} as const;
export const controlStatus = { ok: 0, error: 1 } as const;

export const NET_QUEUE_SIZE = 256;
/** Ethernet's header, IPv6's, and the most that follows it. [VIRTIO 5.1.6.3] */
export const MAX_FRAME_BYTES = 65_589;
export const ETHERNET_BYTES = 14;
/** Filters beyond this let everything of their kind through. */
export const MAX_MACS = 64;
export const VLANS = 4096;
/** Longest command: both MAC tables full, and more than that. */
export const MAX_COMMAND_BYTES = 2 ** 16;
