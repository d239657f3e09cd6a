/**
 * The interpreter's builder: one function, a handler, for each variant of a table entry. It reads its
 * operands from the record it is called with and returns the next one, or 0 where the block ends.
 */
import type { Value } from '../emit/function-builder.js';
import type { WasmModule } from '../emit/module.js';
import { operandsOf } from '../isa/operands.js';
import { type Bits, type Operand, type RegField, Sem, type Variant } from '../isa/sem.js';
import * as L from '../state/layout.js';
import * as R from './record.js';

/** Type of every handler: (cpu, record) -> next record. */
export const HANDLER = { params: ['i32', 'i32'], results: ['i32'] } as const;

export class HandlerBuilder extends Sem {
  readonly operands: readonly Operand[];
  readonly cpu: Value;
  private readonly record: Value;

  constructor(
    module: WasmModule,
    readonly variant: Variant,
  ) {
    super(module, HANDLER.params);
    this.operands = operandsOf(variant);
    this.cpu = this.param(0);
    this.record = this.param(1);
  }

  /** Builds the whole function: unit checks, the semantic, the next record as its result. */
  build(): void {
    const { options, semantic } = this.variant.entry;
    if (options.unit) this.unitCheck(options.unit);
    semantic(this);
    if (options.unit === 'mmx') this.enterMmx();
    if (options.ends) this.return(this.i32(0));
    else this.continue();
  }

  private continue(): void {
    this.return(this.addC(this.record, R.RECORD_SIZE));
  }

  private unitCheck(unit: 'sse' | 'mmx' | 'x87'): void {
    const word = { sse: L.SSE_TRAP, mmx: L.MMX_TRAP, x87: L.X87_TRAP }[unit];
    const trap = this.state('i32.load', word);
    this.if(trap, () => this.fault(trap));
  }

  private registerAddress(field: 'reg' | 'rm' | 'op' | 'vex'): Value {
    if (field === 'vex') {
      return this.add(this.cpu, this.load('i32.load16_u', this.record, R.R_VEX));
    }
    const slot = field === 'reg' ? R.R_REG : R.R_RM;
    return this.add(this.cpu, this.load('i32.load16_u', this.record, slot));
  }

  private place(field: RegField): { address: Value; offset: number } {
    return typeof field === 'number'
      ? { address: this.cpu, offset: L.GPR + field * 8 }
      : { address: this.registerAddress(field), offset: 0 };
  }

  override readGpr(field: RegField, bits: Bits): Value {
    const { address, offset } = this.place(field);
    const name = { 8: 'i32.load8_u', 16: 'i32.load16_u', 32: 'i32.load', 64: 'i64.load' }[bits];
    return this.load(name, address, offset);
  }

  override writeGpr(field: RegField, bits: Bits, value: Value): void {
    const { address, offset } = this.place(field);
    if (bits === 32) this.effect('i64.store', [address, this.zext64(value)], offset);
    else {
      const name = { 8: 'i32.store8', 16: 'i32.store16', 64: 'i64.store' }[bits];
      this.effect(name, [address, value], offset);
    }
  }

  override vectorPlace(
    field: 'reg' | 'rm' | number,
    file: 'xmm' | 'mmx',
  ): { address: Value; offset: number } {
    if (typeof field !== 'number') return { address: this.registerAddress(field), offset: 0 };
    const offset = file === 'xmm' ? L.XMM + field * L.XMM_SIZE : L.X87 + field * L.X87_SIZE;
    return { address: this.cpu, offset };
  }

  override effectiveAddress(): Value {
    const moffs = this.variant.entry.operands.some((o) => o[0] === 'O');
    if (moffs) return this.immediate();
    const register = (slot: number): Value => {
      const address = this.add(this.cpu, this.load('i32.load8_u', this.record, slot));
      return this.load('i64.load', address, L.GPR);
    };
    const scale = this.load('i64.load8_u', this.record, R.R_SCALE);
    const scaled = this.shl(register(R.R_INDEX), scale);
    const displacement = this.load('i64.load', this.record, R.R_DISP);
    const sum = this.add(this.add(register(R.R_BASE), scaled), displacement);
    return this.flat ? sum : this.and(sum, this.addressMask());
  }

  override segment(): Value {
    return this.load('i32.load16_u', this.record, R.R_SEGMENT);
  }
  override immediate(): Value {
    return this.load('i64.load', this.record, R.R_IMM);
  }
  override immediate2(): Value {
    return this.load('i32.load', this.record, R.R_IMM2);
  }
  override fieldNumber(field: 'reg' | 'rm'): Value {
    return this.load('i32.load16_u', this.record, field === 'reg' ? R.R_REG : R.R_RM);
  }
  override addressMask(): Value {
    return this.shrU(this.i64(-1), this.load('i64.load8_u', this.record, R.R_ADDRESS_SHIFT));
  }
  override rip(): Value {
    return this.add(
      this.state('i64.load', L.IP_BASE),
      this.load('i64.load16_u', this.record, R.R_OFFSET),
    );
  }
  override nextRip(): Value {
    return this.add(this.rip(), this.load('i64.load8_u', this.record, R.R_LENGTH));
  }
  override sync(): void {
    this.call('sync', [this.cpu, this.record], null);
  }
  override leave(retired: boolean): void {
    // An unconditional end is the last record of its block: nothing to take back.
    if (retired && this.variant.entry.options.ends) this.return(this.i32(0));
    else {
      const left = this.load('i64.load8_u', this.record, R.R_REMAINING);
      const unrun = retired ? left : this.addC(left, 1);
      const count = this.sub(this.state('i64.load', L.ICOUNT), unrun);
      this.setState('i64.store', L.ICOUNT, count);
      this.return(this.i32(0));
    }
  }
}
