import type { Codec } from '../../base/codec.js';
import { feature } from '../core/registers.js';
import type { VirtioHost, VirtioType } from '../core/virtio-type.js';
import type { Chain } from '../queue/chain.js';
import type { Virtqueue } from '../queue/virtqueue.js';
import {
  completeChecksum,
  decodeHeader,
  encodeHeader,
  ethernetBytes,
  FLOWS,
  flowOf,
  isConsistent,
  needsChecksum,
  type PacketHeader,
  plainPacket,
} from './packets.js';
import * as r from './registers.js';
import { RxFilter } from './rx-filter.js';
import { type NetState, netCodec } from './state.js';

/** The guest's end of a link. */
export interface NetGuest {
  /**
   * A frame for the guest. False: there is no room now, the link's `resume` will be called; what the
   * guest does not want is dropped and counts as taken.
   */
  receive(frame: Uint8Array, header?: PacketHeader): boolean;
  /** The guest takes frames that stand for several, of this kind. */
  accepts(gso: number): boolean;
}

/** What is behind the device. */
export interface NetLink {
  /** Partial checksums and frames that stand for several are understood. */
  readonly offloads: boolean;
  /** A frame from the guest; the array is the link's from now on. */
  send(frame: Uint8Array, header: PacketHeader): void;
  connect(guest: NetGuest): void;
  /** The guest has room again. */
  resume(): void;
}

export interface NetOptions {
  readonly mac: Uint8Array;
  readonly pairs?: number;
  /** 68 to 65,535. */
  readonly mtu?: number;
}

/** Feature bits. */
const f = r.netFeature;
const guestOffloads = [
  f.guestChecksum,
  f.guestTso4,
  f.guestTso6,
  f.guestEcn,
  f.guestUso4,
  f.guestUso6,
];
const hostOffloads = [f.checksum, f.hostTso4, f.hostTso6, f.hostEcn, f.hostUso];
/** Which features allow a kind of large frame, to and from the guest. */
const gsoFeatures: Readonly<Record<number, readonly [toGuest: number[], fromGuest: number]>> = {
  [r.gsoType.tcp4]: [[f.guestTso4], f.hostTso4],
  [r.gsoType.tcp6]: [[f.guestTso6], f.hostTso6],
  [r.gsoType.udp]: [[f.guestUso4, f.guestUso6], f.hostUso],
};

/** A network card. [VIRTIO 5.1] */
export class VirtioNet implements VirtioType<NetState>, NetGuest {
  // Fixed configuration.
  readonly name = 'net';
  readonly deviceId = r.NET_DEVICE_ID;
  readonly classCode = r.NET_CLASS;
  readonly features: readonly number[];
  readonly requires = r.netRequires;
  readonly queueSizes: readonly number[];
  readonly config = new Uint8Array(r.netConfig.bytes);
  readonly stateVersion = 1;
  readonly stateCodec: Codec<NetState>;
  private readonly view = new DataView(this.config.buffer);
  private readonly maxPairs: number;

  // Wiring.
  private host!: VirtioHost;
  /** By flow: the pair of queues that its last frame from the guest came by. */
  private readonly steering = new Uint8Array(FLOWS);

  // Guest-visible state.
  private readonly filter = new RxFilter();
  private pairs = 1;
  private disabled = [0, 0];
  private isUp = true;

  constructor(
    private readonly link: NetLink,
    private readonly options: NetOptions,
  ) {
    const { pairs = 1, mtu } = options;
    const { mac, mergeable, status, control: controlQueue, guestAnnounce } = f;
    const { controlRx, controlVlan, controlRxExtra, controlMac, multiQueue } = f;
    this.maxPairs = pairs;
    this.queueSizes = Array(2 * pairs + 1).fill(r.NET_QUEUE_SIZE);
    this.features = [
      ...[mac, mergeable, status, controlQueue, guestAnnounce],
      ...[controlRx, controlVlan, controlRxExtra, controlMac],
      ...(pairs > 1 ? [multiQueue] : []),
      ...(mtu === undefined ? [] : [f.mtu]),
      ...(link.offloads ? [...guestOffloads, ...hostOffloads, f.controlGuestOffloads] : []),
    ];
    this.view.setUint16(r.netConfig.maxPairs, pairs, true);
    this.view.setUint16(r.netConfig.mtu, mtu ?? 0, true);
    this.stateCodec = netCodec(pairs);
    this.reset();
  }

  attach(host: VirtioHost): void {
    this.host = host;
    this.link.connect(this);
  }

  /** The cable. */
  setLink(isUp: boolean): void {
    this.isUp = isUp;
    this.setStatus(r.netStatus.linkUp, isUp);
    if (isUp) this.link.resume();
  }

  /** The guest is at another place of its network now and should say so. */
  announce(): void {
    if (this.host.has(f.guestAnnounce)) this.setStatus(r.netStatus.announce, true);
  }

