import { isRoutable, keyOf } from './address.js';
import { get16, put16 } from './checksum.js';
import { type Packet, protocol } from './ip.js';
import { type Lan, payloadFrame } from './lan.js';
import type { HostDatagrams, NetHost } from './net-host.js';
import { HEADROOM } from './tcp/tcp-environment.js';

/** Why a packet came to nothing, in both versions: type and code. [RFC 792, RFC 4443 3] */
const unreachable = {
  network: [
    [3, 0],
    [1, 0],
  ],
  host: [
    [3, 1],
    [1, 3],
  ],
  port: [
    [3, 3],
    [1, 4],
  ],
  prohibited: [
    [3, 13],
    [1, 1],
  ],
  timeExceeded: [
    [11, 0],
    [3, 0],
  ],
} as const;

const ECHO_BYTES = 8;
const MAX_PINGS = 32;
const PING_IDLE_MS = 10_000;
/** All that IPv6 lets an error quote, header and all. [RFC 4443 2.4] */
const MAX_ERROR_BYTES = 1280 - 40;

interface Ping {
  readonly socket: HostDatagrams;
  usedMs: number;
}

/** Echo requests and their answers, and errors to the guest. */
export class Icmp {
  /** By guest, its identifier and the other's address; who was used last is last. */
  private readonly pings = new Map<string, Ping>();

  constructor(
    private readonly lan: Lan,
    private readonly host: NetHost,
    /** Where the guest's packets to an address go; undefined where they must not. */
    private readonly target: (address: Uint8Array) => Uint8Array | undefined,
  ) {}

  /** Tells the guest why a packet of its came to nothing, unless that would be told to many. */
  refuse(packet: Packet, why: keyof typeof unreachable): void {
    const { source, destination, whole, fragment } = packet;
    if ((fragment?.offset ?? 0) > 0 || !(isRoutable(destination) || this.lan.isHere(destination))) {
      return;
    }
    const isV4 = source.length === 4;
    const quoted = whole.subarray(0, isV4 ? (whole[0]! & 15) * 4 + 8 : MAX_ERROR_BYTES - 8);
    const frame = payloadFrame(8 + quoted.length);
    frame.set(unreachable[why][isV4 ? 0 : 1], HEADROOM);
    frame.set(quoted, HEADROOM + 8);
    const here = this.lan.isHere(destination) ? destination : this.lan.gateway(isV4);
    this.lan.send(isV4 ? protocol.icmp : protocol.icmp6, here, source, frame);
  }

  /** The same where only addresses and the first bytes of a TCP segment are left. */
  refuseSegment(
    source: Uint8Array,
    destination: Uint8Array,
    head: Uint8Array,
    why: keyof typeof unreachable,
  ): void {
    const whole = this.lan.packetOf(protocol.tcp, source, destination, head);
    this.refuse(
      { protocol: protocol.tcp, hops: 64, source, destination, payload: head, whole },
      why,
    );
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
    const to = this.target(destination);
    const ping = to && this.ping(packet, to, id);
    if (ping === undefined) {
      this.refuse(packet, to === undefined ? 'prohibited' : 'host');
      return;
    }
    ping.usedMs = this.host.nowMs();
    ping.socket.send(payload);
  }

  private answer(to: Uint8Array, from: Uint8Array, message: Uint8Array, id: number): void {
    const isV4 = to.length === 4;
    const frame = payloadFrame(message.length);
    frame.set(message, HEADROOM);
    frame[HEADROOM] = isV4 ? 0 : 129;
    put16(frame, HEADROOM + 4, id);
    this.lan.send(isV4 ? protocol.icmp : protocol.icmp6, from, to, frame);
  }

  private ping(packet: Packet, to: Uint8Array, id: number): Ping | undefined {
    const [source, destination] = [packet.source.slice(), packet.destination.slice()];
    const key = `${keyOf(source, destination)}${id}`;
    const nowMs = this.host.nowMs();
    for (const [old, { socket, usedMs }] of this.pings) {
      if (nowMs - usedMs < PING_IDLE_MS && this.pings.size < MAX_PINGS) break;
      socket.close();
      this.pings.delete(old);
    }
    let ping = this.pings.get(key);
    if (ping === undefined) {
      const socket = this.host.ping(to, {
        message: (bytes) => {
          if (bytes.length >= ECHO_BYTES) this.answer(source, destination, bytes, id);
        },
        error: () => {},
      });
      if (socket === undefined) return undefined;
      ping = { socket, usedMs: nowMs };
    }
    this.pings.delete(key);
    this.pings.set(key, ping);
    return ping;
  }

  close(): void {
    for (const { socket } of this.pings.values()) socket.close();
    this.pings.clear();
  }
}
