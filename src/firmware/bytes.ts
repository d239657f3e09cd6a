/** Building and reading the little-endian structures that firmware and loaders exchange. */

/** A {@link DataView} over exactly the bytes of `data`. */
export function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** One byte per character; the tables here hold ASCII only. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0) & 0x7f);
}

/** UTF-8 without `TextEncoder`, which a pure layer does not have; unpaired surrogates become U+FFFD. */
export function utf8(text: string): Uint8Array {
  const out: number[] = [];
  for (const char of text) {
    let code = char.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) out.push(code);
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 0x3f));
    else if (code < 0x10000) {
      out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    } else {
      out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f));
      out.push(0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    }
  }
  return Uint8Array.from(out);
}

/** UTF-8 and a terminating NUL. */
export function cString(text: string): Uint8Array {
  return concat(utf8(text), new Uint8Array(1));
}

/** Writes a 64-bit field from a number below 2^53. */
export function setU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}

/** Reads a 64-bit field; values from 2^53 on lose low bits, which range checks still reject. */
export function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
}

export const alignUp = (value: number, step: number): number => Math.ceil(value / step) * step;
export const alignDown = (value: number, step: number): number => Math.floor(value / step) * step;

/** The byte that makes the sum of `data` zero, `data` holding 0 in its place. */
export function checksum(data: Uint8Array): number {
  let sum = 0;
  for (const byte of data) sum += byte;
  return -sum & 0xff;
}
