import type { Dma } from '../../device/dma.js';

/** A run of guest memory. */
export interface Span {
  readonly gpa: number;
  readonly length: number;
}

/** Whose chain it is: closed by a reset, after which nothing may reach guest memory. */
export interface ChainOwner {
  readonly isOpen: boolean;
}

/**
 * A buffer that the driver made available: a part the device reads, then a part it writes, each in
 * pieces that mean nothing. Copied out of the ring and checked; what it points to may be anywhere.
 */
export class Chain {
  readonly readableBytes: number;
  readonly writableBytes: number;

  constructor(
    /** What the used ring names it by: head of the chain, or buffer id. */
    readonly id: number,
    /** Places of the packed ring that it takes; 1 in a split ring. */
    readonly slots: number,
    readonly readable: readonly Span[],
    readonly writable: readonly Span[],
    private readonly owner: ChainOwner,
    private readonly dma: Dma,
  ) {
    this.readableBytes = total(readable);
    this.writableBytes = total(writable);
  }

  /**
   * Copies from the readable part, from its byte `offset` on. False, with the rest all ones or as it
   * was, where the part is too short, leaves guest memory or belongs to a queue that was reset.
   */
  read(offset: number, into: Uint8Array): boolean {
    return this.each(this.readable, offset, into, this.readPiece);
  }

  /** Copies to the writable part; false as in {@link read}. */
  write(offset: number, from: Uint8Array): boolean {
    return this.each(this.writable, offset, from, this.writePiece);
  }

  private readonly readPiece = (gpa: number, bytes: Uint8Array) => this.dma.read(gpa, bytes);
  private readonly writePiece = (gpa: number, bytes: Uint8Array) => this.dma.write(gpa, bytes);

  private each(
    spans: readonly Span[],
    offset: number,
    bytes: Uint8Array,
    copy: (gpa: number, bytes: Uint8Array) => boolean,
  ): boolean {
    if (!this.owner.isOpen) return false;
    let all = true;
    let skip = offset;
    let at = 0;
    for (const { gpa, length } of spans) {
      if (at === bytes.length) break;
      const count = Math.min(length - skip, bytes.length - at);
      if (count > 0) {
        const piece = count === bytes.length ? bytes : bytes.subarray(at, at + count);
        if (!copy(gpa + skip, piece)) all = false;
        at += count;
      }
      skip = Math.max(0, skip - length);
    }
    return all && at === bytes.length;
  }
}

function total(spans: readonly Span[]): number {
  let bytes = 0;
  for (const { length } of spans) bytes += length;
  return bytes;
}
