/** A small assembler for generated guests: registers by number, labels by name, 16-, 32- and 64-bit code. */

export type Width = 16 | 32 | 64;
export type Size = 8 | 16 | 32 | 64;

/** A memory operand; without a base it is absolute. Labels count as displacements. */
export interface Mem {
  readonly base?: number;
  readonly index?: number;
  readonly scale?: 0 | 1 | 2 | 3;
  readonly disp?: number | Place;
}

/** A label and bytes after it. */
export interface Place {
  readonly label: string;
  readonly plus?: number;
}

interface Fixup {
  readonly at: number;
  readonly bytes: 1 | 2 | 4;
  readonly place: Place;
  /** Relative to the end of the field. */
  readonly relative: boolean;
}

export const [AX, CX, DX, BX, SP, BP, SI, DI] = [0, 1, 2, 3, 4, 5, 6, 7] as const;

/** Opcode extensions of group 1, and the opcodes' bits 5..3. */
export const ALU = { add: 0, or: 1, adc: 2, sbb: 3, and: 4, sub: 5, xor: 6, cmp: 7 } as const;
export const SHIFT = { rol: 0, ror: 1, rcl: 2, rcr: 3, shl: 4, shr: 5, sar: 7 } as const;

/** Conditions by number. [SDM 1 B.1] */
export const CC = { b: 2, ae: 3, e: 4, ne: 5, s: 8, g: 15 } as const;

export class Assembler {
  readonly bytes: number[] = [];
  private readonly labels = new Map<string, number>();
  private readonly fixups: Fixup[] = [];
  private names = 0;

  constructor(
    readonly width: Width,
    /** Address of the first byte. */
    readonly origin: number,
  ) {}

  get here(): number {
    return this.origin + this.bytes.length;
  }

  fresh(): string {
    return `.${this.names++}`;
  }

  bind(label: string): string {
    this.labels.set(label, this.here);
    return label;
  }

  /** Binds a new label. */
  mark(): string {
    return this.bind(this.fresh());
  }

  addressOf({ label, plus = 0 }: Place): number {
    const at = this.labels.get(label);
    if (at === undefined) throw new Error(`label ${label} is nowhere`);
    return at + plus;
  }

  align(to: number): void {
    while (this.here % to) this.emit(0x90);
  }

  emit(...bytes: number[]): void {
    for (const byte of bytes) this.bytes.push(byte & 0xff);
  }

  /** `n` as `bytes` bytes, or a label's address. */
  value(n: number | Place, bytes: 1 | 2 | 4 | 8): void {
    if (typeof n !== 'number') {
      this.fixups.push({
        at: this.bytes.length,
        bytes: bytes === 8 ? 4 : bytes,
        place: n,
        relative: false,
      });
      for (let i = 0; i < bytes; i++) this.emit(0);
      return;
    }
    for (let i = 0; i < bytes; i++) this.emit(i < 4 ? n >> (8 * i) : n < 0 ? 0xff : 0);
  }

  /** The program's bytes with all labels filled in. */
  finish(): Uint8Array {
    const code = Uint8Array.from(this.bytes);
    for (const { at, bytes, place, relative } of this.fixups) {
      const target = this.addressOf(place);
      const n = relative ? target - (this.origin + at + bytes) : target;
      if (bytes === 1 && (n < -128 || n > 127)) throw new Error(`${place.label} is too far`);
      for (let i = 0; i < bytes; i++) code[at + i] = n >> (8 * i);
    }
    return code;
  }

  // --- instructions --------------------------------------------------------------------------------

  /**
   * Prefixes, REX, opcode and ModRM. `reg` is a register or an opcode extension, `rm` a register or
   * memory. 8-bit registers 4 to 7 are AH to BH.
   */
  op(opcode: readonly number[], reg: number, rm: number | Mem, size: Size = 32): void {
    const memory = typeof rm === 'object' ? rm : undefined;
    // 16-bit code reaches memory through 32-bit addresses, but for absolute ones.
    const based = memory !== undefined && (memory.base ?? memory.index) !== undefined;
    if (this.width === 16 && based) this.emit(0x67);
    let [first, ...rest] = opcode as [number, ...number[]];
    while ([0xf0, 0xf2, 0xf3, 0x66].includes(first)) {
      this.emit(first);
      [first, ...rest] = rest as [number, ...number[]];
    }
    if (size === 16 && this.width !== 16) this.emit(0x66);
    if (size === 32 && this.width === 16) this.emit(0x66);
    const low = memory ? (memory.base ?? 0) : (rm as number);
    const rex =
      (size === 64 ? 8 : 0) |
      (reg >= 8 ? 4 : 0) |
      ((memory?.index ?? 0) >= 8 ? 2 : 0) |
      (low >= 8 ? 1 : 0);
    if (rex && this.width === 64) this.emit(0x40 | rex);
    this.emit(first, ...rest);
    if (memory) this.memory(reg & 7, memory);
    else this.emit(0xc0 | ((reg & 7) << 3) | (low & 7));
  }

