import { Receiver } from './receiver.js';
import * as wire from './segment.js';
import { flag, HEADER_BYTES, type Segment } from './segment.js';
import { type SegmentOutput, Sender } from './sender.js';
import {
  type Endpoint,
  HEADROOM,
  type HostStream,
  type HostStreamEvents,
  type TcpEnvironment,
} from './tcp-environment.js';

/** 65,535 << 5 is more than a window ever is. */
const WINDOW_SHIFT = 5;
/** Of IPv4 and IPv6, for who does not say. [RFC 9293 3.7.1] */
const DEFAULT_MAX_SEGMENT = [536, 1220] as const;
/** Less is not believed: it would be all headers. */
const LEAST_MAX_SEGMENT = 64;
/** A timestamp older than this says nothing any more: 24 days. [RFC 7323 5.5] */
const TIMESTAMP_LIFE_MS = 24 * 24 * 3_600_000;
/** Twice a segment's life; the link is memory, where none lives for long. [RFC 9293 3.4.2] */
const TIME_WAIT_MS = 2_000;
/** How long nothing need be heard. [RFC 5382 REQ-5] */
const IDLE_MS = 124 * 60_000;
const OPENING_MS = 4 * 60_000;

/** Errors of the host after which a guest hears of ICMP what its own network would have said. */
const unreachable: Readonly<Record<string, 'network' | 'host'>> = {
  ENETUNREACH: 'network',
  ENETDOWN: 'network',
  EHOSTUNREACH: 'host',
  EHOSTDOWN: 'host',
  ETIMEDOUT: 'host',
};

/**
 * Where a connection is. `connecting`: the guest's SYN has no answer before the host is connected. From
 * `open` on, who has closed is known to sender and receiver: ESTABLISHED to LAST-ACK are one here.
 */
type State = 'connecting' | 'syn-sent' | 'syn-received' | 'open' | 'time-wait' | 'closed';

/** What connections share. */
export interface ConnectionHost {
  readonly env: TcpEnvironment;
  /** Where segments are made that need copies: {@link HEADROOM} and 64 KiB. */
  readonly scratch: Uint8Array;
  /** The card is full. */
  readonly isBlocked: boolean;
  /** Most bytes that a connection may hold in each direction now. */
  readonly limitBytes: number;
  send(connection: Connection, frame: Uint8Array, gsoBytes: number): void;
  /** {@link Connection.poll} is to be called at the turn's end. */
  pollSoon(connection: Connection): void;
  /** {@link Connection.poll} is to be called when the card has room. */
  pollLater(connection: Connection): void;
  /** {@link Connection.deadlineMs} may be nearer. */
  arm(connection: Connection): void;
  remove(connection: Connection): void;
  /** Answers a segment that does not belong to what it came to. */
  refuse(connection: Connection, segment: Segment): void;
}

/** One connection: the guest's TCP on one side, a stream of the host on the other. [RFC 9293] */
export class Connection implements HostStreamEvents, SegmentOutput {
  /** The next one in its bucket of the table. */
  sibling: Connection | undefined;
  /** When something was last heard from either side. */
  activeMs: number;
  /** It is polled at the turn's end. */
  isDue = false;
  private state: State = 'connecting';
  private readonly sender: Sender;
  private readonly receiver: Receiver;
  private stream: HostStream | undefined;
  private closeAtMs = 0;

  // What was agreed on; all of it is offered.
  private scales = true;
  private sacks = true;
  private stamps = true;
  private guestShift = 0;
  packetBytes: number;

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

  constructor(
    private readonly host: ConnectionHost,
    readonly guest: Endpoint,
    readonly peer: Endpoint,
  ) {
    const { env } = host;
    this.sender = new Sender(this, env.randomU32() | 0);
    this.receiver = new Receiver(() => host.limitBytes);
    this.stampOrigin = env.randomU32();
    this.activeMs = env.nowMs();
    this.packetBytes = this.ownMaxSegment;
  }

  private get isV6(): boolean {
    return this.guest.address.length === 16;
  }

  private get ownMaxSegment(): number {
    return this.host.env.mtu - (this.isV6 ? 40 : 20) - HEADER_BYTES;
  }

