import { ByteQueue } from './byte-queue.js';
import type { Connection } from './connection.js';
import { RoundTrip } from './round-trip.js';
import { flag, type Segment } from './segment.js';

/** About ten minutes; a hundred seconds is the least for data. [RFC 9293 3.8.3] */
const MAX_ATTEMPTS = 15;
const MAX_SYN_ATTEMPTS = 6;
/** Attempts that count when a guest answers, but has no room. [RFC 9293 3.8.6.1] */
const MAX_PROBES = 6;
/** Acknowledgments that repeat each other, from which on a loss is believed. [RFC 5681 3.2] */
const LOSS_THRESHOLD = 3;
/** A piece of the queue that is worth a segment of its own, because it need not be copied. */
const WHOLE_BYTES = 16 << 10;

/**
 * The host's bytes on their way to the guest. Position 0 is our SYN's, data begin at 1, and FIN follows them;
 * positions never wrap: only on the wire are they 32 bits. There is no congestion window: the link is the
 * guest's own card, which says when it is full.
 */
export class Sender {
  /** Not acknowledged yet, from `una` on. */
  readonly queue = new ByteQueue();
  /** The first position that is not acknowledged. */
  una = 0;
  /** The first position that was never sent. */
  next = 0;
  /** What the guest has room for behind `una`. */
  window = 0;
  largestWindow = 0;
  /** The host sends no more. */
  isClosed = false;
  /** When `expire` is due. */
  deadlineMs = Number.POSITIVE_INFINITY;
  private endOfData = 1;
  private attempts = 0;
  private readonly roundTrip = new RoundTrip();
  /** The acknowledgment of this position is waited for, since then. -1: of none. [RFC 6298 3] */
  private timedPosition = -1;
  private timedAtMs = 0;

  // What is lost. Positions from `resend` to `lossEdge` are sent again, without what the last
  // acknowledgment said to be there, in order of beginnings: begin and end of each piece.
  private readonly sacked: number[] = [];
  private duplicates = 0;
  private isRecovering = false;
  private recoveryEnd = 0;
  private resend = 0;
  private lossEdge = 0;
  /** One segment was sent again after a timeout: nothing more until it is acknowledged. */
  private isWaiting = false;

  constructor(
    private readonly out: Connection,
    /** Our initial sequence number. */
    readonly initial: number,
  ) {}

  positionOf(sequence: number): number {
    return this.next + ((sequence - this.initial - this.next) | 0);
  }

  /** Everything is acknowledged, FIN too. */
  get isFinished(): boolean {
    return this.una > this.endOfData;
  }

  get hasSentFin(): boolean {
    return this.next > this.endOfData;
  }

  push(bytes: Uint8Array): void {
    this.queue.push(bytes);
    this.endOfData += bytes.length;
  }

  /** A position behind `una`, and not behind `next`. */
  acknowledge(position: number): void {
    const { out, una, endOfData } = this;
    const dropped = Math.max(0, Math.min(position, endOfData) - Math.max(una, 1));
    this.queue.drop(dropped, out.free);
    this.una = position;
    this.duplicates = 0;
    this.attempts = 0;
    this.isWaiting = false;
    if (this.timedPosition >= 0 && position >= this.timedPosition) {
      this.roundTrip.measured(out.nowMs - this.timedAtMs);
      this.timedPosition = -1;
    }
    if (position >= this.recoveryEnd) this.isRecovering = false;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (position < this.next) this.startTimer();
  }

  /** The guest has these pieces. Nonsense is dropped. [RFC 2018] */
  sack({ sacks, sackCount }: Segment): void {
    const { sacked, una, next } = this;
    sacked.length = 0;
    for (let i = 0; i < 2 * sackCount; i += 2) {
      const start = this.positionOf(sacks[i]!);
      const end = this.positionOf(sacks[i + 1]!);
      if (start <= una || start >= end || end > next) continue;
      let at = 0;
      while (at < sacked.length && sacked[at]! < start) at += 2;
      sacked.splice(at, 0, start, end);
    }
  }

  setWindow(bytes: number): void {
    const isIdle = this.una === this.next;
    if (isIdle && bytes > 0 && this.window === 0) {
      this.attempts = 0;
      this.deadlineMs = Number.POSITIVE_INFINITY;
    } else if (isIdle) this.attempts = Math.min(this.attempts, MAX_PROBES);
    this.window = bytes;
    this.largestWindow = Math.max(this.largestWindow, bytes);
  }

