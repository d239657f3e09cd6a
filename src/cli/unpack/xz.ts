/**
 * The XZ container, as far as Linux kernels use it: blocks of LZMA2, perhaps behind the x86 filter. Checks
 * are not verified: who packed the kernel is who made it. [The .xz File Format 1.1.0]
 */
import { unpackLzma2 } from './lzma2.js';
import { undoX86Filter } from './x86-filter.js';

const STREAM_HEADER_BYTES = 12;
const CHECK_BYTES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const FILTER_X86 = 4;
const FILTER_LZMA2 = 0x21;

/** Throws RangeError for bytes that are no such stream; `limit` is the most that comes out. */
export function unpackXz(packed: Uint8Array, limit: number): Uint8Array {
  const check = CHECK_BYTES[packed[7]! & 15]!;
  const out = new Uint8Array(limit);
  let at = STREAM_HEADER_BYTES;
  let to = 0;
  // A size of 0 is the index, after the last block.
  while (packed[at]) {
    const header = blockHeader(packed, at);
    const done = unpackLzma2(packed, header.end, out, to);
    if (header.isX86) undoX86Filter(out.subarray(to, done.to));
    to = done.to;
    at = header.end + align4(done.at - header.end) + check;
  }
  return out.subarray(0, to);
}

function blockHeader(packed: Uint8Array, at: number): { end: number; isX86: boolean } {
  const end = at + (packed[at]! + 1) * 4;
  const flags = packed[at + 1]!;
  let from = at + 2;
  const number = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      if (from >= end) throw new RangeError('an XZ block header that ends too early');
      const byte = packed[from++]!;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  if (flags & 0x40) number();
  if (flags & 0x80) number();
  let isX86 = false;
  for (let n = 0; n <= (flags & 3); n++) {
    const id = number();
    const propertyBytes = number();
    from += propertyBytes;
    if (id === FILTER_X86) isX86 = true;
    else if (id !== FILTER_LZMA2) throw new RangeError(`XZ filter ${id} is not known`);
  }
  return { end, isX86 };
}

function align4(length: number): number {
  return (length + 3) & ~3;
}
