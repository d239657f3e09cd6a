import { get16, get32, put32 } from '../checksum.js';

/** Bits of a segment's flags. [RFC 9293 3.1] */
export const flag = { fin: 1, syn: 2, rst: 4, push: 8, ack: 16 } as const;

/** A header without options; with all it can have; and what options take. */
export const HEADER_BYTES = 20;
export const MAX_HEADER_BYTES = 60;
export const SYN_OPTION_BYTES = 12;
export const TIMESTAMP_BYTES = 12;
/** Of our windows: 65,535 << 5 is more than one ever is. */
export const WINDOW_SHIFT = 5;
/** [RFC 7323 2.3] */
const MAX_WINDOW_SHIFT = 14;

const END_OF_OPTIONS = 0;
const NOTHING = 1;
/** Four of them; and two, before an option of two bytes less than a multiple of 4. */
const NOTHINGS = 0x0101_0101;
const PADDED = 0x0101_0000;
/** Kinds of options with their lengths, as they begin; SACK's length is 2 and 8 for each block. */
const option = {
  maxSegment: 0x0204,
  windowScale: 0x0303,
  sackPermitted: 0x0402,
  sack: 0x0502,
  timestamps: 0x080a,
} as const;

/** A segment taken apart. One object serves all, so that none is made for each segment. */
export class Segment {
  sourcePort = 0;
  destinationPort = 0;
  sequence = 0;
  acknowledgment = 0;
  flags = 0;
  /** As it stands there, not scaled. */
  window = 0;
  headerBytes = 0;
  /** What it takes of the sequence space. */
  length = 0;
  /** 0: not said. */
  maxSegment = 0;
  /** -1: no scaling. */
  windowShift = -1;
  sackPermitted = false;
  hasTimestamp = false;
  timestamp = 0;
  sackCount = 0;
  /** First and behind the last number of each block. */
  readonly sacks = new Uint32Array(8);

  has(flags: number): boolean {
    return (this.flags & flags) !== 0;
  }

  /** False: lengths are not true, and nothing here is of use. */
  decode(bytes: Uint8Array): boolean {
    if (bytes.length < HEADER_BYTES) return false;
    this.sourcePort = get16(bytes, 0);
    this.destinationPort = get16(bytes, 2);
    this.sequence = get32(bytes, 4);
    this.acknowledgment = get32(bytes, 8);
    this.headerBytes = (bytes[12]! >>> 4) * 4;
    this.flags = bytes[13]!;
    this.window = get16(bytes, 14);
    this.length = bytes.length - this.headerBytes;
    if (this.headerBytes < HEADER_BYTES || this.length < 0) return false;
    this.length += (this.has(flag.fin) ? 1 : 0) + (this.has(flag.syn) ? 1 : 0);
    this.maxSegment = 0;
    this.windowShift = -1;
    this.sackPermitted = false;
    this.hasTimestamp = false;
    this.sackCount = 0;
    return this.decodeOptions(bytes);
  }

  private decodeOptions(bytes: Uint8Array): boolean {
    for (let at = HEADER_BYTES, length = 1; at < this.headerBytes; at += length) {
      if (bytes[at] === END_OF_OPTIONS) return true;
      const isOne = bytes[at] === NOTHING;
      length = isOne ? 1 : (bytes[at + 1] ?? 0);
      if (length < (isOne ? 1 : 2) || at + length > this.headerBytes) return false;
      const kind = get16(bytes, at);
      if (kind === option.maxSegment) this.maxSegment = get16(bytes, at + 2);
      else if (kind === option.sackPermitted) this.sackPermitted = true;
      else if (kind === option.windowScale)
        this.windowShift = Math.min(bytes[at + 2]!, MAX_WINDOW_SHIFT);
      else if (kind === option.timestamps) {
        this.hasTimestamp = true;
        this.timestamp = get32(bytes, at + 2);
      } else if (kind >>> 8 === option.sack >>> 8 && length % 8 === 2) {
        this.sackCount = length >>> 3;
        for (let i = 0; i < 2 * this.sackCount; i++) this.sacks[i] = get32(bytes, at + 2 + 4 * i);
      }
    }
    return true;
  }
}

/** Options of a segment with SYN, in words. */
export const synOptions = (maxSegment: number, scales: boolean, sacks: boolean): number[] => [
  (option.maxSegment << 16) | maxSegment,
  scales ? (NOTHING << 24) | (option.windowScale << 8) | WINDOW_SHIFT : NOTHINGS,
  sacks ? PADDED | option.sackPermitted : NOTHINGS,
];

export function putTimestamps(bytes: Uint8Array, at: number, value: number, echo: number): void {
  put32(bytes, at, PADDED | option.timestamps);
  put32(bytes, at + 4, value);
  put32(bytes, at + 8, echo);
}
