import { fold, get16, get32, sumWords } from './checksum.js';

/** What follows the header. */
export const protocol = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

/** A packet from the guest, or a piece of one. */
export interface Packet {
  readonly protocol: number;
  /** Time to live, hop limit. */
  readonly hops: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly payload: Uint8Array;
  /** All of it, to be quoted in error messages. */
  readonly whole: Uint8Array;
  /** It is a piece: of which packet, where in it, and whether it is the last. */
  readonly fragment?: { readonly id: number; readonly offset: number; readonly isLast: boolean };
}

const V4_BYTES = 20;
const V6_BYTES = 40;

/** Undefined for what is no packet. Bytes after its end are padding. [RFC 791 3.1] */
export function parseV4(bytes: Uint8Array): Packet | undefined {
  const headerBytes = (bytes[0]! & 15) * 4;
  if (bytes.length < V4_BYTES || bytes[0]! >> 4 !== 4) return undefined;
  const totalBytes = get16(bytes, 2);
  if (headerBytes < V4_BYTES || totalBytes < headerBytes || totalBytes > bytes.length) {
    return undefined;
  }
  if (fold(sumWords(bytes.subarray(0, headerBytes))) !== 0xffff) return undefined;
  const flags = get16(bytes, 6);
  const offset = (flags & 0x1fff) * 8;
  const isLast = (flags & 0x2000) === 0;
  return {
    protocol: bytes[9]!,
    hops: bytes[8]!,
    source: bytes.subarray(12, 16),
    destination: bytes.subarray(16, 20),
    payload: bytes.subarray(headerBytes, totalBytes),
    whole: bytes.subarray(0, totalBytes),
    ...(offset > 0 || !isLast ? { fragment: { id: get16(bytes, 4), offset, isLast } } : {}),
  };
}

const extension = { hopByHop: 0, routing: 43, fragment: 44, destination: 60 };
const MAX_EXTENSIONS = 8;

/** Goes over extension headers; a route that is not at its end is refused. [RFC 8200 3, 4] */
export function parseV6(bytes: Uint8Array): Packet | undefined {
  if (bytes.length < V6_BYTES || bytes[0]! >> 4 !== 6) return undefined;
  const end = V6_BYTES + get16(bytes, 4);
  if (end > bytes.length) return undefined;
  let next = bytes[6]!;
  let at = V6_BYTES;
  let fragment: Packet['fragment'];
  for (let count = 0; ; count++) {
    const isFragment = next === extension.fragment;
    const { hopByHop, routing, destination } = extension;
    if (!isFragment && next !== hopByHop && next !== routing && next !== destination) break;
    if (at + 8 > end || count === MAX_EXTENSIONS || fragment !== undefined) return undefined;
    if (isFragment) {
      const field = get16(bytes, at + 2);
      fragment = { id: get32(bytes, at + 4), offset: field & 0xfff8, isLast: (field & 1) === 0 };
    } else if (next === routing && bytes[at + 3] !== 0) return undefined;
    next = bytes[at]!;
    at += isFragment ? 8 : 8 * (bytes[at + 1]! + 1);
    // Beyond the first piece there are no headers to be gone over.
    if (fragment !== undefined) break;
  }
  if (at > end) return undefined;
  const isWhole = fragment === undefined || (fragment.offset === 0 && fragment.isLast);
  return {
    protocol: next,
    hops: bytes[7]!,
    source: bytes.subarray(8, 24),
    destination: bytes.subarray(24, 40),
    payload: bytes.subarray(at, end),
    whole: bytes.subarray(0, end),
    ...(isWhole ? {} : { fragment: fragment! }),
  };
}
