import { keyOf } from './address.js';
import { get16, put16 } from './checksum.js';
import type { Icmp } from './icmp.js';
import { type Packet, protocol } from './ip.js';
import { type Lan, payloadFrame } from './lan.js';
import type { HostDatagrams, NetHost } from './net-host.js';
import { type Endpoint, HEADROOM } from './tcp/tcp-environment.js';

export const UDP_BYTES = 8;

/** A datagram for the guest. */
export function sendUdp(lan: Lan, from: Endpoint, to: Endpoint, data: Uint8Array): void {
  const frame = payloadFrame(UDP_BYTES + data.length);
  put16(frame, HEADROOM, from.port);
  put16(frame, HEADROOM + 2, to.port);
  put16(frame, HEADROOM + 4, UDP_BYTES + data.length);
  frame.set(data, HEADROOM + UDP_BYTES);
  lan.send(protocol.udp, from.address, to.address, frame);
}

interface Flow extends HostDatagrams {
  usedMs: number;
  /** Of a forward: who is behind the address and port that the guest sees. */
  readonly peer?: string;
}

const MAX_FLOWS = 512;
/** [RFC 4787 4.3] wants no less than two minutes. */
const IDLE_MS = 120_000;
const SWEEP_MS = 15_000;
const PORT_TRIES = 64;

/** Who of the guest's side talks by UDP to whom; each flow has a socket of the host. */
export class UdpFlows {
  /** Who was silent longest is first. */
  private readonly flows = new Map<string, Flow>();
  private cancelSweep: (() => void) | undefined;

  constructor(
    private readonly lan: Lan,
    private readonly host: NetHost,
    private readonly icmp: Icmp,
  ) {}

  /** A datagram of the guest; `to` is what it means by its destination, undefined where it may not go there. */
  send(packet: Packet, data: Uint8Array, to: () => Uint8Array | undefined): void {
    const ports = packet.payload.subarray(0, 4);
    const key = keyOf(packet.source, packet.destination, ports);
    let flow = this.flows.get(key);
    if (flow === undefined) {
      const address = to();
      if (address === undefined) {
        this.icmp.refuse(packet, 'prohibited');
        return;
      }
      flow = this.open(key, packet, { address, port: get16(ports, 2) });
    }
    this.use(key, flow);
    flow.send(data);
  }

  private open(key: string, packet: Packet, to: Endpoint): Flow {
    const guest = { address: packet.source.slice(), port: get16(packet.payload, 0) };
    const from = { address: packet.destination.slice(), port: to.port };
    const first = { ...packet, whole: packet.whole.slice(0, 128) };
    const socket = this.host.datagrams(to, {
      message: (data) => {
        const flow = this.flows.get(key);
        if (flow !== undefined) this.use(key, flow);
        sendUdp(this.lan, from, guest, data);
      },
      error: (code) => {
        const isNobody = code === 'ECONNREFUSED';
        this.icmp.refuse(first, isNobody ? 'port' : 'host');
        if (!isNobody) this.drop(key);
      },
    });
    return { send: (data) => socket.send(data), close: () => socket.close(), usedMs: 0 };
  }

  /** A datagram of the host's side that goes on to the guest; `reply` takes answers. */
  forward(guest: Endpoint, from: Endpoint, peer: string, data: Uint8Array, reply: HostDatagrams) {
    const ports = new Uint8Array(4);
    put16(ports, 0, guest.port);
    for (let i = 0; i < PORT_TRIES; i++) {
      const port = 1024 + ((from.port - 1024 + i) & 0x7fff);
      put16(ports, 2, i === 0 ? from.port : port);
      const key = keyOf(guest.address, from.address, ports);
      const flow = this.flows.get(key) ?? { ...reply, peer, usedMs: 0 };
      if (flow.peer !== peer) continue;
      this.use(key, flow);
      sendUdp(this.lan, { address: from.address, port: get16(ports, 2) }, guest, data);
      return;
    }
  }

  private use(key: string, flow: Flow): void {
    flow.usedMs = this.host.nowMs();
    this.flows.delete(key);
    if (this.flows.size >= MAX_FLOWS) {
      const [oldest] = this.flows.keys();
      this.drop(oldest!);
    }
    this.flows.set(key, flow);
    this.cancelSweep ??= this.host.after(SWEEP_MS, () => this.sweep());
  }

  private sweep(): void {
    const beforeMs = this.host.nowMs() - IDLE_MS;
    for (const [key, { usedMs }] of this.flows) {
      if (usedMs > beforeMs) break;
      this.drop(key);
    }
    this.cancelSweep =
      this.flows.size > 0 ? this.host.after(SWEEP_MS, () => this.sweep()) : undefined;
  }

  private drop(key: string): void {
    this.flows.get(key)?.close();
    this.flows.delete(key);
  }

  close(): void {
    this.cancelSweep?.();
    for (const key of [...this.flows.keys()]) this.drop(key);
  }
}
