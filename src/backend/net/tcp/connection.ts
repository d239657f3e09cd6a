import { put16, put32 } from '../checksum.js';
import { Receiver } from './receiver.js';
import * as wire from './segment.js';
import { flag, HEADER_BYTES, type Segment } from './segment.js';
import { Sender } from './sender.js';
import type { Endpoint, HostStream, HostStreamEvents } from './tcp-environment.js';
import { HEADROOM } from './tcp-environment.js';
import type { TcpNat } from './tcp-nat.js';

/** Less is not believed: it would be all headers. */
const LEAST_MAX_SEGMENT = 64;
/** A timestamp older than this says nothing any more: 24 days. [RFC 7323 5.5] */
const TIMESTAMP_LIFE_MS = 24 * 24 * 3_600_000;
/** Twice a segment's life; the link is memory, where none lives for long. [RFC 9293 3.4.2] */
const TIME_WAIT_MS = 2_000;
/** How long nothing need be heard, open or not open yet. [RFC 5382 REQ-5] */
const IDLE_MS = 124 * 60_000;
const OPENING_MS = 4 * 60_000;
/** Errors of the host which a guest would have heard of by ICMP in its own network. */
const unreachable = /^E(?:(NET)(?:UNREACH|DOWN)|HOST(?:UNREACH|DOWN)|TIMEDOUT)$/;

/**
 * Where a connection is. `connecting`: the guest's SYN has no answer before the host is connected. From
 * `open` on, who has closed is known to sender and receiver: ESTABLISHED to LAST-ACK are one here.
 */
type State = 'connecting' | 'syn-sent' | 'syn-received' | 'open' | 'time-wait' | 'closed';

/** One connection: the guest's TCP on one side, a stream of the host on the other. [RFC 9293] */
export class Connection implements HostStreamEvents {
  /** When something was last heard from either side. */
  activeMs: number;
  /** It is polled at the turn's end. */
  isDue = false;
  /** Most data of each packet to the guest. */
  packetBytes: number;
  private state: State = 'connecting';
  private readonly sender: Sender;
  private readonly receiver: Receiver;
  private stream!: HostStream;
  private closeAtMs = 0;

  // What was agreed on; all of it is offered.
  private scales = true;
  private sacks = true;
  private stamps = true;
  private guestShift = 0;

  private readonly isV6: boolean;
  private readonly ownMaxSegment: number;
  private readonly stampOrigin: number;
  private lastStamp = 0;
  private lastStampMs = 0;
  /** The segment that the window was last taken from. [RFC 9293 3.10.7.4] */
  private windowSequence = -1;
  private windowAck = -1;
  private lastAckSent = 0;
  private owesAck = false;

  /** The stream has all that it wants for now. */
  private isBusy = false;
  private isPaused = false;
  private hasEnded = false;
  private guestClosedFirst = false;

  /** The guest has these bytes of the host's. A frame that waits for the card may be made of them. */
  readonly free = (bytes: Uint8Array): void => {
    if (!this.nat.isBlocked) this.stream.release(bytes);
  };

  constructor(
    readonly nat: TcpNat,
    readonly guest: Endpoint,
    readonly peer: Endpoint,
  ) {
    this.sender = new Sender(this, nat.env.randomU32());
    this.receiver = new Receiver(nat);
    this.stampOrigin = nat.env.randomU32();
    this.activeMs = this.nowMs;
    this.isV6 = guest.address.length === 16;
    this.ownMaxSegment = nat.env.mtu - (this.isV6 ? 40 : 20) - HEADER_BYTES;
    this.packetBytes = this.ownMaxSegment;
  }

  /** Begins with the SYN of a guest that waits for the host, or with our own. */
  begin(stream: HostStream, segment?: Segment): void {
    this.stream = stream;
    if (segment !== undefined) this.learn(segment);
    else {
      this.state = 'syn-sent';
      this.pause();
      this.output();
    }
  }

