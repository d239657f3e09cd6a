/** The sum of 16-bit words in network order, to be folded. [RFC 1071] */
export function sumWords(bytes: Uint8Array, sum = 0, from = 0): number {
  const even = bytes.length - ((bytes.length - from) & 1);
  let total = sum;
  for (let at = from; at < even; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  return even < bytes.length ? total + (bytes[even]! << 8) : total;
}

/** 16 bits, not complemented. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x1_0000);
  return folded;
}

/** What the checksum of a transport covers besides its own bytes. [RFC 9293 3.1, RFC 8200 8.1] */
export function pseudoSum(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  bytes: number,
): number {
  return sumWords(destination, sumWords(source, protocol + bytes));
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

export const get16 = (bytes: Uint8Array, at: number) => (bytes[at]! << 8) | bytes[at + 1]!;

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value & 0xffff);
}

export const get32 = (bytes: Uint8Array, at: number) =>
  ((get16(bytes, at) << 16) | get16(bytes, at + 2)) >>> 0;
