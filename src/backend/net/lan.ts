import { type PacketHeader, plainPacket } from '../../virtio/net/packets.js';
import { isSame, isWithin, keyOf, putLast } from './address.js';
import { fold, get16, pseudoSum, put16, put32, sumWords } from './checksum.js';
import type { GuestPort } from './guest-port.js';
import { type Packet, protocol } from './ip.js';
import { HEADROOM } from './tcp/tcp-environment.js';

/** What stands behind the card: one Ethernet with the guest and its gateway on it. */
export interface LanPlan {
  /** The gateway, which stands for the host; and its name server. */
  readonly host4: Uint8Array;
  readonly dns4: Uint8Array;
  /** The first address that DHCP gives. */
  readonly guest4: Uint8Array;
  readonly prefix4: number;
  /** Undefined: no IPv6. Its network is a /64. */
  readonly v6?: { readonly host: Uint8Array; readonly dns: Uint8Array } | undefined;
  /** Bytes of an IP packet. */
  readonly mtu: number;
}

export const etherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
const ETHERNET_BYTES = 14;
const DONT_FRAGMENT = 0x4000;
const MORE = 0x2000;
const HOPS = 64;
const MAX_NEIGHBOURS = 64;
const MAX_HELD = 16;
const broadcastMac = new Uint8Array(6).fill(0xff);
const broadcast = new Uint8Array(4).fill(0xff);
/** fe80::2, the gateway on its own link. */
export const linkLocal = Uint8Array.of(0xfe, 0x80, ...new Uint8Array(13), 2);

/** Room for a packet's payload with room for headers before it. */
export const payloadFrame = (bytes: number) => new Uint8Array(HEADROOM + bytes);

/** Where the checksum is in a transport's header; what else has none. */
const checksumAt: Readonly<Record<number, number>> = {
  [protocol.icmp]: 2,
  [protocol.tcp]: 16,
  [protocol.udp]: 6,
  [protocol.icmp6]: 2,
};

/** The checksum of a packet's payload is right, or it is UDP over IPv4 and has none. */
export function isIntact({ protocol: kind, source, destination, payload }: Packet): boolean {
  const at = checksumAt[kind];
  if (at === undefined || payload.length < at + 2) return false;
  const mayLack = kind === protocol.udp && source.length === 4;
  if (mayLack && get16(payload, at) === 0) return true;
  return transportSum(kind, source, destination, payload) === 0xffff;
}

/** ICMP of IPv4 covers its own bytes only. */
function transportSum(kind: number, from: Uint8Array, to: Uint8Array, payload: Uint8Array): number {
  const pseudo = kind === protocol.icmp ? 0 : pseudoSum(from, to, kind, payload.length);
  return fold(sumWords(payload, pseudo));
}

interface Held {
  readonly destination: Uint8Array;
  readonly frame: Uint8Array;
  readonly header: PacketHeader;
}

/** The gateway's end of the Ethernet: who is where on it, and packets to there. */
export class Lan {
  /** The host's IPv4 address after a prefix that says that it is nobody's. */
  readonly mac: Uint8Array;
  /** By address; who came last is last. */
  private readonly neighbours = new Map<string, Uint8Array>();
  /** Frames to somebody who has not said where he is. */
  private held: Held[] = [];
  private id = 0;

  constructor(
    readonly plan: LanPlan,
    private readonly port: GuestPort,
  ) {
    this.mac = Uint8Array.of(0x52, 0x55, ...plan.host4);
  }

  /** The address is one of the gateway's own. */
  isHere(address: Uint8Array): boolean {
    const { host4, dns4, v6 } = this.plan;
    if (address.length === 4) return isSame(address, host4) || isSame(address, dns4);
    if (v6 === undefined) return false;
    return [linkLocal, v6.host, v6.dns].some((own) => isSame(address, own));
  }

  gateway(isV4: boolean): Uint8Array {
    return isV4 ? this.plan.host4 : (this.plan.v6?.host ?? linkLocal);
  }

  /** The address is of this Ethernet. */
  isNear(address: Uint8Array): boolean {
    const { host4, prefix4, v6 } = this.plan;
    if (address.length === 4) return isWithin(address, host4, prefix4);
    return isWithin(address, linkLocal, 64) || (v6 !== undefined && isWithin(address, v6.host, 64));
  }

