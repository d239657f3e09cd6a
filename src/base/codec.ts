/**
 * Saved state is foreign data until checked. A codec is one table per state shape: it encodes,
 * decodes and validates. Little-endian, no padding, no names in the bytes: the layout is the table,
 * and the owner's `stateVersion` says which table.
 */

/** A value in saved state is out of its range, or the bytes end too early. */
export class CodecError extends Error {
  override readonly name = 'CodecError';
  readonly code = 'bad-state';
  constructor(
    readonly field: string,
    readonly found: string,
    readonly wanted: string,
  ) {
    super(`${field || 'state'}: found ${found}, wanted ${wanted}`);
  }
}

/** Appends little-endian values to a growing buffer. */
export class ByteWriter {
  private buffer = new Uint8Array(256);
  private view = new DataView(this.buffer.buffer);
  length = 0;

  private reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.buffer.length) {
      const grown = new Uint8Array(Math.max(this.length, this.buffer.length * 2));
      grown.set(this.buffer);
      this.buffer = grown;
      this.view = new DataView(grown.buffer);
    }
    return at;
  }

  u8(value: number): void {
    const at = this.reserve(1);
    this.view.setUint8(at, value);
  }
  u16(value: number): void {
    const at = this.reserve(2);
    this.view.setUint16(at, value, true);
  }
  u32(value: number): void {
    const at = this.reserve(4);
    this.view.setUint32(at, value, true);
  }
  u64(value: bigint): void {
    const at = this.reserve(8);
    this.view.setBigUint64(at, value, true);
  }
  f64(value: number): void {
    const at = this.reserve(8);
    this.view.setFloat64(at, value, true);
  }
  bytes(value: Uint8Array): void {
    const at = this.reserve(value.length);
    this.buffer.set(value, at);
  }
  /** A copy of all that was written. */
  take(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}

/** Reads little-endian values; running past the end is a {@link CodecError}, not a RangeError. */
export class ByteReader {
  private readonly view: DataView;
  at = 0;
  /** The field being decoded, for error messages: `pit.channels[2].mode`. */
  path = '';

  constructor(private readonly data: Uint8Array) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  get remaining(): number {
    return this.data.length - this.at;
  }

  private need(count: number): number {
    if (this.remaining < count) {
      throw new CodecError(this.path, `${this.remaining} bytes`, `${count} more bytes`);
    }
    const at = this.at;
    this.at += count;
    return at;
  }

  u8(): number {
    return this.view.getUint8(this.need(1));
  }
  u16(): number {
    return this.view.getUint16(this.need(2), true);
  }
  u32(): number {
    return this.view.getUint32(this.need(4), true);
  }
  u64(): bigint {
    return this.view.getBigUint64(this.need(8), true);
  }
  f64(): number {
    return this.view.getFloat64(this.need(8), true);
  }
  bytes(count: number): Uint8Array {
    const at = this.need(count);
    return this.data.slice(at, at + count);
  }
  fail(found: unknown, wanted: string): never {
    throw new CodecError(this.path, String(found), wanted);
  }
}

export interface Codec<T> {
  encode(writer: ByteWriter, value: T): void;
  /** Throws {@link CodecError} naming the field that is wrong. */
  decode(reader: ByteReader): T;
}

type Bounds = { min?: number; max?: number };

function ranged(
  write: (w: ByteWriter, v: number) => void,
  read: (r: ByteReader) => number,
  { min, max }: Bounds,
): Codec<number> {
  return {
    encode: write,
    decode(reader) {
      const value = read(reader);
      if ((min !== undefined && value < min) || (max !== undefined && value > max)) {
        reader.fail(value, `${min ?? 0} to ${max ?? 'its type’s limit'}`);
      }
      return value;
    },
  };
}

export const u8 = (bounds: Bounds = {}): Codec<number> =>
  ranged(
    (w, v) => w.u8(v),
    (r) => r.u8(),
    bounds,
  );