  private setStatus(bit: number, isSet: boolean): void {
    const before = this.view.getUint16(r.netConfig.status, true);
    const after = isSet ? before | bit : before & ~bit;
    this.view.setUint16(r.netConfig.status, after, true);
    if (after !== before && this.host.has(f.status)) this.host.configChanged();
  }

  /** Legacy drivers set their address here. [VIRTIO 5.1.4.2] */
  configWrite(offset: number, width: 1 | 2 | 4, value: number): void {
    if (this.host.has(feature.version1) || offset + width > r.MAC_BYTES) return;
    for (let i = 0; i < width; i++) this.config[offset + i] = value >>> (8 * i);
  }

  private get headerBytes(): number {
    const isWhole = this.host.has(feature.version1) || this.host.has(f.mergeable);
    return isWhole ? r.netHeader.bytes : r.netHeader.legacyBytes;
  }

  notified(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    // Without MULTI_QUEUE the control queue follows the only pair. [VIRTIO 5.1.2]
    const pairs = this.host.has(f.multiQueue) ? this.maxPairs : 1;
    if (index === 2 * pairs) this.commands(queue);
    else if (index > 2 * pairs) return;
    else if (index % 2 === 0) this.link.resume();
    else this.transmit(queue, (index - 1) / 2);
  }