  /** Somebody on this Ethernet said where he is. */
  learn(address: Uint8Array, mac: Uint8Array): void {
    if (!this.isNear(address) || this.isHere(address) || (mac[0]! & 1) !== 0) return;
    const key = keyOf(address);
    const known = this.neighbours.get(key);
    if (known !== undefined && isSame(known, mac)) return;
    putLast(this.neighbours, key, mac.slice(), MAX_NEIGHBOURS);
    const isFor = (one: Held) => isSame(one.destination, address);
    const now = this.held.filter(isFor);
    this.held = this.held.filter((one) => !isFor(one));
    for (const { destination, frame, header } of now) this.deliver(destination, frame, header);
  }

  /**
   * A packet whose payload begins at `frame[HEADROOM]`; the bytes before are written over. Its
   * checksum is completed here, and it goes in pieces where it is longer than the MTU.
   */
  send(
    kind: number,
    source: Uint8Array,
    destination: Uint8Array,
    frame: Uint8Array,
    hops = HOPS,
  ): void {
    const payload = frame.subarray(HEADROOM);
    const at = checksumAt[kind];
    if (at !== undefined) {
      put16(payload, at, 0);
      const sum = transportSum(kind, source, destination, payload);
      put16(payload, at, sum === 0xffff ? sum : ~sum & 0xffff);
    }
    const isV4 = source.length === 4;
    const most = this.plan.mtu - (isV4 ? 20 : 40);
    this.id = (this.id + 1) & 0xffff;
    if (payload.length <= most) {
      const start = this.writeHeaders(frame, kind, source, destination, hops);
      this.deliver(destination, frame.subarray(start), plainPacket);
      return;
    }
    const extra = isV4 ? 0 : 8;
    const step = (most - extra) & ~7;
    for (let offset = 0; offset < payload.length; offset += step) {
      const data = payload.subarray(offset, offset + step);
      const isLast = offset + step >= payload.length;
      const piece = payloadFrame(extra + data.length);
      piece.set(data, HEADROOM + extra);
      if (!isV4) {
        // [RFC 8200 4.5]
        piece[HEADROOM] = kind;
        put16(piece, HEADROOM + 2, offset | (isLast ? 0 : 1));
        put32(piece, HEADROOM + 4, this.id);
      }
      const start = this.writeHeaders(piece, isV4 ? kind : 44, source, destination, hops);
      if (isV4) {
        const ip = piece.subarray(start + ETHERNET_BYTES, HEADROOM);
        put16(ip, 6, (offset / 8) | (isLast ? 0 : MORE));
        put16(ip, 10, 0);
        put16(ip, 10, ~fold(sumWords(ip)) & 0xffff);
      }
      this.deliver(destination, piece.subarray(start), plainPacket);
    }
  }

  /** {@link TcpEnvironment.send}: the checksum is left to the card. */
  offer(
    source: Uint8Array,
    destination: Uint8Array,
    frame: Uint8Array,
    gso: PacketHeader,
  ): boolean {
    const mac = this.neighbours.get(keyOf(destination));
    if (mac !== undefined && this.port.isFull) return false;
    const bytes = frame.length - HEADROOM;
    const pseudo = pseudoSum(source, destination, protocol.tcp, bytes);
    put16(frame, HEADROOM + checksumAt[protocol.tcp]!, fold(pseudo));
    this.id = (this.id + 1) & 0xffff;
    const start = this.writeHeaders(frame, protocol.tcp, source, destination, HOPS);
    const header = { ...gso, checksumStart: HEADROOM - start, checksumOffset: 16 };
    if (mac !== undefined) {
      frame.set(mac, start);
      return this.port.offer(frame.subarray(start), header);
    }
    // What is held must not change with the caller's buffer.
    this.deliver(destination, frame.slice(start), header);
    return true;
  }

  packetOf(kind: number, source: Uint8Array, destination: Uint8Array, payload: Uint8Array) {
    const frame = payloadFrame(payload.length);
    frame.set(payload, HEADROOM);
    const start = this.writeHeaders(frame, kind, source, destination, HOPS);
    return frame.subarray(start + ETHERNET_BYTES);
  }

