import { put32 } from '../checksum.js';
import { Connection } from './connection.js';
import { ConnectionTable, portsOf } from './connection-table.js';
import { flag, HEADER_BYTES, MAX_HEADER_BYTES, Segment } from './segment.js';
import type {
  Endpoint,
  IpPacket,
  OpenStream,
  TcpEnvironment,
  TcpMachine,
} from './tcp-environment.js';
import { HEADROOM } from './tcp-environment.js';

/** Each has a socket of the host. */
const MAX_CONNECTIONS = 1024;
/** Most that a connection holds in each direction, */
const CONNECTION_BYTES = 1 << 20;
/** and what all share where they are many. */
const SHARED_BYTES = 64 << 20;
/** Ports for connections whose own is taken. [RFC 6335 6] */
const DYNAMIC_PORT = 49_152;
const DYNAMIC_PORTS = 65_536 - DYNAMIC_PORT;
/** Least time between two looks at all deadlines. */
const SLACK_MS = 10;

/** The far end of all TCP connections of a guest, each joined to a stream of the host. */
export class TcpNat implements TcpMachine {
  /** Where segments are made that are not sent in place. */
  readonly scratch = new Uint8Array(HEADROOM + MAX_HEADER_BYTES + 0x1_0000);
  private readonly incoming = new Segment();
  readonly table = new ConnectionTable();
  private due: Connection[] = [];
  private readonly waiting = new Set<Connection>();
  /** Sends what the card had no room for. */
  private parked: (() => boolean) | undefined;
  private timerAtMs = Number.POSITIVE_INFINITY;
  private cancelTimer = () => {};
  private isClosed = false;

  constructor(readonly env: TcpEnvironment) {}

  segment({ source, destination, payload }: IpPacket): void {
    const { incoming: segment, table } = this;
    if (this.isClosed || !segment.decode(payload)) return;
    const { sourcePort, destinationPort } = segment;
    const found = table.find(source, destination, portsOf(sourcePort, destinationPort));
    const opening = flag.syn | flag.ack | flag.rst | flag.fin;
    const isOpening = (segment.flags & opening) === flag.syn;
    if (found !== undefined && !(isOpening && found.isReplacedBy(segment))) {
      found.input(segment, payload);
      return;
    }
    found?.expire();
    const isSensible = isOpening && destinationPort !== 0;
    const open = isSensible ? this.env.connect(destination, destinationPort) : undefined;
    if (open === undefined) {
      this.reset(source, destination, segment);
      return;
    }
    const guest = { address: source.slice(), port: sourcePort };
    const connection = this.add(guest, { address: destination.slice(), port: destinationPort });
    connection.begin(open(connection), segment);
  }

  accept(open: OpenStream, guest: Endpoint, from: Endpoint): void {
    let { port } = from;
    const isTaken = () => this.table.find(guest.address, from.address, portsOf(guest.port, port));
    while (isTaken() !== undefined) port = DYNAMIC_PORT + (this.env.randomU32() % DYNAMIC_PORTS);
    const connection = this.add(guest, { address: from.address, port });
    connection.begin(open(connection));
  }

  /** The connection that was idle for longest makes room for one too many. */
  private add(guest: Endpoint, peer: Endpoint): Connection {
    const { all } = this.table;
    if (all.size >= MAX_CONNECTIONS)
      [...all].reduce((oldest, one) => (one.activeMs < oldest.activeMs ? one : oldest)).abort();
    const connection = new Connection(this, guest, peer);
    this.table.add(connection);
    this.arm(connection);
    return connection;
  }

  resume(): void {
    if (this.parked?.() === false) return;
    this.parked = undefined;
    for (const connection of this.waiting) {
      if (this.isBlocked) return;
      this.waiting.delete(connection);
      connection.poll();
    }
  }

  close(): void {
    for (const connection of this.table.all) connection.abort();
    this.cancelTimer();
    this.isClosed = true;
  }

  // What connections ask for.

  /** The card is full. */
  get isBlocked(): boolean {
    return this.parked !== undefined;
  }

  /** Most bytes that a connection may hold in each direction. */
  get limitBytes(): number {
    return Math.min(CONNECTION_BYTES, Math.floor(SHARED_BYTES / this.table.all.size));
  }

  /** The card has room. */
  send(source: Uint8Array, destination: Uint8Array, frame: Uint8Array, gsoBytes: number): void {
    if (!this.env.send(source, destination, frame, gsoBytes))
      this.parked = () => this.env.send(source, destination, frame, gsoBytes);
  }

  /** `poll` is to be called at the turn's end. */
  pollSoon(connection: Connection): void {
    if (connection.isDue) return;
    connection.isDue = true;
    if (this.due.push(connection) === 1) this.env.soon(() => this.endTurn());
  }

  private endTurn(): void {
    const { due } = this;
    this.due = [];
    for (const connection of due) {
      connection.isDue = false;
      connection.poll();
    }
  }

  /** `poll` is to be called when the card has room. */
  pollLater(connection: Connection): void {
    this.waiting.add(connection);
  }

  remove(connection: Connection): void {
    this.table.remove(connection);
    this.waiting.delete(connection);
  }

  /** Answers a segment that belongs to no connection, or not to its own. [RFC 9293 3.10.7.1] */
  reset(guest: Uint8Array, peer: Uint8Array, segment: Segment): void {
    if (segment.has(flag.rst) || this.isBlocked) return;
    const frame = this.scratch.subarray(0, HEADROOM + HEADER_BYTES).fill(0, HEADROOM);
    const hasAck = segment.has(flag.ack);
    put32(frame, HEADROOM, (segment.destinationPort << 16) | segment.sourcePort);
    put32(frame, HEADROOM + 4, hasAck ? segment.acknowledgment : 0);
    put32(frame, HEADROOM + 8, hasAck ? 0 : segment.sequence + segment.length);
    frame[HEADROOM + 12] = HEADER_BYTES << 2;
    frame[HEADROOM + 13] = hasAck ? flag.rst : flag.rst | flag.ack;
    this.send(peer.slice(), guest.slice(), frame, 0);
  }

  /** The connection's deadline may be nearer. */
  arm({ deadlineMs }: Connection): void {
    if (deadlineMs >= this.timerAtMs || this.isClosed) return;
    this.cancelTimer();
    this.timerAtMs = deadlineMs;
    const delayMs = Math.max(SLACK_MS, deadlineMs - this.env.nowMs());
    this.cancelTimer = this.env.after(delayMs, () => this.expire());
  }

  private expire(): void {
    const now = this.env.nowMs();
    this.timerAtMs = Number.POSITIVE_INFINITY;
    let next: Connection | undefined;
    for (const connection of this.table.all) {
      if (connection.deadlineMs <= now) connection.expire();
      if (next === undefined || connection.deadlineMs < next.deadlineMs) next = connection;
    }
    if (next !== undefined) this.arm(next);
  }
}
