import { keyOf } from './address.js';
import { get16, put16 } from './checksum.js';
import { Flows } from './flows.js';
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
  /** Of a forward: who is behind the address and port that the guest sees. */
  readonly peer?: string;
}

const MAX_FLOWS = 512;
/** [RFC 4787 4.3] wants no less than two minutes. */
const IDLE_MS = 120_000;
const PORT_TRIES = 64;

/** Who of the guest's side talks by UDP to whom; each flow has a socket of the host. */
export class UdpFlows {
  readonly flows: Flows<Flow>;

  constructor(
    private readonly lan: Lan,
    private readonly host: NetHost,
    private readonly icmp: Icmp,
  ) {
    this.flows = new Flows(host, MAX_FLOWS, IDLE_MS);
  }

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
    this.flows.use(key, flow);
    flow.send(data);
  }

  private open(key: string, packet: Packet, to: Endpoint): Flow {
    const guest = { address: packet.source.slice(), port: get16(packet.payload, 0) };
    const from = { address: packet.destination.slice(), port: to.port };
    const whole = packet.whole.slice(0, 128);
    const first = { source: guest.address, destination: from.address, whole };
    return this.host.datagrams(to, {
      message: (data) => {
        const flow = this.flows.get(key);
        if (flow !== undefined) this.flows.use(key, flow);
        sendUdp(this.lan, from, guest, data);
      },
      error: (code) => {
        const isNobody = code === 'ECONNREFUSED';
        this.icmp.refuse(first, isNobody ? 'port' : 'host');
        if (!isNobody) this.flows.drop(key);
      },
    });
  }

  /** A datagram of the host's side that goes on to the guest; `reply` takes answers. */
  forward(guest: Endpoint, from: Endpoint, peer: string, data: Uint8Array, reply: HostDatagrams) {
    const ports = new Uint8Array(4);
    put16(ports, 0, guest.port);
    for (let i = 0; i < PORT_TRIES; i++) {
      const port = 1024 + ((from.port - 1024 + i) & 0x7fff);
      put16(ports, 2, i === 0 ? from.port : port);
      const key = keyOf(guest.address, from.address, ports);
      const flow = this.flows.get(key) ?? { ...reply, peer };
      if (flow.peer !== peer) continue;
      this.flows.use(key, flow);
      sendUdp(this.lan, { address: from.address, port: get16(ports, 2) }, guest, data);
      return;
    }
  }
}
