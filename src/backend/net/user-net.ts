import type { NetGuest } from '../../virtio/net/net.js';
import { needsChecksum, type PacketHeader, plainPacket } from '../../virtio/net/packets.js';
import { gsoType, headerFlag } from '../../virtio/net/registers.js';
import { isGroup, isRoutable, isSame, parseAddress, v4 } from './address.js';
import { get16 } from './checksum.js';
import { answerDhcp6, Dhcp, type DhcpPlan, dhcpPort } from './dhcp.js';
import { DnsForwarder } from './dns.js';
import { Fragments } from './fragments.js';
import { GuestPort, type NetBackend } from './guest-port.js';
import { Icmp } from './icmp.js';
import { type Packet, parseV4, parseV6, protocol } from './ip.js';
import { etherType, isIntact, Lan, type LanPlan } from './lan.js';
import { Neighbours } from './neighbours.js';
import type { HostDatagrams, NetHost } from './net-host.js';
import type { Endpoint, OpenStream, TcpEnvironment, TcpMachine } from './tcp/tcp-environment.js';
import { sendUdp, UDP_BYTES, UdpFlows } from './udp.js';

export interface UserNetPlan extends LanPlan, DhcpPlan {
  /** The guest reaches nothing but the gateway's own services, and what was forwarded to it. */
  readonly isRestricted: boolean;
}

const ETHERNET_BYTES = 14;
const DNS_PORT = 53;
/** Of one frame, as Linux has it. */
const MAX_DATAGRAMS = 128;
const MAX_PACKET_BYTES = 65_535;
const loopback4 = v4(127, 0, 0, 1);
const loopback6 = parseAddress('::1')!;

/**
 * A network that needs no rights on the host: the guest's packets end here, and go on as the data of
 * sockets of the host. [RFC 3022, of the kind that needs no addresses]
 */
export class UserNet implements NetBackend {
  readonly offloads = true;
  private readonly port = new GuestPort();
  private readonly lan: Lan;
  private readonly fragments = new Fragments();
  private readonly icmp: Icmp;
  private readonly neighbours: Neighbours;
  private readonly udp: UdpFlows;
  private readonly dhcp: Dhcp;
  private readonly dns: DnsForwarder;
  private readonly tcp: TcpMachine;

  constructor(
    private readonly plan: UserNetPlan,
    private readonly host: NetHost,
    tcp: (environment: TcpEnvironment) => TcpMachine,
  ) {
    this.lan = new Lan(plan, this.port);
    this.icmp = new Icmp(this.lan, host, (address) => this.target(address));
    this.neighbours = new Neighbours(this.lan);
    this.udp = new UdpFlows(this.lan, host, this.icmp);
    this.dhcp = new Dhcp(this.lan, plan);
    this.dns = new DnsForwarder(host, plan.isRestricted);
    this.tcp = tcp(this.environment());
  }

  connect(guest: NetGuest): void {
    this.port.connect(guest);
  }

  resume(): void {
    if (this.port.resume()) this.tcp.resume();
  }

  send(frame: Uint8Array, header: PacketHeader): void {
    const contents = frame.subarray(ETHERNET_BYTES);
    const mac = frame.subarray(6, ETHERNET_BYTES - 2);
    if (frame.length <= ETHERNET_BYTES) return;
    if ((frame[0]! & 1) === 0 && !isSame(frame.subarray(0, 6), this.lan.mac)) return;
    switch (get16(frame, 12)) {
      case etherType.arp:
        this.lan.arpFrame(contents);
        return;
      case etherType.ipv4:
        this.piece(parseV4(contents), mac, header);
        return;
      case etherType.ipv6:
        if (this.plan.v6 !== undefined) this.piece(parseV6(contents), mac, header);
    }
  }

  private piece(packet: Packet | undefined, mac: Uint8Array, header: PacketHeader): void {
    if (packet?.fragment === undefined) {
      if (packet !== undefined) this.packet(packet, mac, header);
      return;
    }
    const whole = this.fragments.add(packet, this.host.nowMs());
    if (whole !== undefined) this.packet(whole, mac, plainPacket);
  }

  /** From where no reply could go back, only a host without an address asks for one. */
  private packet(packet: Packet, mac: Uint8Array, header: PacketHeader): void {
    if (!needsChecksum(header) && !isIntact(packet)) return;
    const { source, destination } = packet;
    const isIcmp6 = packet.protocol === protocol.icmp6 && source.length === 16;
    if (isIcmp6 && this.neighbours.message(packet, mac)) return;
    const isUdp = packet.protocol === protocol.udp;
    if (isUdp && this.service(packet)) return;
    const isFromNear = this.lan.isNear(source) && !this.lan.isHere(source) && !isGroup(source);
    if (!isFromNear || isGroup(destination)) return;
    this.lan.learn(source, mac);
    if (packet.hops <= 1 && !this.lan.isHere(destination)) {
      this.icmp.refuse(packet, 'timeExceeded');
    } else if (packet.protocol === protocol.tcp) this.tcp.segment(packet);
    else if (isUdp) this.datagram(packet, header);
    else if (isIcmp6 || packet.protocol === protocol.icmp) this.icmp.message(packet);
  }

