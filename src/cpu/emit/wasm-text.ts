/** WebAssembly as text, for people: of the modules that this folder's own emitter makes. [WASM 5, 6] */
import { typeCode } from './module.js';
import { opcodes, type Ty } from './opcodes.js';

const types: readonly Ty[] = ['i32', 'i64', 'f32', 'f64', 'v128'];
const typeNames = new Map(types.map((ty) => [typeCode(ty), ty]));
/** Instructions that the emitter writes itself: code, name, what follows (a type, numbers, a function). */
const plain = new Map(
  (
    '0 unreachable,2 block type,3 loop type,4 if type,5 else,11 end,12 br number,13 br_if number,15 return,' +
    '16 call name,17 call_indirect number number,18 return_call name,' +
    '19 return_call_indirect number number,26 drop,27 select,28 select number type,32 local.get number,' +
    '33 local.set number,34 local.tee number,35 global.get number,65 i32.const signed,66 i64.const signed'
  )
    .split(',')
    .map((line) => line.split(' '))
    .map(([code, name, ...follows]) => [Number(code), { name: name!, follows }]),
);
const V128_CONST = '253,12';
const PREFIXES = 0xfc;
const [IMPORTS, EXPORTS, CODE] = [2, 7, 10];

const nameOf = new Map([...opcodes].map(([name, { bytes }]) => [bytes.join(), name]));

/** Each function of a module: its name and a line for each instruction, indented. */
export function wasmText(module: Uint8Array): string {
  const reader = new Reader(module);
  const names: string[] = [];
  const lines: string[] = [];
  let imported = 0;
  for (reader.at = 8; reader.at < module.length; ) {
    const id = reader.byte();
    const end = reader.number() + reader.at;
    const isNeeded = id === IMPORTS || id === EXPORTS || id === CODE;
    for (let i = 0, count = isNeeded ? reader.number() : 0; i < count; i++) {
      if (id === CODE) {
        const next = reader.number() + reader.at;
        lines.push(...reader.body(names, names[imported + i] ?? `function ${imported + i}`, next));
        continue;
      }
      if (id === IMPORTS) reader.text();
      const name = reader.text();
      const kind = reader.byte();
      if (id === IMPORTS && kind === 0) names[imported++] = name;
      // A function has a type, a memory a flag and two limits, a global a type and whether it changes.
      let [index, follow] = [0, id === IMPORTS ? [1, 0, 3, 2][kind]! : 1];
      for (; follow > 0; follow--) index = reader.number();
      if (id === EXPORTS && kind === 0) names[index] = name;
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
      if (byte < 0x80) return signed ? BigInt.asIntN(Number(shift) + 7, value) : value;
    }
  }
  number(): number {
    return Number(this.leb(false));
  }
  private take(length: number): Uint8Array {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  text(): string {
    return String.fromCharCode(...this.take(this.number()));
  }

  body(names: readonly string[], name: string, end: number): string[] {
    const locals: string[] = [];
    for (let runs = this.number(); runs > 0; runs--) {
      locals.push(`${this.number()} ${typeNames.get(this.byte())}`);
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
    const known = plain.get(first);
    if (known !== undefined) {
      const follows = known.follows.map((kind) => this.following(kind, names));
      return [known.name, ...follows].join(' ').trim();
    }
    if (key === V128_CONST) return `v128.const ${this.take(16).join(' ')}`;
    const name = nameOf.get(key);
    if (name === undefined) throw new Error(`no wasm instruction has the bytes ${key}`);
    const { imm } = opcodes.get(name)!;
    // A memarg is alignment, which is nothing to people, and offset.
    if (imm === 'memarg') return `${name} ${[this.number(), this.number()][1]}`;
    const length = { none: 0, lane: 1, memlane: 3, bytes16: 16, zero1: 1, zero2: 2 }[imm];
    return `${name} ${this.take(length).join(' ')}`.trim();
  }

  private following(kind: string, names: readonly string[]): string {
    if (kind === 'number') return String(this.number());
    if (kind === 'signed') return String(this.leb(true));
    if (kind === 'type') return typeNames.get(this.byte()) ?? '';
    const index = this.number();
    return names[index] ?? `function ${index}`;
  }
}
