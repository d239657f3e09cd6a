/** WebAssembly as text, for people: of the modules that this folder's own emitter makes. [WASM 5, 6] */
import { opcodes } from './opcodes.js';

const typeNames: Readonly<Record<number, string>> = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
  123: 'v128',
};
/** Instructions that the emitter writes itself, and what follows each: a type, a number, a label, a name. */
const plain: Readonly<Record<number, readonly [name: string, follows: string]>> = {
  0: ['unreachable', ''],
  2: ['block', 'type'],
  3: ['loop', 'type'],
  4: ['if', 'type'],
  5: ['else', ''],
  11: ['end', ''],
  12: ['br', 'number'],
  13: ['br_if', 'number'],
  15: ['return', ''],
  16: ['call', 'name'],
  17: ['call_indirect', 'number number'],
  18: ['return_call', 'name'],
  19: ['return_call_indirect', 'number number'],
  26: ['drop', ''],
  27: ['select', ''],
  28: ['select', 'number type'],
  32: ['local.get', 'number'],
  33: ['local.set', 'number'],
  34: ['local.tee', 'number'],
  35: ['global.get', 'number'],
  65: ['i32.const', 'signed'],
  66: ['i64.const', 'signed'],
};
const V128_CONST = '253,12';
const PREFIXES = 0xfc;
const TYPES = 1;
const IMPORTS = 2;
const EXPORTS = 7;
const CODE = 10;

const nameOf = new Map([...opcodes].map(([name, { bytes }]) => [bytes.join(), name]));

/** Each function of a module: its name and a line for each instruction, indented. */
export function wasmText(module: Uint8Array): string {
  const reader = new Reader(module);
  reader.at = 8;
  const names: string[] = [];
  const lines: string[] = [];
  let imported = 0;
  while (reader.at < module.length) {
    const id = reader.byte();
    const end = reader.number() + reader.at;
    if (id === TYPES) reader.at = end;
    const count = reader.at < end ? reader.number() : 0;
    for (let i = 0; i < count && reader.at < end; i++) {
      if (id === IMPORTS) {
        reader.text();
        const name = reader.text();
        const kind = reader.byte();
        if (kind === 0) names[imported++] = name;
        reader.at += kind === 2 ? 1 : 0;
        for (let n = 0; n < 2 && kind > 1; n++) reader.number();
        if (kind === 0) reader.number();
      } else if (id === EXPORTS) {
        const name = reader.text();
        const kind = reader.byte();
        const index = reader.number();
        if (kind === 0) names[index] = name;
      } else if (id === CODE) {
        const next = reader.number() + reader.at;
        lines.push(...reader.body(names, names[imported + i] ?? `function ${imported + i}`, next));
      } else break;
    }
    reader.at = end;
  }
  return `${lines.join('\n')}\n`;
}

class Reader {
  at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  byte(): number {
    return this.bytes[this.at++]!;
  }
  private leb(signed: boolean): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      return signed ? BigInt.asIntN(Number(shift) + 7, value) : value;
    }
  }
  number(): number {
    return Number(this.leb(false));
  }
  text(): string {
    const length = this.number();
    this.at += length;
    return String.fromCharCode(...this.bytes.subarray(this.at - length, this.at));
  }

  body(names: readonly string[], name: string, end: number): string[] {
    const locals: string[] = [];
    for (let runs = this.number(); runs > 0; runs--) {
      const count = this.number();
      locals.push(`${count} ${typeNames[this.byte()]}`);
    }
    const lines = [`${name}: locals ${locals.join(', ') || 'none'}`];
    for (let depth = 1; this.at < end; ) {
      const text = this.instruction(names);
      if (/^(end|else)/.test(text)) depth--;
      lines.push('  '.repeat(depth) + text);
      if (/^(block|loop|if|else)/.test(text)) depth++;
    }
    return lines;
  }

  private instruction(names: readonly string[]): string {
    const start = this.at;
    const first = this.byte();
    if (first >= PREFIXES) this.number();
    const key = this.bytes.subarray(start, this.at).join();
    const known = plain[first];
    if (known !== undefined) {
      const follows = known[1].split(' ').map((kind) => this.following(kind, names));
      return [known[0], ...follows].join(' ').trim();
    }
    if (key === V128_CONST) return `v128.const ${this.take(16)}`;
    const name = nameOf.get(key);
    if (name === undefined) throw new Error(`no wasm instruction has the bytes ${key}`);
    const { imm } = opcodes.get(name)!;
    if (imm === 'memarg') {
      this.number();
      return `${name} ${this.number()}`;
    }
    const length = { none: 0, lane: 1, memlane: 3, bytes16: 16, zero1: 1, zero2: 2 }[imm];
    return `${name} ${this.take(length)}`.trim();
  }

  private following(kind: string, names: readonly string[]): string {
    if (kind === 'number') return String(this.number());
    if (kind === 'signed') return String(this.leb(true));
    if (kind === 'type') return typeNames[this.byte()] ?? '';
    if (kind !== 'name') return '';
    const index = this.number();
    return names[index] ?? `function ${index}`;
  }

  private take(length: number): string {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at).join(' ');
  }
}
