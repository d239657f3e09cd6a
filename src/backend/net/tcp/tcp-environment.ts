/**
 * What lies between the TCP machine of the NAT and what is around it: packets of the guest below,
 * sockets of the host above.
 */

/**
 * Bytes free before every segment in its buffer: room for Ethernet's header and IPv6's (IPv4's is
 * shorter), which are written in place.
 */
export const HEADROOM = 14 + 40;

/** A packet from the guest, its lengths checked. */
export interface IpPacket {
  /** 4 or 16 bytes, views into the packet: copied by who keeps them. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /**
   * Header and data of TCP; may be longer than the MTU (up to 64 KiB) where the guest leaves
   * segmentation to its card. The checksum was right. The bytes are the TCP machine's from now on.
   */
  readonly payload: Uint8Array;
}

/** What a stream of the host says. None is called during the call that made the stream. */
export interface HostStreamEvents {
  /** Not called for a stream that was accepted: it is connected from the start. */
  connected(): void;
  /**
   * The bytes are the receiver's from now on, and the {@link HEADROOM} + 60 bytes before them in
   * their ArrayBuffer are free for headers. At most {@link MAX_READ_BYTES}.
   */
  data(bytes: Uint8Array): void;
  /** Everything that `write` took is on its way. */
  drain(): void;
  /** The peer sends no more; what is written still goes. */
  end(): void;
  /** `ECONNREFUSED`, `ENETUNREACH`, `ECONNRESET`, ...; `close` follows. */
  error(code: string): void;
  /** Nothing comes after this. */
  close(): void;
}

/** With its headers still below what a packet can be. */
export const MAX_READ_BYTES = 65_536 - 256;

/** One connection of the host. */
export interface HostStream {
  /**
   * The bytes are the stream's from now on. False: some of them still wait for the host (a socket's
   * `writableLength` is not 0), and nothing more is wanted before `drain`; they are taken all the same.
   */
  write(bytes: Uint8Array): boolean;
  /** No more will be written. */
  end(): void;
  /** Ends both ways at once; the peer sees a reset where the host can do that. */
  destroy(): void;
  /** No `data` until `resume`; one that is on its way may still come. */
  pause(): void;
  resume(): void;
  /** Bytes of `data`, or the last of them, are needed no more: their buffer may be read into again. */
  release(bytes: Uint8Array): void;
}

/** Makes a stream whose events go to `events`. */
export type OpenStream = (events: HostStreamEvents) => HostStream;

/** All that the TCP machine needs. */
export interface TcpEnvironment {
  /** Largest IP packet, in bytes, where it is not segmented by the guest's card. */
  readonly mtu: number;
  /** Milliseconds, monotonic, with a fraction. */
  nowMs(): number;
  /** Calls back after about `delayMs`, not before; the answer cancels. */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls back when the packets that come together have all come: the end of this turn. */
  soon(callback: () => void): void;
  randomU32(): number;
  /**
   * Bytes of TCP header and data that one `send` may have just now: more than the MTU leaves
   * where the guest takes segments that stand for several (`gsoBytes`).
   */
  maxSegmentBytes(isV6: boolean): number;
  /**
   * A segment for the guest: TCP's header begins at `frame[HEADROOM]`, its data follow up to the
   * frame's end; the checksum field is filled in here, and so are the bytes before. `gsoBytes`: data for each
   * packet where the segment stands for several, else 0. False: the card is full, `TcpNat.resume` will be called, and the frame is
   * the caller's again. True: the card has copied it; only header bytes have changed.
   */
  send(source: Uint8Array, destination: Uint8Array, frame: Uint8Array, gsoBytes: number): boolean;
  /** Tells the guest that its segment, of which `head` is the first 8 bytes, did not get there. */
  unreachable(
    source: Uint8Array,
    destination: Uint8Array,
    head: Uint8Array,
    reason: 'network' | 'host',
  ): void;
  /** Opens what the guest means by an address; undefined where it may not go there. */
  connect(address: Uint8Array, port: number): OpenStream | undefined;
}

export interface Endpoint {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** What the NAT asks of its TCP machine: `class TcpNat implements TcpMachine`. */
export interface TcpMachine {
  /** From the guest; one that belongs to no connection and opens none is answered with a reset. */
  segment(packet: IpPacket): void;
  /**
   * A connection of the host is to go on to the guest. `open` is called at once (the stream
   * begins paused or is paused then); a guest that refuses ends it by `destroy`. `from` is who the guest sees; its port is
   * another where that one is taken.
   */
  accept(open: OpenStream, guest: Endpoint, from: Endpoint): void;
  /** The card has room again. */
  resume(): void;
  /** Ends every connection: guest and host see resets. */
  close(): void;
}
