import type { Clock } from '../base/clock.js';
import type { CpuidEntry } from '../cpu/state/cpuid.js';
import type { HostMemory, MemorySlot } from '../memory/slot.js';
import type { ChipRecords, IoApicRecord, LocalApicRecord, VcpuRecord } from './records.js';

/**
 * What the machine needs of something that runs guest instructions. Shaped like KVM, because both
 * engines must be able to say the same thing. An engine never sees a device.
 */
export interface Engine {
  readonly name: 'soft' | 'kvm';
  readonly maxVcpus: number;
  /** RAM and ROM of one VM together. */
  readonly maxMemoryBytes: number;
  /** All that CPUID can say to a guest here, for a VM with so many vCPUs. */
  cpuid(vcpus: number): CpuidEntry[];
  /** Throws {@link EngineError}. */
  createVm(options: VmOptions): Vm;
}

export interface VmOptions {
  /** Bytes of guest RAM and ROM that slots will need. */
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly clock: Clock;
  readonly randomU32: () => number;
  /** What CPUID says; without it all of {@link Engine.cpuid}. */
  readonly cpuid?: readonly CpuidEntry[];
  /**
   * An engine that has interrupt controllers and a timer of its own uses them, see {@link Vm.chips}: its
   * halted vCPUs then wait inside the engine, and HLT is no exit. Else those of `interrupts` are asked.
   */
  readonly ownChips?: boolean;
  /** Makes the interrupt controllers of an engine that has none of its own. */
  readonly interrupts: (store: InterruptStore) => InterruptModel;
  /** Wakes the machine's loop: something is waiting for a vCPU that is not in `run`. */
  readonly onAttention: (vcpu: number) => void;
}

/** The host cannot give the guest what it needs. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  constructor(
    /**
     * `unavailable`: this engine cannot work here; `limit`: it can, but not this much; `failed`: it could
     * not go on in the middle of a run.
     */
    readonly code: 'unavailable' | 'limit' | 'bad-state' | 'failed',
    message: string,
    options?: { cause: unknown },
  ) {
    super(message, options);
  }
}

/** One virtual machine: memory, interrupt controllers and vCPUs. */
export interface Vm {
  /** All of the host memory behind slots. */
  readonly memory: HostMemory;
  /** What CPUID says in this VM. */
  readonly cpuid: readonly CpuidEntry[];
  /** Where the engine has the chips of the board itself. */
  readonly chips?: EngineChips;
  /**
   * Adds a slot, replaces the one with the same id, or removes it (size 0). Slots of different ids
   * never overlap in guest-physical space; where no slot is, the bus answers.
   */
  setMemorySlot(slot: MemorySlot): void;
  /** Pages of a slot with `log` written since the last call, by index in the slot; clears them. */
  dirtyPages(slotId: number): Uint32Array;
  /** The machine wrote to memory itself: decoded instructions and dirty logs have to follow. */
  memoryWritten(gpa: number, place: number, length: number): void;
  /** The A20 gate: false masks address line 20. */
  setA20(open: boolean): void;
  /** Level of an input of the IOAPIC. */
  setIrqLine(gsi: number, high: boolean): void;
  /** Message-signalled interrupt [SDM 3A 11.11]. */
  sendMsi(address: number, data: number): void;
  /**
   * Writes there may be told late: with the vCPU's next exit, before it and in order (engines that can).
   */
  coalesce?(space: 'port' | 'mmio', address: number, sizeBytes: number): void;
  /**
   * Has `ring` called soon after the guest wrote there, which goes on meanwhile and makes no exit of it
   * (engines that can). The answer ends that. Throws {@link EngineError}.
   */
  doorbell?(bell: Doorbell, ring: () => void): () => void;
  getIoApic(): IoApicRecord;
  setIoApic(record: IoApicRecord): void;
  createVcpu(index: number): Vcpu;
  /** Frees what the garbage collector does not. */
  close(): void;
}

/** A write that is a signal and no more. */
export interface Doorbell {
  readonly space: 'port' | 'mmio';
  readonly address: number;
  readonly size: 1 | 2 | 4;
  /** Only writes of this value. */
  readonly value?: number;
}

/**
 * The 8259 pair, 8254 and IOAPIC of an engine: guests reach them without an exit, the machine by
 * {@link Vm.setIrqLine}, whose input 2 of the IOAPIC is the timer's and input 0 of the 8259.
 */
export interface EngineChips {
  get(): ChipRecords;
  set(records: ChipRecords): void;
  /** Time stands still for the guest, and goes on: TSC, local APICs' timers. No vCPU is in `run`. */
  freeze(): void;
  thaw(): void;
}

/** Guest instructions on a thread of their own: {@link Vcpu.run} in two halves. */
export interface VcpuThread {
  /** For how long polling is cheaper than sleeping; 0 where the guest would get no CPU meanwhile. */
  readonly spinNs: number;
  /** Runs on until the next exit; what the last one asked for has been answered. */
  go(): void;
  /** The exit that has come. `undefined`: the guest runs. Throws once the VM is closed. */
  poll(): Exit | undefined;
  /** Calls back soon after an exit has come, once; the answer calls it off. */
  whenExit(callback: () => void): () => void;
}

