import { isSame, v4 } from './address.js';
import { get32, put32 } from './checksum.js';
import { type Lan, linkLocal } from './lan.js';
import type { Endpoint } from './tcp/tcp-environment.js';
import { sendUdp } from './udp.js';

/** What DHCP tells besides addresses. */
export interface DhcpPlan {
  readonly hostname?: string;
  readonly domain?: string;
}

export const dhcpPort = { server: 67, client: 68, serverV6: 547, clientV6: 546 } as const;

const FIXED_BYTES = 240;
const COOKIE = 0x6382_5363;
/** Of the fixed part. [RFC 2131 2] */
const field = { ciaddr: 12, yiaddr: 16, siaddr: 20, chaddr: 28, cookie: 236 };
const type = {
  ...{ discover: 1, offer: 2, request: 3, decline: 4 },
  ...{ ack: 5, nak: 6, release: 7, inform: 8 },
};
/** [RFC 2132] */
const option = {
  ...{ mask: 1, router: 3, dns: 6, hostname: 12, domain: 15, mtu: 26, broadcast: 28 },
  ...{ wanted: 50, leaseSeconds: 51, type: 53, server: 54, end: 255 },
};
const LEASE_SECONDS = 86_400;
const MAX_LEASES = 16;

const text = (characters: string) =>
  Uint8Array.from(characters, (character) => character.charCodeAt(0));

const bytes32 = (value: number) => {
  const bytes = new Uint8Array(4);
  put32(bytes, 0, value);
  return bytes;
};

/** Gives the first address to the first card that asks, the next ones to others. [RFC 2131] */
export class Dhcp {
  /** Cards by what their address ends in after the first one's. */
  private readonly leases: (Uint8Array | undefined)[] = [];

  constructor(
    private readonly lan: Lan,
    private readonly plan: DhcpPlan,
  ) {}

  message(bytes: Uint8Array): void {
    if (bytes.length < FIXED_BYTES || bytes[0] !== 1 || bytes[1] !== 1 || bytes[2] !== 6) return;
    if (get32(bytes, field.cookie) !== COOKIE) return;
    const given = options(bytes.subarray(FIXED_BYTES));
    const mac = bytes.slice(field.chaddr, field.chaddr + 6);
    const { host4 } = this.lan.plan;
    const server = given.get(option.server);
    const isOurs = server === undefined || isSame(server, host4);
    switch (given.get(option.type)?.[0]) {
      case type.discover: {
        const address = this.lease(mac);
        if (address !== undefined) this.reply(bytes, type.offer, address);
        return;
      }
      case type.request: {
        if (!isOurs) return;
        const wanted = given.get(option.wanted) ?? bytes.slice(field.ciaddr, field.ciaddr + 4);
        const address = this.lease(mac, wanted);
        const isGood = address !== undefined && isSame(address, wanted);
        this.reply(bytes, isGood ? type.ack : type.nak, isGood ? address : undefined);
        return;
      }
      case type.inform:
        this.reply(bytes, type.ack, undefined);
        return;
      case type.decline:
      case type.release: {
        const at = this.leases.findIndex((card) => card !== undefined && isSame(card, mac));
        if (isOurs && at >= 0) this.leases[at] = undefined;
      }
    }
  }

  /** The address of a card: the one it has, the one it wants if that is free, any. */
  private lease(mac: Uint8Array, wanted?: Uint8Array): Uint8Array | undefined {
    const first = get32(this.lan.plan.guest4, 0);
    const own = this.leases.findIndex((card) => card !== undefined && isSame(card, mac));
    if (own >= 0) return bytes32(first + own);
    const isFree = (_: unknown, at: number) => {
      const address = bytes32(first + at);
      return this.leases[at] === undefined && this.lan.isNear(address) && !this.lan.isHere(address);
    };
    const places = Array.from({ length: MAX_LEASES });
    const asked = wanted?.length === 4 ? get32(wanted, 0) - first : 0;
    const at = asked in places && isFree(0, asked) ? asked : places.findIndex(isFree);
    if (at < 0) return undefined;
    this.leases[at] = mac;
    return bytes32(first + at);
  }