  /** What the guest's SYN says. */
  private learn(segment: Segment): void {
    const { receiver } = this;
    receiver.initial = segment.sequence;
    receiver.next = 1;
    receiver.edge = 1;
    this.scales &&= segment.windowShift >= 0;
    this.sacks &&= segment.sackPermitted;
    this.stamps &&= segment.hasTimestamp;
    this.guestShift = this.scales ? segment.windowShift : 0;
    this.lastStamp = segment.timestamp;
    this.lastStampMs = this.activeMs;
    // What who does not say takes. [RFC 9293 3.7.1]
    const said = segment.maxSegment || (this.isV6 ? 1220 : 536);
    const packet = Math.min(Math.max(said, LEAST_MAX_SEGMENT), this.ownMaxSegment);
    this.packetBytes = packet - this.stampBytes;
    this.sender.setWindow(segment.window);
  }

  // Segments from the guest.

  /** A new connection takes the place of this one, which is over. [RFC 9293 3.10.7.4, TIME-WAIT] */
  isReplacedBy(segment: Segment): boolean {
    const { receiver } = this;
    return this.state === 'time-wait' && receiver.positionOf(segment.sequence) >= receiver.next;
  }

  input(segment: Segment, bytes: Uint8Array): void {
    this.activeMs = this.nowMs;
    if (this.state === 'connecting') {
      // The guest may have given up and begun again.
      if (segment.has(flag.syn) && !segment.has(flag.ack | flag.rst)) this.learn(segment);
    } else if (this.state === 'syn-sent') this.answered(segment);
    else if (this.isInOrder(segment)) this.synchronized(segment, bytes);
  }

  /** Something came on our SYN. [RFC 9293 3.10.7.3] */
  private answered(segment: Segment): void {
    const { sender } = this;
    const hasAck = segment.has(flag.ack);
    if (hasAck && (sender.next !== 1 || sender.positionOf(segment.acknowledgment) !== 1)) {
      this.nat.reset(this.guest.address, this.peer.address, segment);
    } else if (segment.has(flag.rst)) {
      if (hasAck) this.dispose();
    } else if (segment.has(flag.syn)) {
      this.learn(segment);
      if (hasAck) {
        sender.acknowledge(1);
        this.state = 'open';
        this.oweAck();
      } else {
        // Both opened at once.
        this.state = 'syn-received';
        this.emit(flag.syn, 0, 0);
      }
    }
  }

  /** Checks of sequence number, timestamp, RST and SYN; answers what fails them. [RFC 5961] */
  private isInOrder(segment: Segment): boolean {
    const { receiver } = this;
    const position = receiver.positionOf(segment.sequence);
    if (segment.has(flag.rst)) {
      // Nothing is left to be reset; the host may still be reading. [RFC 1337]
      if (receiver.isFinished && this.sender.isFinished) return false;
      if (position === receiver.next) this.dispose();
      else if (receiver.isAcceptable(position, segment.length)) this.oweAck();
      return false;
    }
    if (this.stamps && !segment.hasTimestamp) return false;
    const isStale = this.stamps && ((segment.timestamp - this.lastStamp) | 0) < 0;
    const isOld = isStale && this.activeMs - this.lastStampMs < TIMESTAMP_LIFE_MS;
    if (isOld || segment.has(flag.syn) || !receiver.isAcceptable(position, segment.length)) {
      if (this.state === 'time-wait') this.closeAtMs = this.activeMs + TIME_WAIT_MS;
      this.oweAck();
      return false;
    }
    if (position <= this.lastAckSent) {
      this.lastStamp = segment.timestamp;
      this.lastStampMs = this.activeMs;
    }
    return segment.has(flag.ack);
  }

  /** Tells the guest where we are, once a turn. */
  private oweAck(): void {
    this.owesAck = true;
    this.nat.pollSoon(this);
  }