  /** After an acknowledgment: begins to send again what seems to be lost. [RFC 6675] [RFC 6582] */
  considerLoss(isDuplicate: boolean): void {
    const { sacked, una, next, out } = this;
    if (isDuplicate) this.duplicates++;
    if (!this.isRecovering) {
      const sackedBytes = sacked.reduce((sum, edge, i) => sum + (i % 2 === 0 ? -edge : edge), 0);
      const isEnough = sackedBytes >= LOSS_THRESHOLD * out.packetBytes;
      if ((this.duplicates < LOSS_THRESHOLD && !isEnough) || una === next) return;
      this.recover(una);
    }
    const edge = sacked[sacked.length - 1] ?? una + out.packetBytes;
    this.lossEdge = Math.min(next, Math.max(this.lossEdge, edge));
  }

  private recover(lossEdge: number): void {
    this.isRecovering = true;
    this.recoveryEnd = this.next;
    this.resend = this.una;
    this.lossEdge = lossEdge;
  }

  /** Sends what may be sent. */
  output(): void {
    while (!this.isWaiting && !this.out.nat.isBlocked && (this.sendLost() || this.sendNew(false)));
    const { una, next, endOfData } = this;
    const hasMore = next < endOfData || (next === endOfData && this.isClosed);
    const isStuck = una === next && hasMore && !this.out.nat.isBlocked;
    if (isStuck && this.deadlineMs === Number.POSITIVE_INFINITY) this.startTimer();
  }

  private startTimer(): void {
    this.deadlineMs = this.out.nowMs + this.roundTrip.afterMs(this.attempts);
  }

  private sendLost(): boolean {
    const { sacked, endOfData, out } = this;
    let position = Math.max(this.resend, this.una);
    let end = this.lossEdge;
    for (let i = 0; i < sacked.length && sacked[i]! < end; i += 2) {
      if (sacked[i]! > position) end = sacked[i]!;
      else position = Math.max(position, sacked[i + 1]!);
    }
    if (!this.isRecovering || position >= end) return false;
    this.timedPosition = -1;
    if (position === 0) return out.emit(flag.syn, 0, 0);
    const bytes = Math.min(end - position, endOfData - position, out.maxDataBytes);
    const hasFin = end > endOfData && position + bytes === endOfData;
    const flags = flag.ack | flag.push | (hasFin ? flag.fin : 0);
    if (!out.emit(flags, position, bytes)) return false;
    this.resend = position + bytes + (hasFin ? 1 : 0);
    return true;
  }

  /** Forced: even a few bytes, where the guest has room for no more. */
  private sendNew(isForced: boolean): boolean {
    const { out, next, una, window } = this;
    if (next === 0) return this.sent(flag.syn, 0, 1);
    const unsent = this.endOfData - next;
    const room = una + window - next;
    if (una === 0 || unsent < 0) return false;
    let bytes = Math.min(unsent, room, out.maxDataBytes);
    if (bytes > WHOLE_BYTES) {
      const together = this.queue.together(next - una);
      if (together >= WHOLE_BYTES) bytes = Math.min(bytes, together);
    }
    const isLast = bytes === unsent;
    const hasFin = isLast && this.isClosed && room > bytes;
    if (bytes <= 0 && !hasFin) return false;
    // Little is sent only if it is all, or half of what the guest ever had room for. [RFC 9293 3.8.6.2.1]
    const isSilly = bytes < out.packetBytes && bytes < this.largestWindow / 2;
    if (isSilly && !isLast && !isForced) return false;
    const flags = flag.ack | (isLast ? flag.push : 0) | (hasFin ? flag.fin : 0);
    return this.sent(flags, bytes, bytes + (hasFin ? 1 : 0));
  }

  private sent(flags: number, bytes: number, length: number): boolean {
    const { out, next } = this;
    if (!out.emit(flags, next, bytes)) return false;
    this.next = next + length;
    if (this.deadlineMs === Number.POSITIVE_INFINITY) this.startTimer();
    if (this.timedPosition < 0) {
      this.timedPosition = this.next;
      this.timedAtMs = out.nowMs;
    }
    return true;
  }

  /** No acknowledgment came in time. False: it never will. [RFC 6298 5.4] */
  expire(): boolean {
    const { una, next, out } = this;
    if (!out.nat.isBlocked) this.attempts++;
    if (this.attempts > (una === 0 ? MAX_SYN_ATTEMPTS : MAX_ATTEMPTS)) return false;
    this.startTimer();
    if (una === next) {
      // What lies before the window is answered by whoever is there.
      if (!this.sendNew(true) && una > 0) out.emit(flag.ack, una - 1, 0);
      return true;
    }
    // Who has sacked something may forget it. [RFC 2018 8]
    this.sacked.length = 0;
    this.recover(next);
    this.sendLost();
    this.isWaiting = true;
    return true;
  }
}
