import { isRoutable, keyOf } from './address.js';
import { get16, put16 } from './checksum.js';
import { Flows } from './flows.js';
import { type Packet, protocol } from './ip.js';
import { type Lan, payloadFrame } from './lan.js';
import type { HostDatagrams, NetHost } from './net-host.js';
import { HEADROOM } from './tcp/tcp-environment.js';

/** Why a packet came to nothing: type and code of IPv4, then of IPv6. [RFC 792, RFC 4443 3] */
const unreachable = {
  network: [3, 0, 1, 0],
  host: [3, 1, 1, 3],
  port: [3, 3, 1, 4],
  prohibited: [3, 13, 1, 1],
  timeExceeded: [11, 0, 3, 0],
} as const;

const ECHO_BYTES = 8;
const MAX_PINGS = 32;
const PING_IDLE_MS = 10_000;
/** All that IPv6 lets an error quote, header and all. [RFC 4443 2.4] */
const MAX_ERROR_BYTES = 1280 - 40;

/** What is told of a packet. */
type Refused = Pick<Packet, 'source' | 'destination' | 'whole' | 'fragment'>;

/** Echo requests and their answers, and errors to the guest. */
export class Icmp {
  /** By guest, its identifier and the other's address. */
  readonly pings: Flows<HostDatagrams>;

  constructor(
    private readonly lan: Lan,
    private readonly host: NetHost,
    /** Where the guest's packets to an address go; undefined where they must not. */
    private readonly target: (address: Uint8Array) => Uint8Array | undefined,
  ) {
    this.pings = new Flows(host, MAX_PINGS, PING_IDLE_MS);
  }

  /** Tells the guest why a packet of its came to nothing, unless that would be told to many. */
  refuse({ source, destination, whole, fragment }: Refused, why: keyof typeof unreachable): void {
    if ((fragment?.offset ?? 0) > 0 || !(isRoutable(destination) || this.lan.isHere(destination))) {
      return;
    }
    const isV4 = source.length === 4;
    const quoted = whole.subarray(0, isV4 ? (whole[0]! & 15) * 4 + 8 : MAX_ERROR_BYTES - 8);
    const frame = payloadFrame(8 + quoted.length);
    const at = isV4 ? 0 : 2;
    frame.set(unreachable[why].slice(at, at + 2), HEADROOM);
    frame.set(quoted, HEADROOM + 8);
    const here = this.lan.isHere(destination) ? destination : this.lan.gateway(isV4);
    this.lan.send(isV4 ? protocol.icmp : protocol.icmp6, here, source, frame);
  }

  /** An ICMP message whose checksum was right. */
  message(packet: Packet): void {
    const { payload, source, destination } = packet;
    const request = source.length === 4 ? 8 : 128;
    if (payload.length < ECHO_BYTES || payload[0] !== request || payload[1] !== 0) return;
    const id = get16(payload, 4);
    if (this.lan.isHere(destination)) {
      this.answer(source, destination, payload, id);
      return;
    }
    const key = `${keyOf(source, destination)}${id}`;
    const to = this.target(destination);
    const ping = to && (this.pings.get(key) ?? this.open(packet, to, id));
    if (ping === undefined) {
      this.refuse(packet, to === undefined ? 'prohibited' : 'host');
      return;
    }
    this.pings.use(key, ping);
    ping.send(payload);
  }

  private answer(to: Uint8Array, from: Uint8Array, message: Uint8Array, id: number): void {
    const isV4 = to.length === 4;
    const frame = payloadFrame(message.length);
    frame.set(message, HEADROOM);
    frame[HEADROOM] = isV4 ? 0 : 129;
    put16(frame, HEADROOM + 4, id);
    this.lan.send(isV4 ? protocol.icmp : protocol.icmp6, from, to, frame);
  }

  private open(packet: Packet, to: Uint8Array, id: number): HostDatagrams | undefined {
    const [source, destination] = [packet.source.slice(), packet.destination.slice()];
    return this.host.ping(to, {
      message: (bytes) => {
        if (bytes.length >= ECHO_BYTES) this.answer(source, destination, bytes, id);
      },
      error() {},
    });
  }
}
