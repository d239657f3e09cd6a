import { keyOf, putLast } from './address.js';

/** A port of a switch: takes messages of {@link encodeMessage}. */
export interface SwitchPort {
  deliver(message: Uint8Array): void;
}

/** Virtio's header is in each message, so that large frames stay large. [VIRTIO 5.1.6] */
export const MESSAGE_HEADER_BYTES = 12;
const ETHERNET_BYTES = 14;
const MAX_MESSAGE_BYTES = MESSAGE_HEADER_BYTES + 65_589;
const MAX_ADDRESSES = 1024;

/** Frames go to the port that their destination was last seen at, or to all others. [IEEE 802.1D 7] */
export class Switch {
  private readonly ports = new Set<SwitchPort>();
  /** By address; who was seen first is first. */
  private readonly places = new Map<string, SwitchPort>();

  join(port: SwitchPort): void {
    this.ports.add(port);
  }

  leave(port: SwitchPort): void {
    this.ports.delete(port);
    for (const [address, place] of this.places) if (place === port) this.places.delete(address);
  }

  forward(from: SwitchPort, message: Uint8Array): void {
    if (message.length < MESSAGE_HEADER_BYTES + ETHERNET_BYTES) return;
    const frame = message.subarray(MESSAGE_HEADER_BYTES);
    const source = keyOf(frame.subarray(6, 12));
    if ((frame[6]! & 1) === 0 && this.places.get(source) !== from) {
      putLast(this.places, source, from, MAX_ADDRESSES);
    }
    const isGroup = (frame[0]! & 1) !== 0;
    const to = isGroup ? undefined : this.places.get(keyOf(frame.subarray(0, 6)));
    for (const port of to === undefined ? this.ports : [to]) {
      if (port !== from) port.deliver(message);
    }
  }
}

/** Messages on a stream of bytes: each after its length, 32 bits little-endian. */
export class MessageReader {
  private readonly length = new Uint8Array(4);
  private lengthBytes = 0;
  private message: Uint8Array | undefined;
  private messageBytes = 0;

  /** False: what came is no message, and nothing after it can be read. */
  push(bytes: Uint8Array, take: (message: Uint8Array) => void): boolean {
    for (let at = 0; at < bytes.length; ) {
      if (this.message === undefined) {
        this.length[this.lengthBytes++] = bytes[at++]!;
        if (this.lengthBytes < 4) continue;
        const length = new DataView(this.length.buffer).getUint32(0, true);
        if (length === 0 || length > MAX_MESSAGE_BYTES) return false;
        this.message = new Uint8Array(length);
        this.lengthBytes = 0;
        this.messageBytes = 0;
        continue;
      }
      const piece = bytes.subarray(at, at + this.message.length - this.messageBytes);
      this.message.set(piece, this.messageBytes);
      this.messageBytes += piece.length;
      at += piece.length;
      if (this.messageBytes < this.message.length) continue;
      const { message } = this;
      this.message = undefined;
      take(message);
    }
    return true;
  }
}

/** The length that goes before a message. */
export function lengthOf(message: Uint8Array): Uint8Array {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, message.length, true);
  return length;
}
