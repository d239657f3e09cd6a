import type { NetGuest } from '../../virtio/net/net.js';
import {
  completeChecksum,
  needsChecksum,
  type PacketHeader,
  plainPacket,
} from '../../virtio/net/packets.js';
import type { NetBackend } from './guest-port.js';

/** Where the capture goes, such as a file. */
export interface CaptureSink {
  /** The array is the caller's again when this returns. */
  write(bytes: Uint8Array): void;
  close(): void;
}

const MAX_FRAME_BYTES = 262_144;
const ETHERNET = 1;

/** Of the file, with times in nanoseconds. [draft-ietf-opsawg-pcap 4] */
const fileHeader = [0xa1b2_3c4d, 0x0004_0002, 0, 0, MAX_FRAME_BYTES, ETHERNET];

function words(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    view.setUint32(4 * i, value, true);
  });
  return bytes;
}

/** A network whose frames are written down both ways, as the guest sends and takes them. */
export class CapturedNet implements NetBackend, NetGuest {
  readonly offloads: boolean;
  private guest: NetGuest | undefined;

  constructor(
    private readonly net: NetBackend,
    private readonly sink: CaptureSink,
    private readonly wallMs: () => number,
  ) {
    this.offloads = net.offloads;
    sink.write(words(fileHeader));
  }

  connect(guest: NetGuest): void {
    this.guest = guest;
    this.net.connect(this);
  }

  resume(): void {
    this.net.resume();
  }

  send(frame: Uint8Array, header: PacketHeader): void {
    this.record(frame, header);
    this.net.send(frame, header);
  }

  receive(frame: Uint8Array, header: PacketHeader = plainPacket): boolean {
    const isTaken = this.guest?.receive(frame, header) ?? true;
    if (isTaken) this.record(frame, header);
    return isTaken;
  }

  accepts(gso: number): boolean {
    return this.guest?.accepts(gso) ?? false;
  }

  /** A checksum that is left to a card is completed, or readers would call it wrong. */
  private record(frame: Uint8Array, header: PacketHeader): void {
    const whole = needsChecksum(header) ? frame.slice() : frame;
    if (needsChecksum(header)) completeChecksum(whole, header);
    const nowMs = this.wallMs();
    const seconds = Math.floor(nowMs / 1000);
    const nanoseconds = Math.floor((nowMs - seconds * 1000) * 1e6);
    this.sink.write(words([seconds, nanoseconds, frame.length, frame.length]));
    this.sink.write(whole);
  }

  close(): void {
    this.net.close();
    this.sink.close();
  }
}
