/**
 * ACPI Machine Language: each function encodes one term. Section numbers are those of ACPI 6.4,
 * chapter 20.2; the names are ASL's.
 */
import { assert } from '../../base/assert.js';
import { ascii, concat, setU64 } from '../bytes.js';

/** An encoded term, or a number that stands for an integer constant. */
export type Term = Uint8Array | number;

const op = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

function terms(list: readonly Term[]): Uint8Array {
  return concat(...list.map((term) => (typeof term === 'number' ? integer(term) : term)));
}

/** PkgLength, counting itself; 1 to 4 bytes. [20.2.4] */
export function pkgLength(contentLength: number): Uint8Array {
  if (contentLength + 1 < 0x40) return op(contentLength + 1);
  for (let more = 1; more <= 3; more++) {
    const total = contentLength + 1 + more;
    if (total >= 2 ** (4 + 8 * more)) continue;
    const bytes = [(more << 6) | (total & 0xf)];
    for (let i = 0; i < more; i++) bytes.push((total >>> (4 + 8 * i)) & 0xff);
    return op(...bytes);
  }
  throw new RangeError(`an AML package of ${contentLength} bytes`);
}

function withLength(opcode: Uint8Array, ...content: readonly Term[]): Uint8Array {
  const body = terms(content);
  return concat(opcode, pkgLength(body.length), body);
}

/** NameString: `\_SB.PCI0`, `^LNKA`, `_CRS`; short segments are padded with `_`. [20.2.2] */
export function nameString(path: string): Uint8Array {
  const prefix = /^[\\^]*/.exec(path)?.[0] ?? '';
  const segments = path.slice(prefix.length).split('.');
  const bytes = concat(
    ...segments.map((segment) => {
      assert(/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment), `not an ACPI name: ${path}`);
      return ascii(segment.padEnd(4, '_'));
    }),
  );
  if (segments.length === 1) return concat(ascii(prefix), bytes);
  if (segments.length === 2) return concat(ascii(prefix), op(0x2e), bytes);
  return concat(ascii(prefix), op(0x2f, segments.length), bytes);
}

/** ComputationalData in its shortest form. [20.2.3] */
export function integer(value: number): Uint8Array {
  assert(Number.isSafeInteger(value) && value >= 0, `not an AML integer: ${value}`);
  if (value < 2) return op(value);
  if (value <= 0xff) return op(0x0a, value);
  const bytes = new Uint8Array(8);
  setU64(new DataView(bytes.buffer), 0, value);
  if (value <= 0xffff) return concat(op(0x0b), bytes.subarray(0, 2));
  if (value <= 0xffff_ffff) return concat(op(0x0c), bytes.subarray(0, 4));
  return concat(op(0x0e), bytes);
}

export const string = (text: string): Uint8Array => concat(op(0x0d), ascii(text), op(0));
export const buffer = (data: Uint8Array): Uint8Array => withLength(op(0x11), data.length, data);

/** EISAID("PNP0A03") as the compressed 32-bit id. [ACPI 6.1.5] */
export function eisaId(id: string): Uint8Array {
  assert(/^[A-Z]{3}[0-9A-F]{4}$/.test(id), `not an EISA id: ${id}`);
  const [a, b, c] = [0, 1, 2].map((i) => id.charCodeAt(i) - 0x40);
  const product = Number.parseInt(id.slice(3), 16);
  return op(0x0c, (a << 2) | (b >> 3), ((b & 7) << 5) | c, product >> 8, product & 0xff);
}

/** Package(){...}; at most 255 elements. [20.2.5.4] */
export function aPackage(...elements: readonly Term[]): Uint8Array {
  assert(elements.length < 256, 'a package has at most 255 elements');
  return withLength(op(0x12), op(elements.length), ...elements);
}

// Namespace modifiers and named objects [20.2.5.1, 20.2.5.2]

export const scope = (path: string, ...body: readonly Term[]): Uint8Array =>
  withLength(op(0x10), nameString(path), ...body);
export const device = (name: string, ...body: readonly Term[]): Uint8Array =>
  withLength(op(0x5b, 0x82), nameString(name), ...body);
export const name = (path: string, value: Term): Uint8Array =>
  terms([op(0x08), nameString(path), value]);

/** A method; serialized when it creates named objects, so that two callers cannot collide. */
export function method(
  path: string,
  args: number,
  body: readonly Term[],
  serialized = false,
): Uint8Array {
  return withLength(op(0x14), nameString(path), op(args | (serialized ? 8 : 0)), ...body);
}

/** OperationRegion in PCI configuration space of the enclosing device. [20.2.5.2, 5.5.2.4] */
export const pciConfigRegion = (path: string, offset: number, length: number): Uint8Array =>
  terms([op(0x5b, 0x80), nameString(path), op(2), offset, length]);

/** Field(region, ByteAcc, NoLock, Preserve) of fields one byte wide, one after the other. */
export const byteFields = (region: string, fields: readonly string[]): Uint8Array =>
  withLength(
    op(0x5b, 0x81),
    nameString(region),
    op(1),
    ...fields.map((field) => concat(nameString(field), pkgLength(8 - 1))),
  );

export const createDWordField = (source: Term, byteIndex: number, path: string): Uint8Array =>
  terms([op(0x8a), source, byteIndex, nameString(path)]);

// Statements and expressions [20.2.5.3, 20.2.5.4]

export const arg0 = op(0x68);
const NO_TARGET = op(0);
export const store = (value: Term, target: Uint8Array): Uint8Array =>
  terms([op(0x70), value, target]);
export const or = (a: Term, b: Term, target: Uint8Array = NO_TARGET): Uint8Array =>
  terms([op(0x7d), a, b, target]);
export const and = (a: Term, b: Term, target: Uint8Array = NO_TARGET): Uint8Array =>
  terms([op(0x7b), a, b, target]);
export const lessThan = (a: Term, b: Term): Uint8Array => terms([op(0x95), a, b]);
export const ifThen = (condition: Term, ...body: readonly Term[]): Uint8Array =>
  withLength(op(0xa0), condition, ...body);
export const otherwise = (...body: readonly Term[]): Uint8Array => withLength(op(0xa1), ...body);
export const giveBack = (value: Term): Uint8Array => terms([op(0xa4), value]);
export const call = (path: string, ...args: readonly Term[]): Uint8Array =>
  terms([nameString(path), ...args]);
