import { createBlockDecoder } from '../../cpu/interp/decode-block.js';
import { R_REMAINING } from '../../cpu/interp/record.js';
import * as layout from '../../cpu/state/layout.js';
import type { Exit, InlineBus, Vcpu } from '../engine.js';
import type { LocalApicRecord, VcpuRecord } from '../records.js';
import { resetRecord } from '../reset-record.js';
import { BusExits, LEAVE } from './bus-exits.js';
import { JitTrace } from './jit-trace.js';
import { RegionCache } from './region-cache.js';
import { RegionChecker } from './region-checker.js';
import type { InterpExports, RuntimeExports, SoftCode } from './soft-code.js';
import type { SoftVm } from './soft-vm.js';
import { StateView } from './state-view.js';
import { VcpuState } from './vcpu-state.js';

/** Thrown through wasm frames by the runtime: a guest fault is recorded, go on with its delivery. */
const UNWIND = { reason: 'guest fault' };

const MSR_APIC_BASE = 0x1b;
/** Makes `run` go on for good: no budget. */
const NO_LIMIT = 0xffff_ffff_ffff_ffffn;

/** A vCPU on the calling thread: an instance of the runtime and one of the interpreter on its state. */
export class SoftVcpu implements Vcpu {
  private readonly state: StateView;
  private readonly records: VcpuState;
  private readonly runtime: RuntimeExports;
  private readonly interp: InterpExports;
  private readonly exits: BusExits;
  private readonly jit: RegionCache | undefined;
  private readonly trace: JitTrace | undefined;
  private readonly checker: RegionChecker | undefined;
  private bus: InlineBus;
  private readonly counts: BigUint64Array;

  constructor(
    private readonly vm: SoftVm,
    readonly index: number,
    code: SoftCode,
  ) {
    const { buffer } = vm.wasmMemory;
    this.state = new StateView(buffer, index);
    this.counts = new BigUint64Array(buffer, this.state.base, layout.VCPU_STRIDE / 8);
    const { state } = this;
    this.exits = new BusExits(
      () => `${state.u64(layout.RIP)} ${this.counted()} ${state.u64(layout.GPR + 8)}`,
    );
    this.bus = this.exits;
    const env = this.imports();
    const rt = code.instantiate('runtime', { env });
    const runtime = rt as unknown as RuntimeExports;
    this.runtime = runtime;
    const decoder = createBlockDecoder(vm.tables, buffer, state.base, runtime.mark_code);
    const hot = (place: number): void => this.jit?.hot(place >>> 0);
    const interp = code.instantiate('interp', { env: { ...env, ...decoder, hot }, rt });
    this.interp = interp as unknown as InterpExports;
    if (vm.jit) {
      if (vm.jit.trace) this.trace = new JitTrace(state, vm.jit.trace.print);
      if (vm.jit.check) {
        this.checker = new RegionChecker(vm, state, code, this.interp, runtime, UNWIND);
      }
      const { guest_call } = this.interp;
      const imports = { rt, env: { ...env, guest_call, ...this.checker?.imports } };
      this.jit = new RegionCache(
        vm,
        this.state,
        code,
        imports,
        this.interp.regions,
        runtime.mark_code,
        this.checker,
        this.trace,
      );
    }
    this.records = new VcpuState(state, runtime, () => BigInt(Math.floor(vm.clock.nowNs())));
    state.setU32(layout.VCPU_INDEX, index);
    state.setU64(layout.ICOUNT_LIMIT, NO_LIMIT);
    state.setU32(layout.EXC_VECTOR, -1);
    state.setU32(layout.DELIVERING, -1);
    this.reset('power-on');
  }

  run(): Exit {
    const { state } = this;
    if (this.exits.begin()) {
      // The access is answered: nothing may come between it and the rest of its instruction.
      state.assign(layout.EVENT, layout.EVENT_SHADOW, true);
    }
    this.jit?.arrive();
    this.runtime.enter_run();
    try {
      return this.untilExit();
    } finally {
      this.runtime.leave_run();
    }
  }

  private untilExit(): Exit {
    for (;;) {
      try {
        return this.exitOf(this.interp.run());
      } catch (error) {
        this.uncount();
        if (error === LEAVE) return this.exits.exit!;
        if (error !== UNWIND) {
          return { kind: 'internal-error', message: String(error), cause: error };
        }
        this.runtime.lock_end();
      }
    }
  }

  /** A block is counted when it is entered: takes back what was not reached in the one just left. */
  private uncount(): void {
    this.counts[layout.ICOUNT / 8] = this.counted();
    this.state.setU32(layout.BLOCK_REC, 0);
  }

  /** Instructions retired before the one being executed. */
  private counted(): bigint {
    const record = this.state.u32(layout.BLOCK_REC);
    const unrun = record === 0 ? 0 : this.state.u8(record - this.state.base + R_REMAINING) + 1;
    return this.counts[layout.ICOUNT / 8]! - BigInt(unrun);
  }