  /** Datagrams that the gateway answers itself. */
  private service(packet: Packet): boolean {
    const { payload, source, destination } = packet;
    if (payload.length < UDP_BYTES) return true;
    const data = payload.subarray(UDP_BYTES);
    const guest = { address: source.slice(), port: get16(payload, 0) };
    const port = get16(payload, 2);
    const isV4 = source.length === 4;
    if (isV4 && port === dhcpPort.server) this.dhcp.message(data);
    else if (!isV4 && port === dhcpPort.serverV6) answerDhcp6(this.lan, this.plan, guest, data);
    else if (port === DNS_PORT && this.isDns(destination)) {
      const from = { address: destination.slice(), port };
      this.dns.query(data.slice(), (answer) => sendUdp(this.lan, from, guest, answer));
    } else return false;
    return true;
  }

  /** A frame may stand for several datagrams. */
  private datagram(packet: Packet, { gsoType: kind, gsoBytes }: PacketHeader): void {
    const { payload, destination } = packet;
    if (get16(payload, 0) === 0 || get16(payload, 2) === 0) return;
    const end = kind === gsoType.none ? get16(payload, 4) : payload.length;
    if (end < UDP_BYTES || end > payload.length) return;
    const step = kind === gsoType.none ? payload.length : gsoBytes;
    if (end > step * MAX_DATAGRAMS) return;
    const to = () => this.target(destination);
    for (let at = UDP_BYTES; at < end || at === UDP_BYTES; at += step) {
      this.udp.send(packet, payload.subarray(at, Math.min(at + step, end)), to);
    }
  }

  private isDns(address: Uint8Array): boolean {
    const { dns4, v6 } = this.plan;
    return isSame(address, dns4) || (v6 !== undefined && isSame(address, v6.dns));
  }

  /** What the guest means by an address; undefined where it must not go. */
  private target(address: Uint8Array): Uint8Array | undefined {
    const { host4, v6, isRestricted } = this.plan;
    if (isRestricted) return undefined;
    if (isSame(address, host4)) return loopback4;
    if (v6 !== undefined && isSame(address, v6.host)) return loopback6;
    return isRoutable(address) && !this.lan.isNear(address) ? address.slice() : undefined;
  }

  private environment(): TcpEnvironment {
    const { host, port, plan } = this;
    const kinds = (isV6: boolean) => (isV6 ? gsoType.tcp6 : gsoType.tcp4);
    const partial = { ...plainPacket, flags: headerFlag.needsChecksum };
    return {
      mtu: plan.mtu,
      nowMs: () => host.nowMs(),
      after: (delayMs, callback) => host.after(delayMs, callback),
      soon: (callback) => host.soon(callback),
      randomU32: () => host.randomU32(),
      unreachable: (source, destination, head, why) => {
        const whole = this.lan.packetOf(protocol.tcp, source, destination, head);
        this.icmp.refuse({ source, destination, whole }, why);
      },
      maxSegmentBytes: (isV6) =>
        (port.accepts(kinds(isV6)) ? MAX_PACKET_BYTES : plan.mtu) - (isV6 ? 40 : 20),
      send: (source, destination, frame, gsoBytes) => {
        const kind = gsoBytes === 0 ? gsoType.none : kinds(source.length === 16);
        const header = gsoBytes === 0 ? partial : { ...partial, gsoType: kind, gsoBytes };
        return this.lan.offer(source, destination, frame, header);
      },
      connect: (address, port) => {
        const isDns = port === DNS_PORT && this.isDns(address) && !plan.isRestricted;
        const mapped = this.target(address);
        if (port === 0) return undefined;
        const to = isDns ? host.resolvers()[0] : mapped && { address: mapped, port };
        return to && host.stream(to);
      },
    };
  }

  /** Who the guest sees in place of a host's peer: itself, or the gateway where it is the host. */
  private seen({ address, port }: Endpoint, isV4: boolean): Endpoint {
    const mayShow = isV4 === (address.length === 4) && isRoutable(address);
    return {
      address: mayShow && !this.lan.isNear(address) ? address : this.lan.gateway(isV4),
      port,
    };
  }

  /** A connection of the host's side to the guest. */
  acceptStream(open: OpenStream, guest: Endpoint, from: Endpoint): void {
    this.tcp.accept(open, guest, this.seen(from, guest.address.length === 4));
  }

  /** A datagram of the host's side to the guest; `reply` takes answers to its sender. */
  acceptDatagram(guest: Endpoint, from: Endpoint, data: Uint8Array, reply: HostDatagrams): void {
    const peer = `${from.address.join('.')} ${from.port}`;
    this.udp.forward(guest, this.seen(from, guest.address.length === 4), peer, data, reply);
  }

  close(): void {
    this.tcp.close();
    this.udp.flows.close();
    this.icmp.pings.close();
    this.dns.close();
  }
}
