import type { Endpoint, OpenStream } from './tcp/tcp-environment.js';

/** A network cannot be had as it was asked for; one sentence says which part and what would be right. */
export class NetError extends Error {
  override readonly name = 'NetError';
  constructor(
    readonly code: 'usage' | 'no-permission' | 'in-use' | 'missing' | 'no-host',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A socket that is connected to one peer: datagrams, or echo requests without their header. */
export interface HostDatagrams {
  send(bytes: Uint8Array): void;
  close(): void;
}

export interface DatagramEvents {
  message(bytes: Uint8Array): void;
  /** `ECONNREFUSED` where nobody is there. */
  error(code: string): void;
}

/** What the NAT asks of the host it runs on. */
export interface NetHost {
  /** Milliseconds, monotonic. */
  nowMs(): number;
  /** Calls back after about `delayMs`; the answer cancels. */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls back at the end of this turn of the event loop. */
  soon(callback: () => void): void;
  randomU32(): number;
  /** A TCP connection. */
  stream(to: Endpoint): OpenStream;
  datagrams(to: Endpoint, events: DatagramEvents): HostDatagrams;
  /**
   * ICMP messages without their checksum, type 8 or 128 out, 0 or 129 in; the host keeps its own
   * identifier. Undefined where the host's user may not.
   */
  ping(address: Uint8Array, events: DatagramEvents): HostDatagrams | undefined;
  /** The host's name servers. */
  resolvers(): Endpoint[];
  /** All addresses of a name as the host's own programs would get them; none where there is none. */
  lookup(name: string): Promise<Uint8Array[]>;
}