  /** Where in the frame the Ethernet header begins. */
  private writeHeaders(
    frame: Uint8Array,
    kind: number,
    source: Uint8Array,
    destination: Uint8Array,
    hops: number,
  ): number {
    const isV4 = source.length === 4;
    const at = HEADROOM - (isV4 ? 20 : 40);
    const payloadBytes = frame.length - HEADROOM;
    const start = at - ETHERNET_BYTES;
    frame.set(this.mac, start + 6);
    put16(frame, start + 12, isV4 ? etherType.ipv4 : etherType.ipv6);
    if (isV4) {
      put16(frame, at, 0x4500);
      put16(frame, at + 2, 20 + payloadBytes);
      put16(frame, at + 4, this.id);
      put16(frame, at + 6, DONT_FRAGMENT);
      frame[at + 8] = hops;
      frame[at + 9] = kind;
      put16(frame, at + 10, 0);
      frame.set(source, at + 12);
      frame.set(destination, at + 16);
      put16(frame, at + 10, ~fold(sumWords(frame.subarray(at, HEADROOM))) & 0xffff);
    } else {
      put32(frame, at, 0x6000_0000);
      put16(frame, at + 4, payloadBytes);
      frame[at + 6] = kind;
      frame[at + 7] = hops;
      frame.set(source, at + 8);
      frame.set(destination, at + 24);
    }
    return start;
  }

  /** Fills in whom the frame is for; asks where he is, if that is not known, and holds the frame. */
  private deliver(destination: Uint8Array, frame: Uint8Array, header: PacketHeader): void {
    const mac = this.macOf(destination);
    if (mac !== undefined) {
      frame.set(mac);
      this.port.post(frame, header);
      return;
    }
    if (!this.isNear(destination)) return;
    if (this.held.length >= MAX_HELD) this.held.shift();
    this.held.push({ destination: destination.slice(), frame, header });
    this.ask(destination);
  }

  private macOf(address: Uint8Array): Uint8Array | undefined {
    if (address.length === 4 && isSame(address, broadcast)) return broadcastMac;
    // [RFC 2464 7]
    if (address.length === 16 && address[0] === 0xff) {
      return Uint8Array.of(0x33, 0x33, ...address.subarray(12));
    }
    return this.neighbours.get(keyOf(address));
  }

  /** A frame of the gateway with these contents. */
  post(mac: Uint8Array, type: number, contents: Uint8Array): void {
    const frame = new Uint8Array(ETHERNET_BYTES + contents.length);
    frame.set(mac);
    frame.set(this.mac, 6);
    put16(frame, 12, type);
    frame.set(contents, ETHERNET_BYTES);
    this.port.post(frame);
  }

  /** By ARP [RFC 826], by neighbour discovery [RFC 4861 4.3]. */
  private ask(address: Uint8Array): void {
    if (address.length === 4) {
      this.post(broadcastMac, etherType.arp, this.arp(1, new Uint8Array(6), address));
      return;
    }
    const frame = payloadFrame(32);
    const message = frame.subarray(HEADROOM);
    message[0] = 135;
    message.set(address, 8);
    message.set([1, 1, ...this.mac], 24);
    // The group of nodes whose addresses end alike. [RFC 4291 2.7.1]
    const group = Uint8Array.of(0xff, 2, ...new Uint8Array(9), 1, 0xff, ...address.subarray(13));
    this.send(protocol.icmp6, linkLocal, group, frame, 255);
  }

  private arp(operation: number, mac: Uint8Array, to: Uint8Array, from = this.plan.host4) {
    return Uint8Array.of(0, 1, 8, 0, 6, 4, 0, operation, ...this.mac, ...from, ...mac, ...to);
  }

  /** Contents of an ARP frame. */
  arpFrame(bytes: Uint8Array): void {
    if (bytes.length < 28 || get16(bytes, 2) !== etherType.ipv4 || get16(bytes, 4) !== 0x0604)
      return;
    const [mac, source] = [bytes.subarray(8, 14), bytes.subarray(14, 18)];
    const target = bytes.subarray(24, 28);
    this.learn(source, mac);
    if (get16(bytes, 6) !== 1 || !this.isHere(target)) return;
    this.post(mac, etherType.arp, this.arp(2, mac, source, target));
  }
}
