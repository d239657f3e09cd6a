import { keyOf, putLast } from './address.js';
import type { Packet } from './ip.js';

interface Gathered {
  readonly sinceMs: number;
  readonly pieces: Packet[];
  bytes: number;
  /** Known when the last piece came. */
  end: number | undefined;
}

const MAX_GATHERED = 32;
const MAX_PIECES = 128;
const MAX_BYTES = 65_535;
const PATIENCE_MS = 30_000;

/** Packets that come in pieces. Who sends pieces that overlap loses the packet. [RFC 815, RFC 5722] */
export class Fragments {
  /** The oldest is first. */
  private readonly gathered = new Map<string, Gathered>();

  /** The whole packet when its last piece comes. */
  add(packet: Packet, nowMs: number): Packet | undefined {
    const { id, offset, isLast } = packet.fragment!;
    const key = `${keyOf(packet.source, packet.destination)}${packet.protocol} ${id}`;
    const old = this.gathered.get(key);
    if (old !== undefined && nowMs - old.sinceMs > PATIENCE_MS) this.gathered.delete(key);
    const entry = this.gathered.get(key) ?? {
      sinceMs: nowMs,
      pieces: [],
      bytes: 0,
      end: undefined,
    };
    const bytes = packet.payload.length;
    const end = offset + bytes;
    const isGood =
      bytes > 0 &&
      (isLast ? entry.end === undefined || entry.end === end : bytes % 8 === 0) &&
      end <= (isLast ? MAX_BYTES : (entry.end ?? MAX_BYTES)) &&
      entry.pieces.length < MAX_PIECES &&
      entry.pieces.every(({ fragment, payload }) => {
        const from = fragment!.offset;
        return end <= from || from + payload.length <= offset;
      });
    this.gathered.delete(key);
    if (!isGood) return undefined;
    if (isLast) entry.end = end;
    entry.pieces.push(packet);
    entry.bytes += bytes;
    if (entry.bytes === entry.end) return join(entry);
    putLast(this.gathered, key, entry, MAX_GATHERED);
    return undefined;
  }
}

/** Pieces that do not overlap and have all bytes together leave no hole. */
function join({ pieces, end }: Gathered): Packet | undefined {
  const payload = new Uint8Array(end!);
  for (const piece of pieces) {
    const at = piece.fragment!.offset;
    if (at + piece.payload.length > payload.length) return undefined;
    payload.set(piece.payload, at);
  }
  const { fragment: _, ...first } = pieces.find(({ fragment }) => fragment!.offset === 0)!;
  return { ...first, payload };
}
