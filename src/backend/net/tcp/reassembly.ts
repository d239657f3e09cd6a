import { Ranges } from './ranges.js';

/** What came before its time. It is kept in a ring as large as the window, by its position. */
export class Reassembly {
  readonly pieces = new Ranges();
  private ring: Uint8Array | undefined;

  /** What does not fit in `windowBytes` behind `next` is not kept. */
  add(position: number, bytes: Uint8Array, next: number, windowBytes: number): void {
    this.ring ??= new Uint8Array(windowBytes);
    const { ring } = this;
    if (position + bytes.length - next > ring.length) return;
    if (!this.pieces.add(position, position + bytes.length)) return;
    const at = position % ring.length;
    const first = bytes.subarray(0, ring.length - at);
    ring.set(first, at);
    ring.set(bytes.subarray(first.length), 0);
  }

  /** What follows `next`, if it is here; it is the caller's. */
  take(next: number): Uint8Array | undefined {
    const { ring, pieces } = this;
    if (ring === undefined) return undefined;
    const isHere = pieces.count > 0 && pieces.start(0) <= next && next < pieces.end(0);
    const taken = isHere ? new Uint8Array(pieces.end(0) - next) : undefined;
    if (taken !== undefined) {
      const at = next % ring.length;
      const first = ring.subarray(at, at + taken.length);
      taken.set(first);
      taken.set(ring.subarray(0, taken.length - first.length), first.length);
    }
    pieces.dropBefore(next + (taken?.length ?? 0));
    if (pieces.count === 0) this.ring = undefined;
    return taken;
  }
}
