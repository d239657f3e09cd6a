/**
 * The JIT's builder for the instruction table: operands are constants of decoded instructions, and
 * general registers live in locals, from the block's entry to its exits. One function is one
 * straight line of integer instructions; a taken branch, a fault and the end leave it.
 */
import type { Value, Var } from '../emit/function-builder.js';
import { WasmModule } from '../emit/module.js';
import { type CodeMode, type Decoder, Insn, variantOf } from '../isa/decode.js';
import { fieldClass, operandsOf } from '../isa/operands.js';
import {
  type Bits,
  type Operand,
  type RegField,
  runtimeSignature,
  Sem,
  type Variant,
} from '../isa/sem.js';
import type { Entry } from '../isa/table.js';
import * as L from '../state/layout.js';

const REGISTERS = 16;
const BLOCK = { params: [], results: [] } as const;
/** The exported function. */
export const BLOCK_NAME = 'block';

/** Code whose operands are all in general registers, memory and the instruction. */
export function isInteger(entry: Entry): boolean {
  return entry.options.unit === undefined;
}

/** Instructions from `start` on, up to and with the first that always ends a block. */
export function decodeLine(
  decoder: Decoder,
  bytes: Uint8Array,
  start: number,
  end: number,
  mode: CodeMode,
): Insn[] {
  const line: Insn[] = [];
  for (let at = start; at < end; ) {
    const insn = new Insn();
    if (decoder.decode(bytes, at, end, mode, insn) !== 'ok' || !isInteger(insn.entry)) break;
    line.push(insn);
    if (insn.entry.options.ends) break;
    at += insn.length;
  }
  return line;
}

/** A module that exports {@link BLOCK_NAME}: `line`, whose first instruction stands at `rip`. */
export function translate(line: readonly Insn[], rip: bigint): Uint8Array {
  const module = new WasmModule();
  const block = new BlockBuilder(module);
  block.build(line, rip);
  for (const name of block.callees) {
    const { params, result } = runtimeSignature(name);
    module.importFunction('rt', name, { params, results: result ? [result] : [] });
  }
  module.declare(BLOCK_NAME, BLOCK);
  module.define(BLOCK_NAME, block.finish());
  module.export(BLOCK_NAME);
  return module.build();
}

class BlockBuilder extends Sem {
  /** Of the instruction being translated. */
  override variant!: Variant;
  override operands!: readonly Operand[];
  override readonly cpu: Value;
  /** Runtime functions that the block calls. */
  readonly callees = new Set<string>();
  private readonly registers: Var[] = [];
  /** Registers whose local may differ from the state. */
  private readonly written = new Set<number>();
  private readonly countAtEntry: Value;
  private insn!: Insn;
  private at = 0n;
  /** Instructions before this one. */
  private done = 0;

  constructor(module: WasmModule) {
    super(module, BLOCK.params);
    this.cpu = this.cpuGlobal();
    for (let n = 0; n < REGISTERS; n++) this.registers.push(this.variable('i64'));
    this.loadRegisters();
    this.countAtEntry = this.state('i64.load', L.ICOUNT);
  }

  build(line: readonly Insn[], rip: bigint): void {
    this.at = rip;
    for (const insn of line) {
      this.insn = insn;
      this.variant = variantOf(insn);
      this.operands = operandsOf(this.variant);
      insn.entry.semantic(this);
      if (insn.entry.options.ends) return;
      this.at += BigInt(insn.length);
      this.done++;
    }
    this.setState('i64.store', L.RIP, this.i64(this.at));
    this.leave(false);
  }

  // --- registers -----------------------------------------------------------------------------------

  private loadRegisters(): void {
    this.registers.forEach((local, n) => {
      this.set(local, this.state('i64.load', L.GPR + n * 8));
    });
  }

  private storeRegisters(): void {
    for (const n of this.written) {
      this.setState('i64.store', L.GPR + n * 8, this.get(this.registers[n]!));
    }
  }

