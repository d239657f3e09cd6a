import { ETHERNET_BYTES, gsoType, headerFlag, netHeader } from './registers.js';

/** What comes with a frame that is not quite one yet: the fields of virtio's header. */
export interface PacketHeader {
  /** {@link headerFlag} */
  flags: number;
  /** {@link gsoType}: the frame stands for several, each with at most `gsoBytes` of payload. */
  gsoType: number;
  headerBytes: number;
  gsoBytes: number;
  /** Where the checksum begins, and where from there it goes. */
  checksumStart: number;
  checksumOffset: number;
}

/** A frame as it is on a wire. */
export const plainPacket: PacketHeader = {
  flags: 0,
  gsoType: gsoType.none,
  headerBytes: 0,
  gsoBytes: 0,
  checksumStart: 0,
  checksumOffset: 0,
};

export function decodeHeader(bytes: Uint8Array): PacketHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    flags: bytes[netHeader.flags]!,
    gsoType: bytes[netHeader.gsoType]!,
    headerBytes: view.getUint16(netHeader.headerBytes, true),
    gsoBytes: view.getUint16(netHeader.gsoBytes, true),
    checksumStart: view.getUint16(netHeader.checksumStart, true),
    checksumOffset: view.getUint16(netHeader.checksumOffset, true),
  };
}

export function encodeHeader(header: PacketHeader, buffers: number, bytes: number): Uint8Array {
  const result = new Uint8Array(bytes);
  const view = new DataView(result.buffer);
  result[netHeader.flags] = header.flags;
  result[netHeader.gsoType] = header.gsoType;
  view.setUint16(netHeader.headerBytes, header.headerBytes, true);
  view.setUint16(netHeader.gsoBytes, header.gsoBytes, true);
  view.setUint16(netHeader.checksumStart, header.checksumStart, true);
  view.setUint16(netHeader.checksumOffset, header.checksumOffset, true);
  if (bytes > netHeader.buffers) view.setUint16(netHeader.buffers, buffers, true);
  return result;
}

/** Length of a frame's own header: a VLAN's tag makes it longer. */
export function ethernetBytes(frame: Uint8Array): number {
  return ETHERNET_BYTES + (frame[12] === 0x81 && frame[13] === 0 ? 4 : 0);
}

/** The checksum's place is in the frame; a frame that stands for several has one, and their size. */
export function isConsistent(frame: Uint8Array, header: PacketHeader): boolean {
  const { checksumStart, checksumOffset, gsoBytes } = header;
  if (!needsChecksum(header)) return header.gsoType === gsoType.none;
  if (header.gsoType !== gsoType.none && gsoBytes === 0) return false;
  return checksumStart + checksumOffset + 2 <= frame.length;
}

/** Completes a partial checksum in place. [RFC 1071] */
export function completeChecksum(frame: Uint8Array, header: PacketHeader): void {
  let sum = 0;
  for (let at = header.checksumStart; at < frame.length; at += 2) {
    sum += frame[at]! * 256 + (frame[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  const at = header.checksumStart + header.checksumOffset;
  // UDP's 0 means none. [RFC 768]
  const value = sum === 0xffff ? 0xffff : ~sum & 0xffff;
  frame[at] = value >> 8;
  frame[at + 1] = value & 0xff;
}

export const FLOWS = 256;

/** The same number for both directions of a flow. */
export function flowOf(frame: Uint8Array): number {
  const type = frame[12]! * 256 + frame[13]!;
  const isV4 = type === 0x0800;
  if (!isV4 && type !== 0x86dd) return 0;
  const addresses = ETHERNET_BYTES + (isV4 ? 12 : 8);
  const ports = ETHERNET_BYTES + (isV4 ? 4 * (frame[ETHERNET_BYTES]! & 0x0f) : 40);
  let hash = 0;
  for (let i = 0; i < (isV4 ? 8 : 32); i++) hash ^= frame[addresses + i] ?? 0;
  for (let i = 0; i < 4; i++) hash ^= frame[ports + i] ?? 0;
  return hash;
}

export const needsChecksum = ({ flags }: PacketHeader) => (flags & headerFlag.needsChecksum) !== 0;
