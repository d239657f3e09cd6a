/**
 * The LZ4 legacy frame, as `lz4 -l` writes it and Linux kernels have it: a magic number, then blocks, each after its packed
 * size, of up to 8 MiB unpacked. [lz4 doc/lz4_Frame_format.md, "Legacy frame"; lz4_Block_format.md]
 */

const BLOCK_BYTES = 8 << 20;

/** Throws RangeError for bytes that are no such frame; `limit` is the most that comes out. */
export function unpackLz4(packed: Uint8Array, limit: number): Uint8Array {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const out = new Uint8Array(limit);
  let at = 4;
  let to = 0;
  while (at + 4 <= packed.length) {
    const size = view.getUint32(at, true);
    at += 4;
    // Cut off, or something else follows.
    if (at + size > packed.length) break;
    to = unpackBlock(packed.subarray(at, at + size), out.subarray(0, to + BLOCK_BYTES), to);
    at += size;
  }
  return out.subarray(0, to);
}

function unpackBlock(packed: Uint8Array, out: Uint8Array, start: number): number {
  let at = 0;
  let to = start;
  const more = (short: number): number => {
    let length = short;
    if (short === 15) {
      let byte: number;
      do {
        byte = packed[at++] ?? bad();
        length += byte;
      } while (byte === 255);
    }
    return length;
  };
  while (at < packed.length) {
    const token = packed[at++]!;
    const literals = more(token >> 4);
    if (at + literals > packed.length || to + literals > out.length) bad();
    // Most are a few bytes: views of them would cost more than the copying.
    if (literals > 64) out.set(packed.subarray(at, at + literals), to);
    else for (let i = 0; i < literals; i++) out[to + i] = packed[at + i]!;
    at += literals;
    to += literals;
    if (at >= packed.length) break;
    const distance = packed[at]! | ((packed[at + 1] ?? bad()) << 8);
    at += 2;
    const length = more(token & 15) + 4;
    if (distance === 0 || distance > to - start || to + length > out.length) bad();
    if (distance >= length && length > 64)
      out.copyWithin(to, to - distance, to - distance + length);
    else for (let i = 0; i < length; i++) out[to + i] = out[to + i - distance]!;
    to += length;
  }
  return to;
}

function bad(): never {
  throw new RangeError('not an LZ4 legacy frame');
}
