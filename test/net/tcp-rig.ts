import {
  HEADROOM,
  type HostStream,
  type HostStreamEvents,
  type OpenStream,
  type TcpEnvironment,
} from '#src/backend/net/tcp/tcp-environment.js';
import { TcpNat } from '#src/backend/net/tcp/tcp-nat.js';
import type { Random } from '../disk/random.js';

/** Time that passes when there is nothing else to do. */
export class VirtualTime {
  nowMs = 0;
  private readonly timers: { atMs: number; callback: () => void }[] = [];
  private turn: (() => void)[] = [];

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, callback };
    let i = this.timers.length;
    while (i > 0 && this.timers[i - 1]!.atMs > timer.atMs) i--;
    this.timers.splice(i, 0, timer);
    return () => {
      const at = this.timers.indexOf(timer);
      if (at >= 0) this.timers.splice(at, 1);
    };
  }

  soon(callback: () => void): void {
    this.turn.push(callback);
  }

  /** Nothing is to happen later. */
  get isQuiet(): boolean {
    return this.timers.length === 0;
  }

  /** Ends the turn: what was to come soon comes. */
  settle(): void {
    while (this.turn.length > 0) {
      const { turn } = this;
      this.turn = [];
      for (const callback of turn) callback();
    }
  }

  /** Runs until nothing is left to happen, or `untilMs`. */
  run(untilMs = Number.POSITIVE_INFINITY, isDone: () => boolean = () => false): void {
    this.settle();
    while (!isDone()) {
      const timer = this.timers[0];
      if (timer === undefined || timer.atMs > untilMs) break;
      this.timers.shift();
      this.nowMs = Math.max(this.nowMs, timer.atMs);
      timer.callback();
      this.settle();
    }
    if (untilMs !== Number.POSITIVE_INFINITY) this.nowMs = Math.max(this.nowMs, untilMs);
  }
}

export type Happening = 'end' | 'destroy';

/** A stream of the host that a test writes on and reads from. */
export class TestStream implements HostStream {
  readonly received: Uint8Array[] = [];
  receivedBytes = 0;
  readonly happened: Happening[] = [];
  isPaused = false;
  /** A write of this many bytes or more, all together, waits for `drain`. */
  roomBytes = Number.POSITIVE_INFINITY;
  private pendingBytes = 0;

  constructor(readonly events: HostStreamEvents) {}

  write(bytes: Uint8Array): boolean {
    this.received.push(bytes.slice());
    this.receivedBytes += bytes.length;
    this.pendingBytes += bytes.length;
    return this.pendingBytes < this.roomBytes;
  }

  /** The far end has read all. */
  drain(): void {
    const isWaitedFor = this.pendingBytes >= this.roomBytes;
    this.pendingBytes = 0;
    if (isWaitedFor) this.events.drain();
  }

  end(): void {
    this.happened.push('end');
  }

  destroy(): void {
    this.happened.push('destroy');
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  /** Who is told so must not look at them again. */
  release(bytes: Uint8Array): void {
    new Uint8Array(bytes.buffer).fill(0xdd);
  }

  get bytes(): Uint8Array {
    return joined(this.received);
  }
}

export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

export interface Sent {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly segment: Uint8Array;
  readonly gsoBytes: number;
}

/** A NAT whose card, clock and host are a test's. */
export class TestHost implements TcpEnvironment {
  mtu = 1500;
  largest = 65_535 - 40;
  /** The card takes no more. */
  isFull = false;
  sent: Sent[] = [];
  readonly streams: TestStream[] = [];
  readonly unreached: string[] = [];
  refuses = false;
  onSend: ((sent: Sent) => void) | undefined;
  readonly nat: TcpNat;

  constructor(
    readonly time: VirtualTime,
    private readonly random: Random,
  ) {
    this.nat = new TcpNat(this);
  }

  nowMs(): number {
    return this.time.nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.time.after(delayMs, callback);
  }

  soon(callback: () => void): void {
    this.time.soon(callback);
  }

  randomU32(): number {
    return this.random.below(2 ** 32);
  }

  maxSegmentBytes(): number {
    return this.largest;
  }

  send(source: Uint8Array, destination: Uint8Array, frame: Uint8Array, gsoBytes: number): boolean {
    if (this.isFull) return false;
    frame.fill(0xee, 0, HEADROOM);
    const segment = frame.slice(HEADROOM);
    const sent = { source: source.slice(), destination: destination.slice(), segment, gsoBytes };
    if (this.onSend === undefined) this.sent.push(sent);
    else this.onSend(sent);
    return true;
  }

  unreachable(_: Uint8Array, __: Uint8Array, ___: Uint8Array, reason: string): void {
    this.unreached.push(reason);
  }

  readonly open: OpenStream = (events) => {
    const stream = new TestStream(events);
    this.streams.push(stream);
    return stream;
  };

  connect(): OpenStream | undefined {
    return this.refuses ? undefined : this.open;
  }
}
