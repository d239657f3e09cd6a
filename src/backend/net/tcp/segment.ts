/** Bits of a segment's flags. [RFC 9293 3.1] */
export const flag = { fin: 1, syn: 2, rst: 4, push: 8, ack: 16 } as const;

/** A header without options. */
export const HEADER_BYTES = 20;
export const MAX_HEADER_BYTES = 60;
/** Timestamps, with two bytes of nothing before them. */
export const TIMESTAMP_BYTES = 12;
/** More would not fit beside timestamps. */
export const MAX_SACKS = 3;
/** [RFC 7323 2.3] */
const MAX_WINDOW_SHIFT = 14;

const option = {
  end: 0,
  nothing: 1,
  maxSegment: 2,
  windowScale: 3,
  sackPermitted: 4,
  sack: 5,
  timestamps: 8,
} as const;

const get16 = (bytes: Uint8Array, at: number) => (bytes[at]! << 8) | bytes[at + 1]!;
const get32 = (bytes: Uint8Array, at: number) => (get16(bytes, at) << 16) | get16(bytes, at + 2);

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}

/** A segment taken apart. One object serves all, so that none is made for each segment. */
export class Segment {
  sourcePort = 0;
  destinationPort = 0;
  /** Sequence numbers are signed here, and never compared before their distance is taken. */
  sequence = 0;
  acknowledgment = 0;
  flags = 0;
  /** As it stands there, not scaled. */
  window = 0;
  headerBytes = 0;
  dataBytes = 0;
  /** 0: not said. */
  maxSegment = 0;
  /** -1: no scaling. */
  windowShift = -1;
  sackPermitted = false;
  hasTimestamps = false;
  timestamp = 0;
  timestampEcho = 0;
  sackCount = 0;
  /** First and behind the last number of each block. */
  readonly sacks = new Int32Array(8);

  has(flags: number): boolean {
    return (this.flags & flags) !== 0;
  }

  /** What it takes of the sequence space. */
  get length(): number {
    return this.dataBytes + (this.flags & flag.fin) + (this.has(flag.syn) ? 1 : 0);
  }

  /** False: lengths are not true, and nothing here is of use. */
  decode(bytes: Uint8Array): boolean {
    const headerBytes = (bytes[12]! >>> 4) * 4;
    if (bytes.length < HEADER_BYTES || headerBytes < HEADER_BYTES) return false;
    if (headerBytes > bytes.length) return false;
    this.sourcePort = get16(bytes, 0);
    this.destinationPort = get16(bytes, 2);
    this.sequence = get32(bytes, 4);
    this.acknowledgment = get32(bytes, 8);
    this.flags = bytes[13]!;
    this.window = get16(bytes, 14);
    this.headerBytes = headerBytes;
    this.dataBytes = bytes.length - headerBytes;
    this.maxSegment = 0;
    this.windowShift = -1;
    this.sackPermitted = false;
    this.hasTimestamps = false;
    this.sackCount = 0;
    return this.decodeOptions(bytes);
  }

  private decodeOptions(bytes: Uint8Array): boolean {
    const { headerBytes } = this;
    for (let at = HEADER_BYTES; at < headerBytes; ) {
      const kind = bytes[at]!;
      if (kind === option.end) return true;
      if (kind === option.nothing) {
        at++;
        continue;
      }
      const length = at + 1 < headerBytes ? bytes[at + 1]! : 0;
      if (length < 2 || at + length > headerBytes) return false;
      if (kind === option.maxSegment && length === 4) this.maxSegment = get16(bytes, at + 2);
      else if (kind === option.windowScale && length === 3)
        this.windowShift = Math.min(bytes[at + 2]!, MAX_WINDOW_SHIFT);
      else if (kind === option.sackPermitted && length === 2) this.sackPermitted = true;
      else if (kind === option.timestamps && length === 10) {
        this.hasTimestamps = true;
        this.timestamp = get32(bytes, at + 2);
        this.timestampEcho = get32(bytes, at + 6);
      } else if (kind === option.sack && length % 8 === 2) {
        this.sackCount = (length - 2) / 8;
        for (let i = 0; i < 2 * this.sackCount; i++) this.sacks[i] = get32(bytes, at + 2 + 4 * i);
      }
      at += length;
    }
    return true;
  }
}

/** Writes the options of a segment with SYN from `at` on, and answers where they end. */
export function putSynOptions(
  bytes: Uint8Array,
  at: number,
  maxSegment: number,
  windowShift: number,
  sackPermitted: boolean,
): number {
  put32(bytes, at, (option.maxSegment << 24) | (4 << 16) | maxSegment);
  at += 4;
  if (windowShift >= 0) {
    put32(bytes, at, (option.nothing << 24) | (option.windowScale << 16) | (3 << 8) | windowShift);
    at += 4;
  }
  if (sackPermitted) {
    put32(
      bytes,
      at,
      (option.nothing << 24) | (option.nothing << 16) | (option.sackPermitted << 8) | 2,
    );
    at += 4;
  }
  return at;
}

export function putTimestamps(bytes: Uint8Array, at: number, value: number, echo: number): number {
  put32(bytes, at, (option.nothing << 24) | (option.nothing << 16) | (option.timestamps << 8) | 10);
  put32(bytes, at + 4, value);
  put32(bytes, at + 8, echo);
  return at + TIMESTAMP_BYTES;
}

/** The head of an option with so many blocks, which follow it. */
export function putSackHead(bytes: Uint8Array, at: number, blocks: number): number {
  put32(
    bytes,
    at,
    (option.nothing << 24) | (option.nothing << 16) | (option.sack << 8) | (2 + 8 * blocks),
  );
  return at + 4;
}