  /** The guest asks for a connection, which `stream` is opening. */
  fromGuest(segment: Segment, stream: HostStream): void {
    this.stream = stream;
    this.learn(segment);
  }

  /** The host has a connection for the guest. */
  fromHost(stream: HostStream): void {
    this.stream = stream;
    this.pause();
    this.state = 'syn-sent';
    this.poll();
  }

  /** What the guest's SYN says. */
  private learn(segment: Segment): void {
    const { receiver, sender } = this;
    receiver.initial = segment.sequence;
    receiver.next = 1;
    receiver.edge = 1;
    this.scales &&= segment.windowShift >= 0;
    this.sacks &&= segment.sackPermitted;
    this.stamps &&= segment.hasTimestamps;
    this.guestShift = this.scales ? segment.windowShift : 0;
    this.lastStamp = segment.timestamp;
    this.lastStampMs = this.activeMs;
    const said = segment.maxSegment || DEFAULT_MAX_SEGMENT[this.isV6 ? 1 : 0];
    const packet = Math.min(Math.max(said, LEAST_MAX_SEGMENT), this.ownMaxSegment);
    this.packetBytes = packet - (this.stamps ? wire.TIMESTAMP_BYTES : 0);
    sender.setWindow(segment.window);
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
    if (hasAck && (sender.positionOf(segment.acknowledgment) !== 1 || sender.next !== 1)) {
      this.host.refuse(this, segment);
    } else if (segment.has(flag.rst)) {
      if (hasAck) this.dispose();
    } else if (segment.has(flag.syn)) {
      this.learn(segment);
      if (hasAck) {
        sender.acknowledge(1);
        this.open();
        this.oweAck();
      } else {
        // Both opened at once.
        this.state = 'syn-received';
        this.emit(flag.syn, 0, 0);
      }
    }
  }

  private open(): void {
    this.state = 'open';
    this.unpause();
  }

  /** Checks of sequence number, timestamp, RST and SYN; answers what fails them. [RFC 5961] */
  private isInOrder(segment: Segment): boolean {
    const { receiver } = this;
    const position = receiver.positionOf(segment.sequence);
    const isReset = segment.has(flag.rst);
    if (this.stamps && !isReset) {
      if (!segment.hasTimestamps) return false;
      const isOld = ((segment.timestamp - this.lastStamp) | 0) < 0;
      if (isOld && this.activeMs - this.lastStampMs < TIMESTAMP_LIFE_MS) return this.challenge();
    }
    const isExact = position === receiver.next;
    // Nothing is left to be reset; the host may still be reading. [RFC 1337]
    if (isReset && receiver.isFinished && this.sender.isFinished) return false;
    if (isReset && isExact) this.dispose();
    else if (isReset && !receiver.isAcceptable(position, segment.length)) return false;
    else if (isReset || segment.has(flag.syn)) return this.challenge();
    else if (!receiver.isAcceptable(position, segment.length)) return this.challenge();
    if (isReset || !segment.has(flag.ack)) return false;
    if (position <= this.lastAckSent) {
      this.lastStamp = segment.timestamp;
      this.lastStampMs = this.activeMs;
    }
    return true;
  }

  /** Tells the guest where we are, at most once a turn. */
  private challenge(): false {
    if (this.state === 'time-wait') this.closeAtMs = this.activeMs + TIME_WAIT_MS;
    this.oweAck();
    return false;
  }

  private oweAck(): void {
    this.owesAck = true;
    this.host.pollSoon(this);
  }

  private synchronized(segment: Segment, bytes: Uint8Array): void {
    const { sender, receiver } = this;
    const position = receiver.positionOf(segment.sequence);
    const ack = sender.positionOf(segment.acknowledgment);
    if (this.state === 'syn-received') {
      if (ack < 1 || ack > sender.next) {
        this.host.refuse(this, segment);
        return;
      }
      this.open();
    }
    if (ack > sender.next || ack < sender.una - sender.largestWindow) {
      this.challenge();
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
      if (isEarly) this.acknowledge();
    }
    this.host.pollSoon(this);
  }