  private memory(reg: number, { base, index, scale = 0, disp = 0 }: Mem): void {
    if (base === undefined && index === undefined) {
      if (this.width === 16) {
        this.emit((reg << 3) | 6);
        this.value(disp, 2);
      } else if (this.width === 32) {
        this.emit((reg << 3) | 5);
        this.value(disp, 4);
      } else {
        this.emit((reg << 3) | 4, 0x25);
        this.value(disp, 4);
      }
      return;
    }
    const small = typeof disp === 'number' && disp >= -128 && disp < 128 && base !== undefined;
    const mod = base === undefined ? 0 : small ? 0x40 : 0x80;
    if (index === undefined && (base! & 7) !== SP) this.emit(mod | (reg << 3) | (base! & 7));
    else {
      const field = index === undefined ? 4 : index & 7;
      this.emit(mod | (reg << 3) | 4, (scale << 6) | (field << 3) | ((base ?? 5) & 7));
    }
    this.value(disp, small ? 1 : 4);
  }

  /** mov reg,imm of the native width (32 bits in 64-bit code). */
  movImm(reg: number, n: number | Place, size: Size = this.width === 16 ? 16 : 32): void {
    if (size === 16 && this.width !== 16) this.emit(0x66);
    if (size === 32 && this.width === 16) this.emit(0x66);
    if (reg >= 8) this.emit(0x41);
    this.emit((size === 8 ? 0xb0 : 0xb8) | (reg & 7));
    this.value(n, size === 8 ? 1 : size === 16 ? 2 : 4);
  }

  load(reg: number, from: Mem, size: Size = this.width): void {
    this.op([size === 8 ? 0x8a : 0x8b], reg, from, size);
  }
  store(to: Mem, reg: number, size: Size = this.width): void {
    this.op([size === 8 ? 0x88 : 0x89], reg, to, size);
  }
  storeImm(to: Mem, n: number | Place, size: Size = this.width): void {
    this.op([size === 8 ? 0xc6 : 0xc7], 0, to, size);
    this.value(n, size === 8 ? 1 : size === 16 ? 2 : 4);
  }
  mov(to: number, from: number, size: Size = this.width): void {
    this.op([size === 8 ? 0x8a : 0x8b], to, from, size);
  }
  alu(name: keyof typeof ALU, to: number, from: number | Mem, size: Size = this.width): void {
    this.op([(ALU[name] << 3) | (size === 8 ? 2 : 3)], to, from, size);
  }
  aluImm(name: keyof typeof ALU, to: number | Mem, n: number, size: Size = this.width): void {
    if (size === 8) {
      this.op([0x80], ALU[name], to, 8);
      this.value(n, 1);
    } else if (n >= -128 && n < 128) {
      this.op([0x83], ALU[name], to, size);
      this.value(n, 1);
    } else {
      this.op([0x81], ALU[name], to, size);
      this.value(n, size === 16 ? 2 : 4);
    }
  }
  shift(name: keyof typeof SHIFT, to: number | Mem, n: number, size: Size = this.width): void {
    this.op([size === 8 ? 0xc0 : 0xc1], SHIFT[name], to, size);
    this.emit(n);
  }
  inc(to: number | Mem, size: Size = this.width): void {
    this.op([size === 8 ? 0xfe : 0xff], 0, to, size);
  }
  dec(to: number | Mem, size: Size = this.width): void {
    this.op([size === 8 ? 0xfe : 0xff], 1, to, size);
  }
  push(reg: number): void {
    if (reg >= 8) this.emit(0x41);
    this.emit(0x50 | (reg & 7));
  }
  pop(reg: number): void {
    if (reg >= 8) this.emit(0x41);
    this.emit(0x58 | (reg & 7));
  }
  pushImm(n: number | Place): void {
    this.emit(0x68);
    this.value(n, this.width === 16 ? 2 : 4);
  }
  setcc(condition: number, to: number | Mem): void {
    this.op([0x0f, 0x90 | condition], 0, to, 8);
  }
  cmov(condition: number, to: number, from: number | Mem, size: Size = this.width): void {
    this.op([0x0f, 0x40 | condition], to, from, size);
  }
  /** mov between a general and a control (20, 22) or debug (21, 23) register. */
  special(opcode: 0x20 | 0x21 | 0x22 | 0x23, register: number, general: number): void {
    this.emit(0x0f, opcode, 0xc0 | (register << 3) | general);
  }

  // --- transfers -----------------------------------------------------------------------------------

  private near(opcode: readonly number[], place: Place): void {
    this.emit(...opcode);
    const bytes = this.width === 16 ? 2 : 4;
    this.fixups.push({ at: this.bytes.length, bytes, place, relative: true });
    for (let i = 0; i < bytes; i++) this.emit(0);
  }
  /** A byte of displacement: for targets within reach. */
  short(opcode: number, place: Place): void {
    this.emit(opcode);
    this.fixups.push({ at: this.bytes.length, bytes: 1, place, relative: true });
    this.emit(0);
  }
  jmp(label: string, plus = 0): void {
    this.near([0xe9], { label, plus });
  }
  call(label: string): void {
    this.near([0xe8], { label });
  }
  /** Short where the target stands and is near. */
  jcc(condition: number, label: string, plus = 0): void {
    const at = this.labels.get(label);
    if (at !== undefined && this.here - at < 100 && this.here - at > -100) {
      this.short(0x70 | condition, { label, plus });
    } else this.near([0x0f, 0x80 | condition], { label, plus });
  }
  /** jmp (4) or call (2) through memory or a register, of the native width. */
  indirect(kind: 2 | 4, to: number | Mem): void {
    // In 64-bit code, the operand is 64-bit without REX.W.
    this.op([0xff], kind, to, this.width === 64 ? 32 : this.width);
  }
}
