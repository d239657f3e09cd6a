import * as layout from '../../cpu/state/layout.js';
import { EngineError } from '../engine.js';
import type {
  Msr,
  PendingEvents,
  Registers,
  Segment,
  SystemRegisters,
  VcpuRecord,
} from '../records.js';
import { MSR_TSC, msrPlaces } from './msr-table.js';
import type { RuntimeExports } from './soft-code.js';
import type { StateView } from './state-view.js';
import { readXsave, writeXsave } from './xsave-record.js';

/** ATTENTION and EVENT bits that a record holds. */
const NMI_PENDING = 1;
const NMI_BLOCKED = 2;
const UNUSABLE = 0x1_0000;
const ATTRIBUTE_BITS = 0xf0ff;
const ALL_FLAGS = 0xffff_ffffn;

/** The state of a vCPU between two instructions as records, and back. */
export class VcpuState {
  constructor(
    private readonly state: StateView,
    private readonly runtime: RuntimeExports,
    /** The machine's time as the TSC counts it. */
    private readonly tscOfClock: () => bigint,
  ) {}

  read(): VcpuRecord {
    return {
      registers: this.readRegisters(),
      system: this.readSystem(),
      xsave: readXsave(this.state),
      msrs: this.readMsrs(),
      events: this.readEvents(),
    };
  }

  write(record: VcpuRecord): void {
    const { state, runtime } = this;
    const { registers, system } = record;
    registers.gpr.forEach((value, i) => {
      state.setU64(layout.GPR + i * 8, value);
    });
    state.setU64(layout.ZERO, 0n);
    state.setU64(layout.RIP, registers.rip);
    this.writeSystem(system);
    writeXsave(state, record.xsave);
    this.writeMsrs(record.msrs);
    this.writeEvents(record.events);
    runtime.write_flags(registers.rflags, ALL_FLAGS);
    runtime.set_mxcsr(state.u32(layout.MXCSR));
    runtime.after_restore();
    state.setU32(layout.DELIVERING, record.events.delivering);
    state.orWord(layout.ATTENTION, layout.ATT_FLUSH | layout.ATT_INTERRUPT);
  }

  private readRegisters(): Registers {
    const { state } = this;
    return {
      gpr: Array.from({ length: 16 }, (_, i) => state.u64(layout.GPR + i * 8)),
      rip: state.u64(layout.RIP),
      rflags: BigInt.asUintN(32, this.runtime.read_flags()),
    };
  }

  private readSystem(): SystemRegisters {
    const { state } = this;
    const dr = Array.from({ length: 8 }, (_, i) => state.u64(layout.DR + i * 8));
    return {
      segments: Array.from({ length: 8 }, (_, i) => this.readSegment(i)),
      gdtr: this.readTable(layout.GDTR),
      idtr: this.readTable(layout.IDTR),
      cr0: state.u64(layout.CR0),
      cr2: state.u64(layout.CR2),
      cr3: state.u64(layout.CR3),
      cr4: state.u64(layout.CR4),
      cr8: state.u64(layout.CR8),
      efer: state.u64(layout.EFER),
      xcr0: state.u64(layout.XCR0),
      dr: dr.slice(0, 4),
      dr6: dr[6]!,
      dr7: dr[7]!,
    };
  }

  private writeSystem(system: SystemRegisters): void {
    const { state } = this;
    system.segments.forEach((segment, i) => {
      this.writeSegment(i, segment);
    });
    for (const [at, table] of [
      [layout.GDTR, system.gdtr],
      [layout.IDTR, system.idtr],
    ] as const) {
      state.setU64(at, table.base);
      state.setU32(at + 8, table.limit);
    }
    state.setU64(layout.CR0, system.cr0);
    state.setU64(layout.CR2, system.cr2);
    state.setU64(layout.CR3, system.cr3);
    state.setU64(layout.CR4, system.cr4);
    state.setU64(layout.CR8, system.cr8);
    state.setU64(layout.EFER, system.efer);
    state.setU64(layout.XCR0, system.xcr0);
    system.dr.forEach((value, i) => {
      state.setU64(layout.DR + i * 8, value);
    });
    state.setU64(layout.DR + 6 * 8, system.dr6);
    state.setU64(layout.DR + 7 * 8, system.dr7);
    const stack = system.segments[layout.SS]!;
    const real = (system.cr0 & 1n) === 0n;
    // SS.DPL is the CPL once in protected mode [SDM 3A 3.4.5, "DPL" of SS].
    state.setU32(layout.CPL, real ? 0 : (stack.attributes >> 5) & 3);
  }

  private readTable(at: number) {
    return { base: this.state.u64(at), limit: this.state.u32(at + 8) };
  }