  private acknowledged(segment: Segment, position: number, ack: number): void {
    const { sender } = this;
    const window = segment.window << this.guestShift;
    const isSame = ack === sender.una && window === sender.window && segment.length === 0;
    const isDuplicate = isSame && ack < sender.next;
    if (this.sacks) {
      for (let i = 0; i < segment.sackCount; i++) {
        const start = sender.positionOf(segment.sacks[2 * i]!);
        sender.sack(start, sender.positionOf(segment.sacks[2 * i + 1]!));
      }
    }
    if (ack > sender.una) sender.acknowledge(ack);
    const isNewer =
      position > this.windowSequence || (position === this.windowSequence && ack >= this.windowAck);
    if (isNewer && ack >= sender.una) {
      this.windowSequence = position;
      this.windowAck = ack;
      sender.setWindow(window);
    }
    sender.considerLoss(isDuplicate);
  }

  // Events of the host's stream.

  connected(): void {
    if (this.state !== 'connecting') return;
    this.state = 'syn-received';
    this.poll();
  }

  data(bytes: Uint8Array): void {
    if (this.state === 'closed') return;
    this.activeMs = this.nowMs;
    this.sender.push(bytes);
    if (this.sender.queue.length >= this.host.limitBytes) this.pause();
    this.output();
  }

  drain(): void {
    this.isBusy = false;
    if (this.state !== 'closed') this.poll();
  }

  end(): void {
    this.sender.isClosed = true;
    if (this.state !== 'closed') this.output();
  }

  error(code: string): void {
    const reason = this.state === 'connecting' ? unreachable[code] : undefined;
    if (reason === undefined) {
      this.abort();
      return;
    }
    const { guest, peer, host } = this;
    const head = new Uint8Array(8);
    wire.put16(head, 0, guest.port);
    wire.put16(head, 2, peer.port);
    wire.put32(head, 4, this.receiver.initial);
    host.env.unreachable(guest.address, peer.address, head, reason);
    this.dispose();
  }

  close(): void {
    if (!this.sender.isClosed || !this.hasEnded) this.abort();
  }

  private pause(): void {
    if (!this.isPaused) this.stream?.pause();
    this.isPaused = true;
  }

  private unpause(): void {
    if (this.isPaused) this.stream?.resume();
    this.isPaused = false;
  }

  // What is done after any of them.

  /** Brings on both directions as far as they go. */
  poll(): void {
    const { receiver, sender, host } = this;
    if (this.state === 'closed') return;
    while (!this.isBusy) {
      const bytes = receiver.queue.shift();
      if (bytes === undefined) break;
      this.isBusy = !this.stream!.write(bytes);
    }
    if (receiver.isFinished && receiver.queue.length === 0 && !this.hasEnded) {
      this.hasEnded = true;
      this.stream!.end();
    }
    if (this.state === 'open' && sender.queue.length < host.limitBytes / 2) this.unpause();
    this.output();
    if (this.owesAck || (this.state === 'open' && receiver.hasOpened)) this.acknowledge();
    if (this.state === 'open' && this.hasEnded && sender.isFinished) this.finish();
  }

  private output(): void {
    if (this.state === 'connecting') return;
    this.sender.output();
    this.host.arm(this);
  }

  private acknowledge(): void {
    this.emit(flag.ack, this.sender.next, 0);
  }

  /** Both sides have said all. */
  private finish(): void {
    if (this.guestClosedFirst) this.remove();
    else {
      this.state = 'time-wait';
      this.closeAtMs = this.nowMs + TIME_WAIT_MS;
      this.host.arm(this);
    }
  }

  private remove(): void {
    this.state = 'closed';
    this.host.remove(this);
  }

  /** Ends the host's side. */
  private dispose(): void {
    if (this.state !== 'time-wait') this.stream?.destroy();
    this.remove();
  }

  /** Ends it on both sides. */
  abort(): void {
    if (this.state === 'closed') return;
    this.emit(flag.rst | flag.ack, this.sender.next, 0);
    this.dispose();
  }

  // Time.

  get deadlineMs(): number {
    if (this.state === 'closed') return Number.POSITIVE_INFINITY;
    if (this.state === 'time-wait') return this.closeAtMs;
    const idleMs = this.state === 'open' ? IDLE_MS : OPENING_MS;
    return Math.min(this.sender.deadlineMs, this.activeMs + idleMs);
  }