  private transmit(queue: Virtqueue, pair: number): void {
    const { headerBytes } = this;
    const head = new Uint8Array(headerBytes);
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const bytes = chain.readableBytes - headerBytes;
      if (bytes >= r.ETHERNET_BYTES && bytes <= r.MAX_FRAME_BYTES && chain.read(0, head)) {
        const frame = new Uint8Array(bytes);
        if (chain.read(headerBytes, frame)) this.send(frame, decodeHeader(head), pair);
      }
      queue.push(chain, 0);
    }
    queue.notify();
  }

  /** Frames that say what cannot be are dropped. */
  private send(frame: Uint8Array, header: PacketHeader, pair: number): void {
    const gso = header.gsoType & ~r.gsoType.ecn;
    const isPartial = needsChecksum(header) && this.host.has(f.checksum);
    if (gso !== r.gsoType.none) {
      const allowed = gsoFeatures[gso]?.[1];
      const isPossible = allowed !== undefined && this.host.has(allowed);
      if (!isPossible || !isPartial) return;
    }
    if (isPartial && !isConsistent(frame, header)) return;
    if (this.pairs > 1) this.steering[flowOf(frame)] = pair;
    if (!this.isUp) return;
    this.link.send(frame, {
      ...(isPartial ? header : plainPacket),
      flags: isPartial ? r.headerFlag.needsChecksum : 0,
    });
  }

  private hasNow(bit: number): boolean {
    const word = this.disabled[bit >>> 5]!;
    return this.host.has(bit) && ((word >>> (bit & 31)) & 1) === 0;
  }

  accepts(gso: number): boolean {
    const kind = gso & ~r.gsoType.ecn;
    if ((gso & r.gsoType.ecn) !== 0 && !this.hasNow(f.guestEcn)) return false;
    return (
      kind === r.gsoType.none || (gsoFeatures[kind]?.[0] ?? []).some((bit) => this.hasNow(bit))
    );
  }

  receive(frame: Uint8Array, header: PacketHeader = plainPacket): boolean {
    if (this.host === undefined || !this.isUp || frame.length < r.ETHERNET_BYTES) return true;
    const vlans = this.host.has(f.controlVlan);
    const filters = this.host.has(f.controlRx) || vlans;
    if (filters && !this.filter.admits(frame, this.config.subarray(0, r.MAC_BYTES), vlans))
      return true;
    const largest = header.gsoType === r.gsoType.none ? this.options.mtu : undefined;
    const limit = largest === undefined ? r.MAX_FRAME_BYTES : largest + ethernetBytes(frame);
    if (frame.length > limit || !this.accepts(header.gsoType)) return true;
    if (!isConsistent(frame, header)) return true;
    const queue = this.receiveQueue(frame);
    // Every receive queue is being reset, or no driver is there.
    if (queue === undefined) return true;
    const isDone = this.deliver(queue, frame, this.shown(frame, header));
    queue.notify();
    return isDone;
  }

  /** The header as this guest may see it; a checksum that it would not complete is completed. */
  private shown(frame: Uint8Array, header: PacketHeader): PacketHeader {
    if (this.hasNow(f.guestChecksum)) return { ...header, flags: header.flags & 3 };
    if (needsChecksum(header)) completeChecksum(frame, header);
    return plainPacket;
  }

  private receiveQueue(frame: Uint8Array): Virtqueue | undefined {
    const first = this.pairs > 1 ? this.steering[flowOf(frame)]! % this.pairs : 0;
    for (let i = 0; i < this.pairs; i++) {
      const queue = this.host.queue(2 * ((first + i) % this.pairs));
      if (queue !== undefined) return queue;
    }
    return undefined;
  }

  private deliver(queue: Virtqueue, frame: Uint8Array, header: PacketHeader): boolean {
    const { headerBytes } = this;
    const bytes = headerBytes + frame.length;
    const chains: Chain[] = [];
    let room = 0;
    while (room < bytes) {
      const chain = queue.pop();
      if (chain === undefined) break;
      chains.push(chain);
      room += chain.writableBytes;
      if (!this.host.has(f.mergeable)) break;
    }
    const first = chains[0];
    if (room < bytes || first === undefined || first.writableBytes < headerBytes) {
      const waits = this.host.has(f.mergeable) || first === undefined;
      for (const chain of chains.reverse()) queue.unpop(chain);
      // A buffer that is too small will not grow: the frame is lost, and the buffer stays.
      return !waits || (first !== undefined && first.writableBytes < headerBytes);
    }
    first.write(0, encodeHeader(header, chains.length, headerBytes));
    let at = 0;
    let skip = headerBytes;
    const written = chains.map((chain) => {
      const piece = frame.subarray(at, at + chain.writableBytes - skip);
      chain.write(skip, piece);
      const bytes = skip + piece.length;
      at += piece.length;
      skip = 0;
      return bytes;
    });
    queue.pushAll(chains, written);
    return true;
  }

  private commands(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (chain.writableBytes === 0) {
        queue.fail('a command without room for its status');
        return;
      }
      const command = new Uint8Array(Math.min(chain.readableBytes, r.MAX_COMMAND_BYTES));
      const isDone = command.length >= 2 && chain.read(0, command) && this.command(command);
      chain.write(0, Uint8Array.of(isDone ? r.controlStatus.ok : r.controlStatus.error));
      queue.push(chain, 1);
    }
    queue.notify();
  }

  /** False: refused. */
  private command([kind, command, ...rest]: Uint8Array): boolean {
    const data = Uint8Array.from(rest);
    const has = (bit: number) => this.host.has(bit);
    switch (kind) {
      case r.control.rx:
        return has(f.controlRx) && this.filter.setMode(command!, data);
      case r.control.mac:
        if (command === r.macCommand.tableSet) {
          return has(f.controlRx) && this.filter.setMacs(data);
        }
        if (command !== r.macCommand.addressSet || data.length !== r.MAC_BYTES) return false;
        if (!has(f.controlMac)) return false;
        this.config.set(data, r.netConfig.mac);
        return true;
      case r.control.vlan:
        return command! < 2 && has(f.controlVlan) && this.filter.setVlan(data, command === 0);
      case r.control.announce:
        if (command !== 0 || !has(f.guestAnnounce)) return false;
        this.config[r.netConfig.status]! &= ~r.netStatus.announce;
        return true;
      case r.control.multiQueue:
        return command === 0 && has(f.multiQueue) && this.setPairs(data);
      case r.control.guestOffloads:
        return command === 0 && has(f.controlGuestOffloads) && this.setOffloads(data);
    }
    return false;
  }

  private setPairs(data: Uint8Array): boolean {
    const pairs = (data[0] ?? 0) | ((data[1] ?? 0) << 8);
    if (data.length !== 2 || pairs === 0 || pairs > this.maxPairs) return false;
    this.pairs = pairs;
    return true;
  }

  private setOffloads(data: Uint8Array): boolean {
    if (data.length !== 8) return false;
    const view = new DataView(data.buffer);
    const words = [view.getUint32(0, true), view.getUint32(4, true)];
    const disabled = [0, 0];
    for (let bit = 0; bit < 64; bit++) {
      const isSet = ((words[bit >>> 5]! >>> (bit & 31)) & 1) !== 0;
      const isKnown = guestOffloads.includes(bit as (typeof guestOffloads)[number]);
      if (isSet && !(isKnown && this.host.has(bit))) return false;
      if (!isSet && isKnown) disabled[bit >>> 5]! |= 1 << (bit & 31);
    }
    this.disabled = disabled.map((word) => word >>> 0);
    return true;
  }

  reset(): void {
    this.config.set(this.options.mac, r.netConfig.mac);
    this.view.setUint16(r.netConfig.status, this.isUp ? r.netStatus.linkUp : 0, true);
    this.filter.reset();
    this.pairs = 1;
    this.disabled = [0, 0];
  }

  save(): NetState {
    return {
      mac: this.config.slice(r.netConfig.mac, r.MAC_BYTES),
      status: this.view.getUint16(r.netConfig.status, true),
      pairs: this.pairs,
      disabled: [...this.disabled],
      filter: this.filter.save(),
    };
  }

  restore({ mac, status, pairs, disabled, filter }: NetState): void {
    this.config.set(mac, r.netConfig.mac);
    this.view.setUint16(r.netConfig.status, status, true);
    this.isUp = (status & r.netStatus.linkUp) !== 0;
    this.pairs = pairs;
    this.disabled = [...disabled];
    this.filter.restore(filter);
  }
}
