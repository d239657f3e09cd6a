import { fold, pseudoSum, put16, put32, sumWords } from '#src/backend/net/checksum.js';
import { type Packet, parseV4, parseV6 } from '#src/backend/net/ip.js';
import { isIntact } from '#src/backend/net/lan.js';
import type { DatagramEvents, NetHost } from '#src/backend/net/net-host.js';
import type { Endpoint, TcpEnvironment } from '#src/backend/net/tcp/tcp-environment.js';
import { UserNet, type UserNetPlan } from '#src/backend/net/user-net.js';
import { type PacketHeader, plainPacket } from '#src/virtio/net/packets.js';
import { VirtualTime } from './tcp-rig.js';

export const guestMac: Uint8Array = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
export const hostMac: Uint8Array = Uint8Array.of(0x52, 0x55, 10, 0, 2, 2);
export const broadcastMac: Uint8Array = new Uint8Array(6).fill(0xff);
export const ip = (text: string) => Uint8Array.from(text.split('.'), Number);

/** `fec0` and 2 make fec0::2. */
export function ip6(first: number, last: number): Uint8Array {
  const address = new Uint8Array(16);
  put16(address, 0, first);
  put16(address, 14, last);
  return address;
}

export const plan: UserNetPlan = {
  host4: ip('10.0.2.2'),
  dns4: ip('10.0.2.3'),
  guest4: ip('10.0.2.15'),
  prefix4: 24,
  v6: { host: ip6(0xfec0, 2), dns: ip6(0xfec0, 3) },
  mtu: 1500,
  isRestricted: false,
  hostname: 'guest',
  domain: 'example.org',
};

export const join = (...parts: (Uint8Array | number[])[]) =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

export function ethernet(type: number, contents: Uint8Array, to = hostMac, from = guestMac) {
  return join(to, from, [type >> 8, type & 0xff], contents);
}

interface PacketChanges {
  readonly hops?: number;
  readonly flags?: number;
  readonly id?: number;
  /** Of the Ethernet. */
  readonly to?: Uint8Array;
}

/** An IP packet with the right checksums, in a frame. */
export function packet(
  protocol: number,
  source: Uint8Array,
  destination: Uint8Array,
  payload: Uint8Array,
  { hops = 64, flags = 0, id = 7, to = hostMac }: PacketChanges = {},
): Uint8Array {
  if (source.length === 16) {
    const header = new Uint8Array(8);
    put32(header, 0, 0x6000_0000);
    put16(header, 4, payload.length);
    header.set([protocol, hops], 6);
    return ethernet(0x86dd, join(header, source, destination, payload), to);
  }
  const header = join([0x45, 0, 0, 0, 0, 0, 0, 0, hops, protocol, 0, 0], source, destination);
  put16(header, 2, 20 + payload.length);
  put16(header, 4, id);
  put16(header, 6, flags);
  put16(header, 10, ~fold(sumWords(header)) & 0xffff);
  return ethernet(0x0800, join(header, payload), to);
}

function checked(
  protocol: number,
  at: number,
  source: Uint8Array,
  destination: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  const pseudo = protocol === 1 ? 0 : pseudoSum(source, destination, protocol, payload.length);
  const result = payload.slice();
  put16(result, at, 0);
  put16(result, at, ~fold(sumWords(result, pseudo)) & 0xffff);
  return result;
}

export function udp(
  from: Endpoint,
  to: Endpoint,
  data: Uint8Array,
  more: PacketChanges = {},
): Uint8Array {
  const header = new Uint8Array(8);
  put16(header, 0, from.port);
  put16(header, 2, to.port);
  put16(header, 4, 8 + data.length);
  const payload = checked(17, 6, from.address, to.address, join(header, data));
  return packet(17, from.address, to.address, payload, more);
}

/** `contents` after type, code and checksum. */
export function icmp(
  source: Uint8Array,
  destination: Uint8Array,
  [type, code]: readonly number[],
  contents: Uint8Array,
  more: PacketChanges = {},
): Uint8Array {
  const protocol = source.length === 4 ? 1 : 58;
  const message = checked(protocol, 2, source, destination, join([type!, code!, 0, 0], contents));
  return packet(protocol, source, destination, message, more);
}

export interface TestSocket {
  readonly to: Endpoint;
  readonly events: DatagramEvents;
  readonly sent: Uint8Array[];
  isClosed: boolean;
}

/** A NAT whose guest, host and clock are a test's. */
export class NatRig {
  readonly time = new VirtualTime();
  /** Frames that the guest took. */
  frames: { frame: Uint8Array; header: PacketHeader }[] = [];
  isFull = false;
  /** Kinds of large frames that the guest takes. */
  accepted: number[] = [];
  readonly sockets: TestSocket[] = [];
  readonly segments: Uint8Array[] = [];
  tcpResumed = 0;
  servers: Endpoint[] = [{ address: ip('192.0.2.53'), port: 53 }];
  names: Record<string, Uint8Array[]> = {};
  mayPing = false;
  tcp!: TcpEnvironment;
  readonly net: UserNet;

  constructor(changes: Partial<UserNetPlan> = {}) {
    const { time } = this;
    const open = (to: Endpoint, events: DatagramEvents) => {
      const socket: TestSocket = { to, events, sent: [], isClosed: false };
      this.sockets.push(socket);
      return {
        send: (bytes: Uint8Array) => void socket.sent.push(bytes.slice()),
        close: () => {
          socket.isClosed = true;
        },
      };
    };
    const host: NetHost = {
      nowMs: () => time.nowMs,
      after: (delayMs, callback) => time.after(delayMs, callback),
      soon: (callback) => time.soon(callback),
      randomU32: () => 4,
      stream: () => () => {
        throw new Error('no TCP here');
      },
      datagrams: open,
      ping: (address, events) => (this.mayPing ? open({ address, port: 0 }, events) : undefined),
      resolvers: () => [...this.servers],
      lookup: async (name) => this.names[name] ?? [],
    };
    this.net = new UserNet({ ...plan, ...changes }, host, (environment) => {
      this.tcp = environment;
      return {
        segment: ({ payload }) => void this.segments.push(payload.slice()),
        accept() {},
        resume: () => {
          this.tcpResumed++;
        },
        close() {},
      };
    });
    this.net.connect({
      receive: (frame, header = plainPacket) => {
        if (this.isFull) return false;
        this.frames.push({ frame: frame.slice(), header });
        return true;
      },
      accepts: (kind) => this.accepted.includes(kind),
    });
  }

  /** Sends a frame, and answers what came back. */
  send(frame: Uint8Array, header: PacketHeader = plainPacket): Uint8Array[] {
    this.net.send(frame.slice(), header);
    return this.taken();
  }

  taken(): Uint8Array[] {
    const frames = this.frames.map(({ frame }) => frame);
    this.frames = [];
    return frames;
  }

  /** The guest says where it is, as by its first ARP. */
  introduce(address = ip('10.0.2.15')): Uint8Array[] {
    return this.send(
      ethernet(0x0806, join([0, 1, 8, 0, 6, 4, 0, 1], guestMac, address, broadcastMac, address)),
    );
  }

  /** The IP packets of frames; fails for one with a wrong checksum. */
  packets(frames: readonly Uint8Array[]): Packet[] {
    return frames.map((frame) => {
      const parse = frame[12] === 8 ? parseV4 : parseV6;
      const found = parse(frame.subarray(14));
      if (found === undefined) throw new Error(`no packet: ${frame.join(' ')}`);
      if (found.fragment === undefined && !isIntact(found)) throw new Error('wrong checksum');
      return found;
    });
  }
}