  private readSegment(index: number): Segment {
    const at = layout.SEGMENTS + index * layout.SEGMENT_SIZE;
    const stored = this.state.u32(at + layout.SEG_ATTRIBUTES);
    // A null SS has the CPL as its DPL [SDM 3A 6.14.2]; the runtime keeps the CPL by itself.
    const protectedStack = index === layout.SS && (this.state.u64(layout.CR0) & 1n) !== 0n;
    const level = this.state.u32(layout.CPL) << 5;
    const attributes = protectedStack ? (stored & ~0x60) | level : stored;
    return {
      selector: this.state.u16(at + layout.SEG_SELECTOR),
      attributes: attributes & ATTRIBUTE_BITS,
      unusable: (attributes & UNUSABLE) !== 0,
      limit: this.state.u32(at + layout.SEG_LIMIT),
      base: this.state.u64(at + layout.SEG_BASE),
    };
  }

  private writeSegment(index: number, segment: Segment): void {
    const at = layout.SEGMENTS + index * layout.SEGMENT_SIZE;
    const attributes = (segment.attributes & ATTRIBUTE_BITS) | (segment.unusable ? UNUSABLE : 0);
    this.state.setU32(at + layout.SEG_SELECTOR, segment.selector);
    this.state.setU32(at + layout.SEG_ATTRIBUTES, attributes);
    this.state.setU32(at + layout.SEG_LIMIT, segment.limit);
    this.state.setU64(at + layout.SEG_BASE, segment.base);
  }

  private readMsrs(): Msr[] {
    const msrs = Array.from(msrPlaces, ([index, at]) => ({ index, value: this.state.u64(at) }));
    const tsc = BigInt.asUintN(64, this.tscOfClock() + this.state.u64(layout.MSR_TSC_OFFSET));
    return [...msrs, { index: MSR_TSC, value: tsc }];
  }

  /** MSRs that a record leaves out become 0. */
  private writeMsrs(msrs: readonly Msr[]): void {
    const values = new Map(msrs.map(({ index, value }) => [index, value]));
    for (const [index, at] of msrPlaces) {
      this.state.setU64(at, values.get(index) ?? 0n);
      values.delete(index);
    }
    const tsc = values.get(MSR_TSC) ?? 0n;
    this.state.setU64(layout.MSR_TSC_OFFSET, BigInt.asUintN(64, tsc - this.tscOfClock()));
    values.delete(MSR_TSC);
    for (const [index] of values) {
      throw new EngineError('bad-state', `msrs: found 0x${index.toString(16)}, which is not known`);
    }
  }

  private readEvents(): PendingEvents {
    const { state } = this;
    const event = state.u32(layout.EVENT);
    const pending = (event & layout.EVENT_EXCEPTION) !== 0;
    const nmi = state.u32(layout.NMI_STATE);
    return {
      exception: {
        pending,
        // Vector 256 stands for a triple fault that is not taken yet.
        vector: pending ? state.u32(layout.EXC_VECTOR) : 0,
        hasError: pending && state.u32(layout.EXC_HAS_ERROR) !== 0,
        error: pending ? state.u32(layout.EXC_ERROR) : 0,
        kind: pending ? state.u32(layout.EXC_KIND) : 0,
        address: pending ? state.u64(layout.EXC_ADDRESS) : 0n,
      },
      delivering: state.i32(layout.DELIVERING),
      shadow: (event & layout.EVENT_SHADOW) !== 0,
      shadowSs: (event & layout.EVENT_SHADOW_SS) !== 0,
      nmiPending: (nmi & NMI_PENDING) !== 0,
      nmiBlocked: (nmi & NMI_BLOCKED) !== 0,
      activity: state.u32(layout.ACTIVITY),
      monitor: state.u64(layout.MONITOR_ADDRESS),
    };
  }

  private writeEvents(events: PendingEvents): void {
    const { state } = this;
    const { exception } = events;
    state.setU32(layout.EXC_VECTOR, exception.pending ? exception.vector : -1);
    state.setU32(layout.EXC_HAS_ERROR, exception.hasError ? 1 : 0);
    state.setU32(layout.EXC_ERROR, exception.error);
    state.setU32(layout.EXC_KIND, exception.kind);
    state.setU64(layout.EXC_ADDRESS, exception.address);
    state.setU32(layout.DEBUG_HITS, 0);
    state.setU32(
      layout.EVENT,
      (exception.pending ? layout.EVENT_EXCEPTION : 0) |
        (events.shadow ? layout.EVENT_SHADOW : 0) |
        (events.shadowSs ? layout.EVENT_SHADOW_SS : 0) |
        (events.activity !== 0 ? layout.EVENT_INACTIVE : 0) |
        layout.EVENT_RECHECK,
    );
    state.setU32(
      layout.NMI_STATE,
      (events.nmiPending ? NMI_PENDING : 0) | (events.nmiBlocked ? NMI_BLOCKED : 0),
    );
    state.orWord(layout.ATTENTION, events.nmiPending ? layout.ATT_NMI : 0);
    state.setU32(layout.ACTIVITY, events.activity);
    state.setU64(layout.MONITOR_ADDRESS, events.monitor);
  }
}