  /** Without REX, byte registers 4 to 7 are AH CH DH BH. [SDM 2A 2.2.1.2] */
  private place(field: RegField): { number: number; shift: 0 | 8 } {
    if (typeof field === 'number') return { number: field, shift: 0 };
    const { insn } = this;
    if (field === 'vex') return { number: insn.vvvv, shift: 0 };
    const number = field === 'reg' ? insn.reg : insn.rm;
    const byte = fieldClass(insn.entry, field === 'reg' ? 'reg' : 'rm') === 'gpr8';
    const high = byte && insn.rex === 0 && number >= 4 && number < 8;
    return high ? { number: number - 4, shift: 8 } : { number, shift: 0 };
  }

  override readGpr(field: RegField, bits: Bits): Value {
    const { number, shift } = this.place(field);
    const whole = this.get(this.registers[number]!);
    if (bits === 64) return whole;
    return this.zext(this.wrap(this.shrUC(whole, shift)), bits);
  }

  override writeGpr(field: RegField, bits: Bits, value: Value): void {
    const { number, shift } = this.place(field);
    const local = this.registers[number]!;
    this.written.add(number);
    if (bits >= 32) {
      this.set(local, this.zext64(value));
      return;
    }
    const mask = bits === 8 ? 0xff : 0xffff;
    const kept = this.andC(this.get(local), ~(mask << shift));
    const part = this.shlC(this.zext64(this.andC(value, mask)), shift);
    this.set(local, this.or(kept, part));
  }

  override vectorPlace(
    field: 'reg' | 'rm' | number,
    file: 'xmm' | 'mmx',
  ): { address: Value; offset: number } {
    const number = typeof field === 'number' ? field : this.insn[field];
    const offset = file === 'xmm' ? L.XMM + number * L.XMM_SIZE : L.X87 + (number & 7) * L.X87_SIZE;
    return { address: this.cpu, offset };
  }

  // --- operands ------------------------------------------------------------------------------------

  override effectiveAddress(): Value {
    const { insn } = this;
    if (insn.entry.operands.some((o) => o[0] === 'O')) return this.immediate();
    let sum = this.i64(insn.displacement);
    if (insn.index >= 0) sum = this.add(this.shlC(this.readGpr(insn.index, 64), insn.scale), sum);
    if (insn.base >= 0) sum = this.add(this.readGpr(insn.base, 64), sum);
    else if (insn.base === -2) sum = this.add(sum, this.nextRip());
    return this.flat ? sum : this.and(sum, this.addressMask());
  }

  override segment(): Value {
    const { mode, segment } = this.insn;
    const flat = mode === 2 && segment !== L.FS && segment !== L.GS;
    const number = flat ? (segment === L.SS ? L.FLAT_SS : L.FLAT) : segment;
    return this.i32(L.SEGMENTS + number * L.SEGMENT_SIZE);
  }
  override immediate(): Value {
    const { immHigh, immLow } = this.insn;
    return this.i64((BigInt(immHigh) << 32n) | BigInt(immLow >>> 0));
  }
  override immediate2(): Value {
    return this.i32(this.insn.imm2);
  }
  override fieldNumber(field: 'reg' | 'rm'): Value {
    return this.i32(this.insn[field]);
  }
  override addressMask(): Value {
    return this.i64(BigInt.asUintN(this.insn.addressSize, -1n));
  }
  override rip(): Value {
    return this.i64(this.at);
  }
  override nextRip(): Value {
    return this.i64(this.at + BigInt(this.insn.length));
  }

  // --- ways out ------------------------------------------------------------------------------------

  override sync(): void {
    this.storeRegisters();
    this.setState('i64.store', L.ICOUNT, this.addC(this.countAtEntry, this.done));
    this.setState('i64.store', L.RIP, this.rip());
    this.setState('i64.store', L.NEXT_RIP, this.nextRip());
    // No record of the interpreter's is being executed.
    this.setState('i32.store', L.BLOCK_REC, this.i32(0));
  }

  override leave(retired: boolean): void {
    this.storeRegisters();
    const count = this.done + (retired ? 1 : 0);
    this.setState('i64.store', L.ICOUNT, this.addC(this.countAtEntry, count));
    this.return();
  }

  override call(...args: Parameters<Sem['call']>): Value {
    this.callees.add(args[0]);
    return super.call(...args);
  }

  /** What may look at the instruction may also have changed the registers. */
  override rt(name: string, ...args: Value[]): Value {
    const value = super.rt(name, ...args);
    this.loadRegisters();
    return value;
  }
}