export const u16 = (bounds: Bounds = {}): Codec<number> =>
  ranged(
    (w, v) => w.u16(v),
    (r) => r.u16(),
    bounds,
  );
export const u32 = (bounds: Bounds = {}): Codec<number> =>
  ranged(
    (w, v) => w.u32(v),
    (r) => r.u32(),
    bounds,
  );
/** A finite double: times in nanoseconds, counts beyond 32 bits. */
export const f64 = (bounds: Bounds = {}): Codec<number> =>
  ranged(
    (w, v) => w.f64(v),
    (r) => {
      const value = r.f64();
      return Number.isFinite(value) ? value : r.fail(value, 'a finite number');
    },
    bounds,
  );
export const u64: Codec<bigint> = { encode: (w, v) => w.u64(v), decode: (r) => r.u64() };

export const bool: Codec<boolean> = {
  encode: (w, v) => w.u8(v ? 1 : 0),
  decode(r) {
    const value = r.u8();
    return value > 1 ? r.fail(value, '0 or 1') : value === 1;
  },
};

/** One of a short list of words, saved as its index. */
export function oneOf<const T extends string>(...words: T[]): Codec<T> {
  return {
    encode: (w, v) => w.u8(words.indexOf(v)),
    decode(r) {
      const index = r.u8();
      return words[index] ?? r.fail(index, `0 to ${words.length - 1}`);
    },
  };
}

/** Exactly `count` bytes. */
export function bytes(count: number): Codec<Uint8Array> {
  return {
    encode(w, v) {
      if (v.length !== count) throw new CodecError('', `${v.length} bytes`, `${count} bytes`);
      w.bytes(v);
    },
    decode: (r) => r.bytes(count),
  };
}

/** A length, then that many items; more than `max` is an error. */
export function array<T>(item: Codec<T>, max: number): Codec<T[]> {
  return {
    encode(w, v) {
      if (v.length > max) throw new CodecError('', `${v.length} items`, `at most ${max}`);
      w.u32(v.length);
      for (const one of v) item.encode(w, one);
    },
    decode(r) {
      const count = r.u32();
      if (count > max) r.fail(`${count} items`, `at most ${max}`);
      const path = r.path;
      const result: T[] = [];
      for (let i = 0; i < count; i++) {
        r.path = `${path}[${i}]`;
        result.push(item.decode(r));
      }
      r.path = path;
      return result;
    },
  };
}

/** Exactly `count` items, no length in the bytes. */
export function fixedArray<T>(item: Codec<T>, count: number): Codec<T[]> {
  return {
    encode(w, v) {
      if (v.length !== count) throw new CodecError('', `${v.length} items`, `${count}`);
      for (const one of v) item.encode(w, one);
    },
    decode(r) {
      const path = r.path;
      const result: T[] = [];
      for (let i = 0; i < count; i++) {
        r.path = `${path}[${i}]`;
        result.push(item.decode(r));
      }
      r.path = path;
      return result;
    },
  };
}

/** Fields in the order of the table. */
export function struct<T extends object>(fields: { [K in keyof T]: Codec<T[K]> }): Codec<T> {
  const names = Object.keys(fields) as (keyof T & string)[];
  return {
    encode(w, v) {
      for (const name of names) fields[name].encode(w, v[name]);
    },
    decode(r) {
      const path = r.path;
      const result = {} as T;
      for (const name of names) {
        r.path = path === '' ? name : `${path}.${name}`;
        result[name] = fields[name].decode(r);
      }
      r.path = path;
      return result;
    },
  };
}

export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = new ByteWriter();
  codec.encode(writer, value);
  return writer.take();
}

/** Decodes all of `data`; bytes left over are an error. `path` names the owner in messages. */
export function decode<T>(codec: Codec<T>, data: Uint8Array, path = ''): T {
  const reader = new ByteReader(data);
  reader.path = path;
  const value = codec.decode(reader);
  if (reader.remaining > 0) reader.fail(`${reader.remaining} bytes left over`, 'none');
  return value;
}