  private synchronized(segment: Segment, bytes: Uint8Array): void {
    const { sender, receiver } = this;
    const position = receiver.positionOf(segment.sequence);
    const ack = sender.positionOf(segment.acknowledgment);
    const isOpening = this.state === 'syn-received';
    if (isOpening && (ack < 1 || ack > sender.next)) {
      this.nat.reset(this.guest.address, this.peer.address, segment);
      return;
    }
    if (isOpening) this.state = 'open';
    if (ack > sender.next || ack < sender.una - sender.largestWindow) {
      this.oweAck();
      return;
    }
    this.acknowledged(segment, position, ack);
    if (segment.length > 0) {
      const wasFinished = receiver.isFinished;
      const isEarly = position > receiver.next;
      receiver.receive(position, bytes.subarray(segment.headerBytes), segment.has(flag.fin));
      if (receiver.isFinished && !wasFinished) this.guestClosedFirst = !sender.hasSentFin;
      this.owesAck = true;
      // Who has lost something should know at once. [RFC 5681 4.2]
      if (isEarly) this.emit(flag.ack, sender.next, 0);
    }
    this.nat.pollSoon(this);
  }

  private acknowledged(segment: Segment, position: number, ack: number): void {
    const { sender, windowSequence } = this;
    const { una } = sender;
    const window = segment.window << this.guestShift;
    const isSame = ack === una && window === sender.window && segment.length === 0;
    if (ack > una) sender.acknowledge(ack);
    if (this.sacks && ack >= una) sender.sack(segment);
    const isNewer =
      position > windowSequence || (position === windowSequence && ack >= this.windowAck);
    if (isNewer && ack >= una) {
      this.windowSequence = position;
      this.windowAck = ack;
      sender.setWindow(window);
    }
    sender.considerLoss(isSame && ack < sender.next);
  }

  // Events of the host's stream.

  connected(): void {
    if (this.state !== 'connecting') return;
    this.state = 'syn-received';
    this.output();
  }

  data(bytes: Uint8Array): void {
    if (this.state === 'closed') return;
    this.activeMs = this.nowMs;
    this.sender.push(bytes);
    if (this.sender.queue.length >= this.nat.limitBytes) this.pause();
    this.output();
  }

  drain(): void {
    this.isBusy = false;
    this.poll();
  }

  end(): void {
    this.sender.isClosed = true;
    this.output();
  }

  error(code: string): void {
    const match = this.state === 'connecting' ? unreachable.exec(code) : null;
    if (match !== null) {
      const { guest, peer, receiver } = this;
      const head = new Uint8Array(8);
      put32(head, 0, (guest.port << 16) | peer.port);
      put32(head, 4, receiver.initial);
      const reason = match[1] === undefined ? 'host' : 'network';
      this.nat.env.unreachable(guest.address, peer.address, head, reason);
      this.dispose();
    } else this.abort();
  }

  close(): void {
    if (!this.sender.isClosed || !this.hasEnded) this.abort();
  }

  private pause(): void {
    if (!this.isPaused) this.stream.pause();
    this.isPaused = true;
  }

  // What is done after any of them.

  /** Brings on both directions as far as they go. */
  poll(): void {
    const { receiver, sender, nat, stream } = this;
    while (!this.isBusy && this.state !== 'closed' && receiver.queue.length > 0)
      this.isBusy = !stream.write(receiver.queue.shift()!);
    if (this.state === 'open') {
      if (receiver.isFinished && receiver.queue.length === 0 && !this.hasEnded) {
        this.hasEnded = true;
        stream.end();
      }
      if (this.isPaused && sender.queue.length < nat.limitBytes / 2) {
        this.isPaused = false;
        stream.resume();
      }
      if (receiver.hasOpened) this.owesAck = true;
    }
    this.output();
    if (this.owesAck && this.state !== 'closed') this.emit(flag.ack, sender.next, 0);
    // Both sides have said all.
    if (this.state !== 'open' || !this.hasEnded || !sender.isFinished) return;
    this.state = this.guestClosedFirst ? 'closed' : 'time-wait';
    this.closeAtMs = this.nowMs + TIME_WAIT_MS;
    if (this.guestClosedFirst) nat.remove(this);
    else nat.arm(this);
  }

  private output(): void {
    if (this.state === 'connecting' || this.state === 'closed') return;
    this.sender.output();
    this.nat.arm(this);
  }

