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
  const end = packed.length;
  let at = 0;
  let to = start;
  while (at < end) {
    const token = packed[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let byte = 255;
      while (byte === 255 && at < end) literals += byte = packed[at++]!;
    }
    if (at + literals > end || to + literals > out.length) bad();
    // Most are a few bytes: views of them would cost more than the copying.
    if (literals > 64) out.set(packed.subarray(at, at + literals), to);
    else for (let i = 0; i < literals; i++) out[to + i] = packed[at + i]!;
    at += literals;
    to += literals;
    if (at >= end) break;
    if (at + 2 > end) bad();
    const distance = packed[at]! | (packed[at + 1]! << 8);
    at += 2;
    let length = (token & 15) + 4;
    if (length === 19) {
      let byte = 255;
      while (byte === 255 && at < end) length += byte = packed[at++]!;
    }
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
