import { Connection, type ConnectionHost } from './connection.js';
import { ConnectionTable } from './connection-table.js';
import { flag, HEADER_BYTES, MAX_HEADER_BYTES, put16, put32, Segment } from './segment.js';
import {
  type Endpoint,
  HEADROOM,
  type IpPacket,
  type OpenStream,
  type TcpEnvironment,
  type TcpMachine,
} from './tcp-environment.js';

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

/** A frame that the card had no room for. */
interface Parked {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly frame: Uint8Array;
  readonly gsoBytes: number;
}

/** The far end of all TCP connections of a guest, each joined to a stream of the host. */
export class TcpNat implements TcpMachine, ConnectionHost {
  readonly scratch = new Uint8Array(HEADROOM + MAX_HEADER_BYTES + 0x1_0000);
  private readonly incoming = new Segment();
  private readonly table: ConnectionTable;
  private due: Connection[] = [];
  private readonly waiting = new Set<Connection>();
  private parked: Parked | undefined;
  private timerAtMs = Number.POSITIVE_INFINITY;
  private cancelTimer = () => {};
  private isClosed = false;

  constructor(readonly env: TcpEnvironment) {
    this.table = new ConnectionTable(env.randomU32());
  }

  segment({ source, destination, payload }: IpPacket): void {
    const { incoming: segment, table } = this;
    if (this.isClosed || !segment.decode(payload)) return;
    const { sourcePort, destinationPort } = segment;
    const found = table.find(source, sourcePort, destination, destinationPort);
    const opening = flag.syn | flag.ack | flag.rst | flag.fin;
    const isOpening = (segment.flags & opening) === flag.syn;
    if (found !== undefined && !(isOpening && found.isReplacedBy(segment))) {
      found.input(segment, payload);
      return;
    }
    if (found !== undefined) this.remove(found);
    const open =
      isOpening && destinationPort !== 0
        ? this.env.connect(destination, destinationPort)
        : undefined;
    if (open === undefined) {
      this.reset(source, destination, segment);
      return;
    }
    const guest = { address: source.slice(), port: sourcePort };
    const connection = this.add(guest, { address: destination.slice(), port: destinationPort });
    connection.fromGuest(segment, open(connection));
  }

  accept(open: OpenStream, guest: Endpoint, from: Endpoint): void {
    let { port } = from;
    while (this.table.find(guest.address, guest.port, from.address, port) !== undefined)
      port = DYNAMIC_PORT + (this.env.randomU32() % DYNAMIC_PORTS);
    const connection = this.add(guest, { address: from.address, port });
    connection.fromHost(open(connection));
  }

  /** The connection that was idle for longest makes room for one too many. */
  private add(guest: Endpoint, peer: Endpoint): Connection {
    const { all } = this.table;
    if (all.size >= MAX_CONNECTIONS) {
      let oldest: Connection | undefined;
      for (const one of all)
        if (oldest === undefined || one.activeMs < oldest.activeMs) oldest = one;
      oldest?.abort();
    }
    const connection = new Connection(this, guest, peer);
    this.table.add(connection);
    this.arm(connection);
    return connection;
  }

  resume(): void {
    const { parked, waiting } = this;
    if (parked !== undefined) {
      const { source, destination, frame, gsoBytes } = parked;
      if (!this.env.send(source, destination, frame, gsoBytes)) return;
      this.parked = undefined;
    }
    for (const connection of waiting) {
      if (this.isBlocked) return;
      waiting.delete(connection);
      connection.poll();
    }
  }

  close(): void {
    for (const connection of this.table.all) connection.abort();
    this.cancelTimer();
    this.isClosed = true;
  }

  /** How many there are, those that wait for their end too. */
  get connections(): number {
    return this.table.all.size;
  }

  // What connections ask for.

  get isBlocked(): boolean {
    return this.parked !== undefined;
  }

  get limitBytes(): number {
    return Math.min(CONNECTION_BYTES, Math.floor(SHARED_BYTES / this.table.all.size));
  }

  send({ peer, guest }: Connection, frame: Uint8Array, gsoBytes: number): void {
    this.sendFrame(peer.address, guest.address, frame, gsoBytes);
  }

  private sendFrame(
    source: Uint8Array,
    destination: Uint8Array,
    frame: Uint8Array,
    gsoBytes: number,
  ): void {
    if (!this.env.send(source, destination, frame, gsoBytes))
      this.parked = { source, destination, frame, gsoBytes };
  }

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

  pollLater(connection: Connection): void {
    this.waiting.add(connection);
  }

  remove(connection: Connection): void {
    this.table.remove(connection);
    this.waiting.delete(connection);
  }

  refuse({ guest, peer }: Connection, segment: Segment): void {
    this.reset(guest.address, peer.address, segment);
  }

  /** [RFC 9293 3.10.7.1] */
  private reset(guest: Uint8Array, peer: Uint8Array, segment: Segment): void {
    if (segment.has(flag.rst) || this.isBlocked) return;
    const frame = this.scratch.subarray(0, HEADROOM + HEADER_BYTES).fill(0, HEADROOM);
    const hasAck = segment.has(flag.ack);
    put16(frame, HEADROOM, segment.destinationPort);
    put16(frame, HEADROOM + 2, segment.sourcePort);
    put32(frame, HEADROOM + 4, hasAck ? segment.acknowledgment : 0);
    put32(frame, HEADROOM + 8, hasAck ? 0 : segment.sequence + segment.length);
    frame[HEADROOM + 12] = HEADER_BYTES << 2;
    frame[HEADROOM + 13] = hasAck ? flag.rst : flag.rst | flag.ack;
    this.sendFrame(peer.slice(), guest.slice(), frame, 0);
  }

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
