import { ByteQueue } from './byte-queue.js';
import { Reassembly } from './reassembly.js';
import type { TcpNat } from './tcp-nat.js';

/**
 * The guest's bytes on their way to the host. Positions count from the guest's SYN, which has position 0,
 * and never wrap: only on the wire are they 32 bits.
 */
export class Receiver {
  /** In order, and not with the host yet. */
  readonly queue = new ByteQueue();
  readonly early = new Reassembly();
  /** The guest's initial sequence number. */
  initial = 0;
  /** The first position that has not come. */
  next = 0;
  /** The first position that the guest was not allowed; never goes back. */
  edge = 0;
  /** Everything has come, FIN too. */
  isFinished = false;
  /** FIN's position, once it is known. */
  private finAt = Number.POSITIVE_INFINITY;

  constructor(private readonly nat: TcpNat) {}

  positionOf(sequence: number): number {
    return this.next + ((sequence - this.initial - this.next) | 0);
  }

  /** Some of a segment may be new, or it tests whether we are there. [RFC 9293 3.10.7.4] */
  isAcceptable(position: number, length: number): boolean {
    const { next, edge } = this;
    if (length === 0 || edge === next) return position >= next && position <= edge;
    return position < edge && position + length > next;
  }

  /** Takes of a segment's data what is new and fits. */
  receive(position: number, data: Uint8Array, hasFin: boolean): void {
    const end = position + data.length;
    if (hasFin && end < this.edge && this.finAt > end && this.early.pieces.lastEnd <= end) {
      this.finAt = Math.max(end, this.next);
    }
    const from = Math.max(position, this.next);
    const to = Math.min(end, this.edge, this.finAt);
    if (from < to) {
      const bytes =
        to - from === data.length ? data : data.subarray(from - position, to - position);
      if (from === this.next) {
        this.take(bytes);
        const more = this.early.take(this.next);
        if (more !== undefined) this.take(more);
      } else this.early.add(from, bytes, this.next, this.edge - this.next);
    }
    if (this.next === this.finAt) {
      this.next++;
      this.isFinished = true;
    }
  }

  private take(bytes: Uint8Array): void {
    this.queue.push(bytes);
    this.next += bytes.length;
  }

  /** How far the guest may be allowed to go now. */
  private get allowed(): number {
    return this.next + Math.max(0, this.nat.limitBytes - this.queue.length);
  }

  /** The guest should hear that it may send more. */
  get hasOpened(): boolean {
    return !this.isFinished && this.allowed - this.edge >= this.nat.limitBytes / 4;
  }

  /**
   * What a segment says of the window. It opens by steps worth sending into. [RFC 9293 3.8.6.2.2]
   */
  window(shift: number, maxSegment: number): number {
    const { allowed } = this;
    if (allowed - this.edge >= Math.min(maxSegment, this.nat.limitBytes / 2)) this.edge = allowed;
    return Math.min(0xffff, (this.edge - this.next) >>> shift);
  }
}