  private exitOf(reason: number): Exit {
    switch (reason) {
      case layout.EXIT_BUDGET:
      case layout.EXIT_INTERRUPTED:
        Atomics.and(this.state.words, layout.ATTENTION >> 2, ~layout.ATT_PAUSE);
        return { kind: 'intr' };
      case layout.EXIT_HALT:
        return { kind: 'hlt' };
      case layout.EXIT_SHUTDOWN:
        return { kind: 'shutdown' };
      default:
        return { kind: 'internal-error', message: `unknown exit ${reason}`, cause: undefined };
    }
  }

  requestPause(): void {
    this.vm.attend(this.index, layout.ATT_PAUSE);
  }

  setBudget(instructions: number): void {
    this.counts[layout.ICOUNT_LIMIT / 8] =
      this.counts[layout.ICOUNT / 8]! + BigInt(Math.floor(instructions));
  }

  retired(): number {
    return Number(this.counts[layout.ICOUNT / 8]);
  }

  /** As RDTSC; exact up to 2^53. */
  readTsc(): number {
    const offset = BigInt.asIntN(64, this.state.u64(layout.MSR_TSC_OFFSET));
    return Math.floor(this.vm.clock.nowNs()) + Number(offset);
  }

  /** What the JIT did so far, where it is traced. */
  showStatistics(): void {
    if (this.jit) this.trace?.show(this.jit.statistics);
  }

  close(): void {
    this.showStatistics();
    this.jit?.close();
  }

  attachBus(bus: InlineBus): void {
    this.bus = bus;
  }

  interruptChanged(): void {
    this.vm.attend(this.index, layout.ATT_INTERRUPT);
  }

  nmi(): void {
    this.vm.attend(this.index, layout.ATT_NMI);
  }

  reset(kind: 'power-on' | 'init'): void {
    this.exits.drop();
    this.vm.interrupts.resetLocalApic(this.index, kind);
    this.setRecord(resetRecord(kind, this.vm.signature, this.index === 0, this.getRecord()));
    this.placeApic();
  }

  getRecord(): VcpuRecord {
    return this.records.read();
  }

  setRecord(record: VcpuRecord): void {
    this.exits.drop();
    this.records.write(record);
  }

  getLocalApic(): LocalApicRecord {
    return this.vm.interrupts.getLocalApic(this.index);
  }

  setLocalApic(record: LocalApicRecord): void {
    this.vm.interrupts.setLocalApic(this.index, record);
    this.placeApic();
    this.interruptChanged();
  }

  /** Follows IA32_APIC_BASE, which the local APIC has and the runtime reads. */
  private placeApic(): void {
    const low = this.vm.interrupts.msrRead(this.index, MSR_APIC_BASE, 0);
    const high = this.vm.interrupts.msrRead(this.index, MSR_APIC_BASE, 1);
    this.state.setU32(layout.MSR_APIC_BASE, low);
    this.state.setU32(layout.MSR_APIC_BASE + 4, high);
    this.vm.placeApic(low, high);
  }

  /** Module "env" of the runtime and the interpreter. Words come as signed numbers. */
  private imports(): Record<string, unknown> {
    const { vm, index } = this;
    const { interrupts } = vm;
    return {
      memory: vm.wasmMemory,
      cpu: this.state.base,
      unwind: () => {
        throw UNWIND;
      },
      // AssemblyScript's own assertion.
      abort: () => {
        throw new Error('the runtime aborted');
      },
      io_in: (port: number, size: 1 | 2 | 4) => this.bus.portRead(port, size),
      io_out: (port: number, size: 1 | 2 | 4, value: number) =>
        this.bus.portWrite(port, size, clip(size, value)),
      mmio_read: (gpa: number, size: 1 | 2 | 4) => this.bus.mmioRead(gpa, size),
      mmio_write: (gpa: number, size: 1 | 2 | 4, value: number) =>
        this.bus.mmioWrite(gpa, size, clip(size, value)),
      apic_read: (offset: number) => interrupts.lapicRead(index, offset),
      apic_write: (offset: number, value: number) =>
        interrupts.lapicWrite(index, offset, value >>> 0),
      msr_read: (msr: number, half: 0 | 1) => interrupts.msrRead(index, msr >>> 0, half),
      msr_write: (msr: number, low: number, high: number) => {
        if (!interrupts.msrWrite(index, msr >>> 0, low >>> 0, high >>> 0)) return 1;
        if (msr === MSR_APIC_BASE) this.placeApic();
        return 0;
      },
      interrupt_ack: () => (this.checker?.deferInterrupt() ? -1 : interrupts.acknowledge(index)),
      clock_ns: () => vm.clock.nowNs(),
      random_u32: () => vm.randomU32(),
    };
  }
}

function clip(size: number, value: number): number {
  return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff);
}
