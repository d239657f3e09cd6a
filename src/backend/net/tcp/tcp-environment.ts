/** Bytes in front of a segment in its buffer: room for an Ethernet header and an IPv6 header. */
export const SEGMENT_HEADROOM = 14 + 40;

/** An address of IPv4 or IPv6: 4 or 16 bytes in network order. */
export type Address = Uint8Array;

/** A packet from the guest: its IP header was checked, and its TCP checksum is right or partial. */
export interface IpPacket {
  readonly source: Address;
  readonly destination: Address;
  /** TCP header and data, without a frame's padding. The array is the receiver's from now on. */
  readonly payload: Uint8Array;
}

/** What happens on a host's stream. None of it happens inside a call of the stream's methods. */
export interface HostEvents {
  /** A stream made by `connect` stands; nothing but `error` and `close` comes before it. */
  connected(): void;
  /** The array is the receiver's from now on. */
  data(bytes: Uint8Array): void;
  /** All that was written is with the host, after a `write` that answered false. */
  drain(): void;
  /** The far end sends no more. */
  end(): void;
  /** The stream failed: an `ECONNREFUSED` and the like. */
  error(code: string): void;
  /** The last event. */
  close(): void;
}

/** A TCP connection of the host. It stays open in one direction when the other has ended. */
export interface HostStream {
  events: HostEvents;
  /**
   * Bytes for the far end, always taken; the array is the stream's from now on. False: some of what was
   * written waits for the host, and `drain` follows.
   */
  write(bytes: Uint8Array): boolean;
  /** Nothing more is written. */
  end(): void;
  /** Resets the connection; no event follows. */
  destroy(): void;
  /** No more `data` until `resume`. */
  pause(): void;
  resume(): void;
}

/** Why a packet of the guest cannot go where it should. */
export type Unreachable = 'network' | 'host' | 'prohibited';

/** What the TCP machine has of the network around it. */
export interface TcpEnvironment {
  /** The guest's MTU: 576 to 65,535. */
  readonly mtu: number;
  /** Most bytes of header and data of one segment: more than fit the MTU where the card takes such. */
  maxSegmentBytes(version: 4 | 6): number;
  /**
   * A segment for the guest, its checksum field 0, with {@link SEGMENT_HEADROOM} writable bytes before it in
   * its buffer, all of which is the caller's again when this returns. `gsoBytes` is not 0: it stands for
   * several, each with so much data. False: the card is full and nothing was sent; `resume` follows.
   */
  send(source: Address, destination: Address, segment: Uint8Array, gsoBytes: number): boolean;
  /** Tells the guest that its segment, of which `head` is the first 8 bytes, did not get there. */
  unreachable(source: Address, destination: Address, head: Uint8Array, reason: Unreachable): void;
  /** Begins a connection. Undefined: the guest may not go there. */
  connect(address: Address, port: number, events: HostEvents): HostStream | undefined;
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Calls back once after the delay; the answer cancels. */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls back when the frames that come together have all come: the end of this turn. */
  soon(callback: () => void): void;
  /** 32 random bits, which the guest cannot foretell. */
  random(): number;
}