  /** Ends the host's side. */
  private dispose(): void {
    if (this.state !== 'time-wait') this.stream.destroy();
    this.state = 'closed';
    this.nat.remove(this);
  }

  /** Ends it on both sides. */
  abort(): void {
    if (this.state === 'closed') return;
    this.emit(flag.rst | flag.ack, this.sender.next, 0);
    this.dispose();
  }

  // Time.

  get nowMs(): number {
    return this.nat.env.nowMs();
  }

  get deadlineMs(): number {
    if (this.state === 'closed') return Number.POSITIVE_INFINITY;
    if (this.state === 'time-wait') return this.closeAtMs;
    const idleMs = this.state === 'open' ? IDLE_MS : OPENING_MS;
    return Math.min(this.sender.deadlineMs, this.activeMs + idleMs);
  }

  /** The deadline has passed, or TIME-WAIT is over. */
  expire(): void {
    if (this.state === 'time-wait') this.dispose();
    else if (this.sender.deadlineMs > this.nowMs || !this.sender.expire()) this.abort();
  }

  // Segments to the guest.

  private get stampBytes(): number {
    return this.stamps ? wire.TIMESTAMP_BYTES : 0;
  }

  /** Most data of a segment. Where the card takes no large ones, each is a packet. */
  get maxDataBytes(): number {
    const { env } = this.nat;
    const most = env.maxSegmentBytes(this.isV6);
    return most > env.mtu ? most - HEADER_BYTES - this.stampBytes : this.packetBytes;
  }

  /** False: the card is full, and this is polled when it is not. */
  emit(flags: number, position: number, bytes: number): boolean {
    const { nat, sender, receiver } = this;
    if (nat.isBlocked) {
      nat.pollLater(this);
      return false;
    }
    const isSyn = (flags & flag.syn) !== 0;
    const isFirst = this.state === 'syn-sent';
    const headerBytes = HEADER_BYTES + this.stampBytes + (isSyn ? wire.SYN_OPTION_BYTES : 0);
    const frame = this.frameOf(position, bytes, HEADROOM + headerBytes);
    const shift = this.scales && !isSyn ? wire.WINDOW_SHIFT : 0;
    put32(frame, HEADROOM, (this.peer.port << 16) | this.guest.port);
    put32(frame, HEADROOM + 4, sender.initial + position);
    put32(frame, HEADROOM + 8, isFirst ? 0 : receiver.initial + receiver.next);
    frame[HEADROOM + 12] = headerBytes << 2;
    frame[HEADROOM + 13] = isFirst ? flags & ~flag.ack : flags | flag.ack;
    put16(frame, HEADROOM + 14, receiver.window(shift, this.packetBytes));
    put32(frame, HEADROOM + 16, 0);
    const at = HEADROOM + HEADER_BYTES;
    const stamp = Math.floor(this.nowMs) + this.stampOrigin;
    if (this.stamps) wire.putTimestamps(frame, at, stamp, isFirst ? 0 : this.lastStamp);
    if (isSyn) {
      const options = wire.synOptions(this.ownMaxSegment, this.scales, this.sacks);
      for (let i = 0; i < 3; i++) put32(frame, at + this.stampBytes + 4 * i, options[i]!);
    }
    this.owesAck = false;
    this.lastAckSent = receiver.next;
    const gsoBytes = bytes > this.packetBytes ? this.packetBytes : 0;
    nat.send(this.peer.address, this.guest.address, frame, gsoBytes);
    return true;
  }

  /** A frame with data from a position on, copied only if they do not stand together. */
  private frameOf(position: number, bytes: number, lead: number): Uint8Array {
    const { una, queue } = this.sender;
    const frame = this.nat.scratch.subarray(0, lead + bytes);
    if (bytes === 0) return frame;
    const offset = position - Math.max(una, 1);
    const inPlace = queue.inPlace(offset, bytes, lead);
    if (inPlace === undefined) queue.copy(offset, bytes, frame, lead);
    return inPlace ?? frame;
  }
}