  private reply(request: Uint8Array, kind: number, address: Uint8Array | undefined): void {
    const { host4, dns4, prefix4, mtu } = this.lan.plan;
    const { hostname, domain } = this.plan;
    const mask = bytes32((0xffff_ffff << (32 - prefix4)) >>> 0);
    const near = host4.map((byte, i) => byte | (~mask[i]! & 0xff));
    const settings: [number, Uint8Array][] = [
      [option.type, Uint8Array.of(kind)],
      [option.server, host4],
    ];
    if (address !== undefined) settings.push([option.leaseSeconds, bytes32(LEASE_SECONDS)]);
    if (kind !== type.nak) {
      settings.push([option.mask, mask], [option.router, host4], [option.dns, dns4]);
      settings.push([option.broadcast, near], [option.mtu, Uint8Array.of(mtu >> 8, mtu & 0xff)]);
      if (hostname !== undefined) settings.push([option.hostname, text(hostname)]);
      if (domain !== undefined) settings.push([option.domain, text(domain)]);
    }
    const tail = settings.flatMap(([code, value]) => [code, value.length, ...value]);
    const message = new Uint8Array(Math.max(300, FIXED_BYTES + tail.length + 1));
    message.set(request.subarray(0, FIXED_BYTES));
    message.fill(0, field.siaddr + 4, field.siaddr + 8);
    message.fill(0, field.chaddr + 16, field.cookie);
    message[0] = 2;
    message.set(address ?? new Uint8Array(4), field.yiaddr);
    message.set(host4, field.siaddr);
    message.set([...tail, option.end], FIXED_BYTES);
    const to = { address: v4(255, 255, 255, 255), port: dhcpPort.client };
    sendUdp(this.lan, { address: host4, port: dhcpPort.server }, to, message);
  }
}

/** By code; what runs past the end is left out. */
function options(bytes: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = 0; at + 1 < bytes.length && bytes[at] !== option.end; ) {
    if (bytes[at] === 0) at++;
    else {
      const end = at + 2 + bytes[at + 1]!;
      if (end <= bytes.length) found.set(bytes[at]!, bytes.slice(at + 2, end));
      at = end;
    }
  }
  return found;
}

const v6 = { informationRequest: 11, reply: 7, clientId: 1, serverId: 2, dns: 23, domains: 24 };

/** Tells hosts that made an address for themselves where the name server is. [RFC 8415 18.3.6] */
export function answerDhcp6(lan: Lan, plan: DhcpPlan, to: Endpoint, bytes: Uint8Array): void {
  if (bytes.length < 4 || bytes[0] !== v6.informationRequest || lan.plan.v6 === undefined) return;
  const reply = [v6.reply, ...bytes.subarray(1, 4)];
  const add = (code: number, value: Iterable<number>) => {
    const contents = Array.from(value);
    reply.push(0, code, contents.length >> 8, contents.length & 0xff, ...contents);
  };
  for (let at = 4; at + 4 <= bytes.length; ) {
    const end = at + 4 + ((bytes[at + 2]! << 8) | bytes[at + 3]!);
    const isClient = bytes[at] === 0 && bytes[at + 1] === v6.clientId;
    if (isClient && end <= bytes.length) add(v6.clientId, bytes.subarray(at + 4, end));
    at = end;
  }
  // A DUID of the kind link-layer address. [RFC 8415 11.4]
  add(v6.serverId, [0, 3, 0, 1, ...lan.mac]);
  add(v6.dns, lan.plan.v6.dns);
  const labels = plan.domain?.split('.').flatMap((label) => [label.length, ...text(label)]);
  if (labels !== undefined) add(v6.domains, [...labels, 0]);
  const from = { address: linkLocal, port: dhcpPort.serverV6 };
  sendUdp(lan, from, to, Uint8Array.from(reply));
}
