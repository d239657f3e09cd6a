import { put16, put32 } from './checksum.js';
import { type Packet, protocol } from './ip.js';
import { type Lan, linkLocal, payloadFrame } from './lan.js';
import { HEADROOM } from './tcp/tcp-environment.js';

const nd = { routerSolicitation: 133, advertisement: 134, solicitation: 135, neighbour: 136 };
const option = { source: 1, target: 2, prefix: 3, mtu: 5, rdnss: 25 };
const ROUTER_SECONDS = 1800;
const PREFIX_SECONDS = 86_400;
const allNodes = Uint8Array.of(0xff, 2, ...new Uint8Array(13), 1);

/** Neighbour discovery: who is where, and what network this is. [RFC 4861] */
export class Neighbours {
  constructor(private readonly lan: Lan) {}

  /** False: no message of neighbour discovery. */
  message({ payload, source, hops }: Packet, mac: Uint8Array): boolean {
    const [type] = payload;
    if (type! < nd.routerSolicitation || type! > nd.neighbour) return false;
    // From another network. [RFC 4861 7.1]
    if (hops !== 255) return true;
    if (type === nd.routerSolicitation) this.advertise();
    if (type === nd.neighbour && payload.length >= 24) this.lan.learn(payload.subarray(8, 24), mac);
    if (type === nd.solicitation && payload.length >= 24) {
      // Nobody: the guest asks whether an address that it would like is free. [RFC 4862 5.4]
      const asker = source.every((byte) => byte === 0) ? undefined : source;
      if (asker !== undefined) this.lan.learn(asker, mac);
      const target = payload.slice(8, 24);
      if (this.lan.isHere(target)) this.tell(target, asker);
    }
    return true;
  }

  private tell(target: Uint8Array, asker: Uint8Array | undefined): void {
    const frame = payloadFrame(32);
    const message = frame.subarray(HEADROOM);
    message[0] = nd.neighbour;
    // Router, asked for, in place of what was known.
    message[4] = asker === undefined ? 0xa0 : 0xe0;
    message.set(target, 8);
    message.set([option.target, 1, ...this.lan.mac], 24);
    this.lan.send(protocol.icmp6, target, asker ?? allNodes, frame, 255);
  }

  /** The router, the network for addresses of the guest's making, the name server. [RFC 8106 5.1] */
  advertise(): void {
    const { v6, mtu } = this.lan.plan;
    if (v6 === undefined) return;
    const frame = payloadFrame(16 + 8 + 8 + 32 + 24);
    const message = frame.subarray(HEADROOM);
    // Hops; other settings are had by DHCPv6.
    message.set([nd.advertisement, 0, 0, 0, 64, 0x40]);
    put16(message, 6, ROUTER_SECONDS);
    message.set([option.source, 1, ...this.lan.mac], 16);
    message.set([option.mtu, 1], 24);
    put32(message, 28, mtu);
    // A /64 that is on the link and for addresses.
    message.set([option.prefix, 4, 64, 0xc0], 32);
    put32(message, 36, PREFIX_SECONDS);
    put32(message, 40, PREFIX_SECONDS / 2);
    message.set(v6.host.subarray(0, 8), 48);
    message.set([option.rdnss, 3], 64);
    put32(message, 68, ROUTER_SECONDS);
    message.set(v6.dns, 72);
    this.lan.send(protocol.icmp6, linkLocal, allNodes, frame, 255);
  }
}
