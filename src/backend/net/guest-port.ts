import type { NetGuest, NetLink } from '../../virtio/net/net.js';
import { type PacketHeader, plainPacket } from '../../virtio/net/packets.js';
import { gsoType } from '../../virtio/net/registers.js';
import { segments } from './segments.js';

/** A network as a machine's card sees it, and as who opened it closes it. */
export interface NetBackend extends NetLink {
  close(): void;
}

const MAX_WAITING = 512;

/** The guest's card, with a queue for frames that it has no room for now. */
export class GuestPort {
  private guest: NetGuest | undefined;
  private waiting: { frame: Uint8Array; header: PacketHeader }[] = [];

  connect(guest: NetGuest): void {
    this.guest = guest;
  }

  accepts(gso: number): boolean {
    return this.guest?.accepts(gso) ?? false;
  }

  get isFull(): boolean {
    return this.waiting.length > 0;
  }

  /** False: there is no room, and the frame is the caller's again. */
  offer(frame: Uint8Array, header: PacketHeader): boolean {
    return !this.isFull && (this.guest?.receive(frame, header) ?? true);
  }

  /**
   * The frame waits where there is no room, and is lost where too many wait, as on a wire. One that
   * stands for several is taken apart for a guest that wants them one by one.
   */
  post(frame: Uint8Array, header: PacketHeader = plainPacket): void {
    const { gsoType: kind } = header;
    if (kind !== gsoType.none && !this.accepts(kind)) {
      for (const piece of segments(frame, header)) this.post(piece);
    } else if (!this.offer(frame, header) && this.waiting.length < MAX_WAITING) {
      this.waiting.push({ frame, header });
    }
  }

  /** The guest has room again. False: not for all that waits. */
  resume(): boolean {
    const { waiting } = this;
    this.waiting = [];
    const stuck = waiting.findIndex(({ frame, header }) => !this.offer(frame, header));
    this.waiting = stuck < 0 ? [] : waiting.slice(stuck);
    return !this.isFull;
  }
}