  /** The deadline has passed. */
  expire(): void {
    if (this.state === 'time-wait') this.remove();
    else if (this.sender.deadlineMs > this.nowMs || !this.sender.expire()) this.abort();
  }

  // Segments to the guest.

  get nowMs(): number {
    return this.host.env.nowMs();
  }

  get isBlocked(): boolean {
    return this.host.isBlocked;
  }

  get maxDataBytes(): number {
    const { env } = this.host;
    const most = env.maxSegmentBytes(this.isV6);
    // Where the card takes no large segments, each is a packet.
    if (most <= env.mtu) return this.packetBytes;
    return most - HEADER_BYTES - (this.stamps ? wire.TIMESTAMP_BYTES : 0);
  }

  emit(flags: number, position: number, bytes: number): boolean {
    const { host, sender, receiver } = this;
    if (host.isBlocked) {
      host.pollLater(this);
      return false;
    }
    const isSyn = (flags & flag.syn) !== 0;
    const { early } = receiver;
    const sackCount =
      this.sacks && bytes === 0 && !isSyn ? Math.min(early.pieces.count, wire.MAX_SACKS) : 0;
    let headerBytes = HEADER_BYTES + (this.stamps ? wire.TIMESTAMP_BYTES : 0);
    if (isSyn) headerBytes += 4 + (this.scales ? 4 : 0) + (this.sacks ? 4 : 0);
    if (sackCount > 0) headerBytes += 4 + 8 * sackCount;
    const lead = HEADROOM + headerBytes;
    const offset = position - Math.max(sender.una, 1);
    let frame = bytes > 0 ? sender.queue.inPlace(offset, bytes, lead) : undefined;
    if (frame === undefined) {
      frame = host.scratch.subarray(0, lead + bytes);
      if (bytes > 0) sender.queue.copy(offset, bytes, frame, lead);
    }
    const isFirst = this.state === 'syn-sent';
    const shift = this.scales && !isSyn ? WINDOW_SHIFT : 0;
    wire.put16(frame, HEADROOM, this.peer.port);
    wire.put16(frame, HEADROOM + 2, this.guest.port);
    wire.put32(frame, HEADROOM + 4, sender.initial + position);
    wire.put32(frame, HEADROOM + 8, isFirst ? 0 : receiver.initial + receiver.next);
    frame[HEADROOM + 12] = headerBytes << 2;
    frame[HEADROOM + 13] = isFirst ? flags & ~flag.ack : flags | flag.ack;
    wire.put16(frame, HEADROOM + 14, receiver.window(shift, this.packetBytes));
    wire.put32(frame, HEADROOM + 16, 0);
    let at = HEADROOM + HEADER_BYTES;
    if (isSyn)
      at = wire.putSynOptions(
        frame,
        at,
        this.ownMaxSegment,
        this.scales ? WINDOW_SHIFT : -1,
        this.sacks,
      );
    if (this.stamps) {
      const now = Math.floor(this.nowMs) + this.stampOrigin;
      at = wire.putTimestamps(frame, at, now, isFirst ? 0 : this.lastStamp);
    }
    if (sackCount > 0) this.putSacks(frame, at, sackCount);
    this.owesAck = false;
    this.lastAckSent = receiver.next;
    host.send(this, frame, bytes > this.packetBytes ? this.packetBytes : 0);
    return true;
  }

  /** The newest piece first, then others in order. [RFC 2018 4] */
  private putSacks(frame: Uint8Array, at: number, count: number): void {
    const { pieces, newest } = this.receiver.early;
    const { initial } = this.receiver;
    const first = Math.min(pieces.indexOf(newest), pieces.count - 1);
    at = wire.putSackHead(frame, at, count);
    for (let i = 0; i < count; i++) {
      const piece = i === 0 ? first : i <= first ? i - 1 : i;
      wire.put32(frame, at + 8 * i, initial + pieces.start(piece));
      wire.put32(frame, at + 8 * i + 4, initial + pieces.end(piece));
    }
  }
}
