import { ByteQueue, compact } from './byte-queue.js';
import type { TcpNat } from './tcp-nat.js';

/** Segments beyond this many that come before their time are not kept. */
const MAX_EARLY = 256;

/**
 * The guest's bytes on their way to the host. Positions count from the guest's SYN, which has position 0,
 * and never wrap: only on the wire are they 32 bits.
 */
export class Receiver {
  /** In order, and not with the host yet. */
  readonly queue = new ByteQueue();
  /** What came before its time, by position; some of it may be there twice. */
  private readonly early: { position: number; bytes: Uint8Array }[] = [];
  private earlyBytes = 0;
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

  /** Takes of a segment's data what is new and fits, and what has waited for it. */
  receive(position: number, data: Uint8Array, hasFin: boolean): void {
    const { early } = this;
    const end = position + data.length;
    if (hasFin && end < this.edge) this.finAt = Math.min(this.finAt, Math.max(end, this.next));
    this.place(position, data);
    for (let first = early[0]; first && first.position <= this.next; first = early[0]) {
      early.shift();
      this.earlyBytes -= first.bytes.length;
      this.place(first.position, first.bytes);
    }
    if (this.next !== this.finAt) return;
    this.next++;
    this.isFinished = true;
  }

  private place(position: number, data: Uint8Array): void {
    const { early, next } = this;
    const from = Math.max(position, next);
    const to = Math.min(position + data.length, this.edge, this.finAt);
    if (from >= to) return;
    const bytes = to - from === data.length ? data : data.subarray(from - position, to - position);
    if (from === next) {
      this.queue.push(bytes);
      this.next = to;
    } else if (early.length < MAX_EARLY && this.earlyBytes + bytes.length <= this.nat.limitBytes) {
      let at = early.length;
      while (at > 0 && early[at - 1]!.position > from) at--;
      early.splice(at, 0, { position: from, bytes: compact(bytes) });
      this.earlyBytes += bytes.length;
    }
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
