/** Assembles a WebAssembly module, byte by byte. [WASM 5] */
import type { Ty } from './opcodes.js';

const TYPE_CODE: Record<Ty, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

/** Appends bytes and LEB128 numbers to a growing buffer. */
export class Bytes {
  private buffer = new Uint8Array(1024);
  length = 0;

  byte(value: number): void {
    if (this.length === this.buffer.length) this.grow(1);
    this.buffer[this.length++] = value;
  }
  /** One to four bytes. */
  opcode(bytes: readonly number[]): void {
    for (let i = 0; i < bytes.length; i++) this.byte(bytes[i]!);
  }
  raw(values: ArrayLike<number>): void {
    this.grow(values.length);
    this.buffer.set(values, this.length);
    this.length += values.length;
  }
  /** Unsigned LEB128 of a number below 2^32. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }
  s32(value: number): void {
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.byte(rest & 0x7f);
  }
  s64(value: number | bigint): void {
    if (typeof value === 'number' && value === (value | 0)) {
      this.s32(value);
      return;
    }
    let rest = BigInt.asIntN(64, BigInt(value));
    while (rest < -64n || rest > 63n) {
      this.byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.byte(Number(rest & 0x7fn));
  }
  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }
  /** Length, then the content: how sections and function bodies stand in a module. */
  sized(content: Bytes): void {
    this.u32(content.length);
    this.raw(content.view());
  }
  view(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
  private grow(count: number): void {
    if (this.length + count <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + count));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }
}

/** Type of a function. */
export interface Signature {
  readonly params: readonly Ty[];
  readonly results: readonly Ty[];
}

/** Functions are called by the name they were imported or declared under. */
export class WasmModule {
  private readonly types: Signature[] = [];
  private readonly typeIndex = new Map<string, number>();
  private readonly imports: { module: string; name: string; type: number }[] = [];
  private readonly importIndex = new Map<string, number>();
  private readonly functions: { name: string; type: number; code: Bytes | null }[] = [];
  private readonly functionIndex = new Map<string, number>();
  private readonly exports: string[] = [];
  private tableNames: readonly string[] = [];
  private emptyTable: { name: string; size: number } | null = null;

  /** Every module imports env.memory (shared) and the immutable global env.cpu. */
  constructor(private readonly maximumPages = 65536) {}

  type(signature: Signature): number {
    const key = `${signature.params.join()}>${signature.results.join()}`;
    let index = this.typeIndex.get(key);
    if (index === undefined) {
      index = this.types.length;
      this.types.push(signature);
      this.typeIndex.set(key, index);
    }
    return index;
  }

  /** All imports come before the first {@link declare}. Importing a name again is a no-op. */
  importFunction(module: string, name: string, signature: Signature): void {
    if (this.importIndex.has(name)) return;
    if (this.functions.length > 0) throw new Error('imports come before functions');
    this.importIndex.set(name, this.imports.length);
    this.imports.push({ module, name, type: this.type(signature) });
  }

  /** Reserves an index, so that functions can call each other before they are written. */
  declare(name: string, signature: Signature): void {
    if (this.functionIndex.has(name)) throw new Error(`function ${name} declared twice`);
    this.functionIndex.set(name, this.functions.length);
    this.functions.push({ name, type: this.type(signature), code: null });
  }

  /** `code` is a function body: locals and instructions, without its length. */
  define(name: string, code: Bytes): void {
    this.functions[this.functionIndex.get(name) ?? -1]!.code = code;
  }

  index(name: string): number {
    const imported = this.importIndex.get(name);
    if (imported !== undefined) return imported;
    const own = this.functionIndex.get(name);
    if (own === undefined) throw new Error(`no function ${name}`);
    return this.imports.length + own;
  }

  export(name: string): void {
    this.exports.push(name);
  }

  /** Fills table 0 with these functions, in order. */
  table(names: readonly string[]): void {
    this.tableNames = names;
  }

  /** Table 1, exported for others to fill; only where there is a table 0. */
  exportTable(name: string, size: number): void {
    this.emptyTable = { name, size };
  }

  build(): Uint8Array {
    const out = new Bytes();
    out.raw([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, write: (s: Bytes) => void): void => {
      const content = new Bytes();
      write(content);
      out.byte(id);
      out.sized(content);
    };
    section(1, (s) => {
      s.u32(this.types.length);
      for (const { params, results } of this.types) {
        s.byte(0x60);
        s.u32(params.length);
        for (const ty of params) s.byte(TYPE_CODE[ty]);
        s.u32(results.length);
        for (const ty of results) s.byte(TYPE_CODE[ty]);
      }
    });
    section(2, (s) => {
      s.u32(this.imports.length + 2);
      for (const { module, name, type } of this.imports) {
        s.name(module);
        s.name(name);
        s.byte(0);
        s.u32(type);
      }
      s.name('env');
      s.name('memory');
      s.raw([2, 3]);
      s.u32(1);
      s.u32(this.maximumPages);
      s.name('env');
      s.name('cpu');
      s.raw([3, 0x7f, 0]);
    });
    section(3, (s) => {
      s.u32(this.functions.length);
      for (const fn of this.functions) s.u32(fn.type);
    });
    if (this.tableNames.length > 0) {
      section(4, (s) => {
        s.u32(this.emptyTable ? 2 : 1);
        s.raw([0x70, 1]);
        s.u32(this.tableNames.length);
        s.u32(this.tableNames.length);
        if (this.emptyTable) {
          s.raw([0x70, 0]);
          s.u32(this.emptyTable.size);
        }
      });
    }
    section(7, (s) => {
      s.u32(this.exports.length + (this.emptyTable ? 1 : 0));
      if (this.emptyTable) {
        s.name(this.emptyTable.name);
        s.raw([1, 1]);
      }
      for (const name of this.exports) {
        s.name(name);
        s.byte(0);
        s.u32(this.index(name));
      }
    });
    if (this.tableNames.length > 0) {
      section(9, (s) => {
        s.raw([1, 0, 0x41, 0, 0x0b]);
        s.u32(this.tableNames.length);
        for (const name of this.tableNames) s.u32(this.index(name));
      });
    }
    section(10, (s) => {
      s.u32(this.functions.length);
      for (const fn of this.functions) {
        if (!fn.code) throw new Error(`function ${fn.name} has no body`);
        s.sized(fn.code);
      }
    });
    return out.view().slice();
  }
}

/** The byte that stands for a value type in the binary format. */
export function typeCode(ty: Ty): number {
  return TYPE_CODE[ty];
}
