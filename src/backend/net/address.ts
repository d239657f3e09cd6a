/** An Internet address as text; undefined where it is none. 4 or 16 bytes, in network order. */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseV6(text) : parseV4(text);
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  const isGood = parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && +part < 256);
  return isGood ? Uint8Array.from(parts, Number) : undefined;
}

/** Without a zone and without IPv4's dots in it. [RFC 4291 2.2] */
function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const count = groups.flat().length;
  const isWhole = halves.length === 1 ? count === 8 : halves.length === 2 && count < 8;
  if (!isWhole || !groups.flat().every((group) => /^[\da-f]{1,4}$/i.test(group))) return undefined;
  const [head = [], tail = []] = groups;
  const result = new Uint8Array(16);
  const put = (group: string, index: number) => {
    const value = Number.parseInt(group, 16);
    result.set([value >> 8, value & 0xff], 2 * index);
  };
  head.forEach(put);
  tail.forEach((group, i) => {
    put(group, 8 - tail.length + i);
  });
  return result;
}

/** As the host's calls want it; IPv6 without `::`. */
export function formatAddress(address: Uint8Array): string {
  if (address.length === 4) return address.join('.');
  const groups = [];
  for (let i = 0; i < 16; i += 2) groups.push(((address[i]! << 8) | address[i + 1]!).toString(16));
  return groups.join(':');
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The first `bits` are the same. */
export function isWithin(address: Uint8Array, network: Uint8Array, bits: number): boolean {
  if (address.length !== network.length) return false;
  for (let i = 0; i < address.length; i++) {
    const mask = 0xff00 >> Math.min(8, Math.max(0, bits - 8 * i));
    if (((address[i]! ^ network[i]!) & mask) !== 0) return false;
  }
  return true;
}

/** Bytes as a key of a Map. */
export function keyOf(...parts: readonly Uint8Array[]): string {
  let key = '';
  for (const part of parts) key += String.fromCharCode(...part);
  return key;
}

/** Puts an entry last in a table that has room for `max`; answers the first one, which had to go. */
export function putLast<T>(table: Map<string, T>, key: string, value: T, max: number) {
  table.delete(key);
  const [first] = table.size < max ? [] : table;
  if (first !== undefined) table.delete(first[0]);
  table.set(key, value);
  return first?.[1];
}

export const v4 = (a: number, b: number, c: number, d: number) => Uint8Array.of(a, b, c, d);

/** Addresses that stand for one host somewhere else: not loopback, group, broadcast or none. */
export function isRoutable(address: Uint8Array): boolean {
  const [first] = address;
  if (address.length === 4) return first !== 0 && first !== 127 && first! < 224;
  // Global and unique local addresses, and site-local ones, which are old but in use; none with
  // an IPv4 address in it. [RFC 4291 2.4]
  const isOpen = first! >= 0x20 && first! < 0x40;
  return isOpen || first === 0xfc || first === 0xfd || (first === 0xfe && address[1]! >= 0xc0);
}

export const isGroup = (address: Uint8Array) => address[0]! >= (address.length === 4 ? 224 : 0xff);