/** A virtual CPU. Records are read and written only while it is not in `run`. */
export interface Vcpu {
  readonly index: number;
  /** In place of `run`, where the machine is to go on meanwhile (engines that can). */
  readonly thread?: VcpuThread;
  /**
   * Runs guest instructions until there is something to say. After `io` and `mmio` reads the caller
   * fills `data` and calls `run` again, which completes the instruction first.
   */
  run(): Exit;
  /** `run` returns `intr` soon; callable from anywhere, also before `run`. */
  requestPause(): void;
  /** `run` returns `intr` after about this many instructions (engines that can count them). */
  setBudget?(instructions: number): void;
  /** Instructions retired so far (engines that can count them). */
  retired?(): number;
  /** Answers ports and MMIO by plain calls instead of exits: for a vCPU on the machine's thread. */
  attachBus?(bus: InlineBus): void;
  /** The 8259's output changed, or a local APIC took an interrupt: look again. */
  interruptChanged(): void;
  /** Non-maskable interrupt. */
  nmi(): void;
  /** Power-on or warm reset, and INIT (which leaves XSAVE state, MSRs and caches alone). */
  reset(kind: 'power-on' | 'init'): void;
  getRecord(): VcpuRecord;
  /** Throws {@link EngineError} `bad-state` for what the engine cannot represent. */
  setRecord(record: VcpuRecord): void;
  getLocalApic(): LocalApicRecord;
  setLocalApic(record: LocalApicRecord): void;
}

/** Ports and MMIO as calls. Values are unsigned; nothing throws. */
export interface InlineBus {
  portRead(port: number, size: 1 | 2 | 4): number;
  portWrite(port: number, size: 1 | 2 | 4, value: number): void;
  mmioRead(gpa: number, size: 1 | 2 | 4): number;
  mmioWrite(gpa: number, size: 1 | 2 | 4, value: number): void;
}

export type Exit =
  /**
   * `data` has size * count bytes: to be written out, or for the caller to fill. String I/O comes with
   * a count; an engine may split it into several exits.
   */
  | {
      readonly kind: 'io';
      readonly port: number;
      readonly size: 1 | 2 | 4;
      readonly direction: 'in' | 'out';
      readonly count: number;
      readonly data: Uint8Array;
    }
  | {
      readonly kind: 'mmio';
      readonly gpa: number;
      readonly direction: 'read' | 'write';
      /** 1, 2, 4 or 8 bytes. */
      readonly data: Uint8Array;
    }
  /** HLT or MWAIT, and nothing is waiting. */
  | { readonly kind: 'hlt' }
  /** Triple fault. */
  | { readonly kind: 'shutdown' }
  /** The pause that was asked for, or the end of the budget. */
  | { readonly kind: 'intr' }
  /** A breakpoint or single step of the host's debugger. */
  | { readonly kind: 'debug'; readonly dr6: number }
  /** A bug of ours; this VM cannot go on. */
  | { readonly kind: 'internal-error'; readonly message: string; readonly cause: unknown };

/** What an engine lends to the interrupt controllers it does not have itself. */
export interface InterruptStore {
  /** 1,024 words that all threads of the VM see, zero at the start. */
  lapicWords(vcpu: number): Int32Array;
  readonly ioapicWords: Int32Array;
  /** Makes a vCPU look at its local APIC soon, wherever it runs. Callable from any thread. */
  signal(vcpu: number, what: 'interrupt' | 'nmi' | 'init'): void;
  /** What RDTSC reads on this vCPU now. */
  readTsc(vcpu: number): number;
  /** Start-up IPI: ignored unless the vCPU waits for one. */
  startUp(vcpu: number, vector: number): void;
}

/**
 * The local APICs, the IOAPIC and the 8259 pair as an engine without its own sees them. `lapic` is
 * asked by vCPU index; all numbers are unsigned 32-bit words.
 */
export interface InterruptModel {
  /** The vector to deliver now, from the local APIC or (as ExtINT) the 8259; -1: none. */
  acknowledge(vcpu: number): number;
  lapicRead(vcpu: number, offset: number): number;
  lapicWrite(vcpu: number, offset: number, value: number): void;
  /** IA32_APIC_BASE, x2APIC registers, IA32_TSC_DEADLINE; a half is 0 (low) or 1 (high). */
  msrRead(vcpu: number, index: number, half: 0 | 1): number;
  /** False: #GP. */
  msrWrite(vcpu: number, index: number, low: number, high: number): boolean;
  getLocalApic(vcpu: number): LocalApicRecord;
  setLocalApic(vcpu: number, record: LocalApicRecord): void;
  resetLocalApic(vcpu: number, kind: 'power-on' | 'init'): void;
  setIrqLine(gsi: number, high: boolean): void;
  sendMsi(address: number, data: number): void;
  getIoApic(): IoApicRecord;
  setIoApic(record: IoApicRecord): void;
}
