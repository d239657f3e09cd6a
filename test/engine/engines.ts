import { loadSoftCode } from '#src/backend/node/soft-code.js';
import { ManualClock } from '#src/base/clock.js';
import type {
  Engine,
  Exit,
  InterruptModel,
  InterruptStore,
  Vcpu,
  Vm,
  VmOptions,
} from '#src/engine/engine.js';
import { loadKvmEngine } from '#src/engine/kvm/kvm-engine.js';
import { probeKvm } from '#src/engine/kvm/probe.js';
import type { IoApicRecord, LocalApicRecord, VcpuRecord } from '#src/engine/records.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';

/** Of this host; `problem` is why tests of the kvm engine skip. */
export const kvm = probeKvm();

/** Every engine there is; one that is missing says why, and its tests skip. */
export const engines: { name: string; skip: string | false; open: () => Promise<Engine> }[] = [
  { name: 'soft', skip: false, open: async () => new SoftEngine(await loadSoftCode()) },
  { name: 'kvm', skip: kvm.problem ?? false, open: async () => loadKvmEngine() },
];

const APIC_BASE = 0xfee0_0900;

/** Interrupt controllers as a test wants them: vectors in a queue. */
export class QueuedInterrupts implements InterruptModel {
  readonly vectors: number[] = [];
  readonly written: string[] = [];

  constructor(readonly store: InterruptStore) {}

  acknowledge(): number {
    return this.vectors.shift() ?? -1;
  }
  lapicRead(_vcpu: number, offset: number): number {
    return offset;
  }
  lapicWrite(_vcpu: number, offset: number, value: number): void {
    this.written.push(`${offset.toString(16)}=${value.toString(16)}`);
  }
  msrRead(_vcpu: number, index: number, half: 0 | 1): number {
    return index === 0x1b && half === 0 ? APIC_BASE : 0;
  }
  msrWrite(): boolean {
    return true;
  }
  getLocalApic(): LocalApicRecord {
    return { base: 0n, registers: new Uint8Array(0x400), timerNs: -1, tscDeadline: 0n };
  }
  setLocalApic(): void {}
  resetLocalApic(): void {}
  setIrqLine(): void {}
  sendMsi(): void {}
  getIoApic(): IoApicRecord {
    return { id: 0, select: 0, redirection: [], lines: 0 };
  }
  setIoApic(): void {}
}

export const CODE = 0x1000;
export const MIB = 1 << 20;

/** A VM with `ramBytes` of RAM at 0 and a vCPU in real mode that is about to run `code` at 0x1000. */
export class EngineRig {
  readonly vm: Vm;
  readonly vcpu: Vcpu;
  readonly clock = new ManualClock();
  readonly ram: Uint8Array;
  interrupts!: QueuedInterrupts;
  attentions = 0;

  constructor(engine: Engine, code: readonly number[] = [], more: Partial<VmOptions> = {}) {
    this.vm = engine.createVm({
      memoryBytes: 2 * MIB,
      vcpus: 1,
      clock: this.clock,
      randomU32: () => 7,
      interrupts: (store) => {
        this.interrupts = new QueuedInterrupts(store);
        return this.interrupts;
      },
      onAttention: () => this.attentions++,
      ...more,
    });
    const { bytes, start } = this.vm.memory;
    this.ram = bytes.subarray(start, start + MIB);
    this.slot(0, 0, MIB, 0);
    this.vcpu = this.vm.createVcpu(0);
    this.ram.set(code, CODE);
    this.start(CODE);
  }

  /** `offset` in the VM's memory. */
  slot(
    id: number,
    gpa: number,
    sizeBytes: number,
    offset: number,
    { readonly = false, log = false } = {},
  ): void {
    const place = this.vm.memory.start + offset;
    this.vm.setMemorySlot({ id, gpa, sizeBytes, place, readonly, log });
  }

  /** Real mode, flat from 0, stack at 0x8000. */
  start(rip: number): void {
    this.change((record) => {
      record.registers.rip = BigInt(rip);
      record.registers.gpr[4] = 0x8000n;
      record.system.segments[1] = { ...record.system.segments[3]!, attributes: 0x9b };
    });
  }

  change(edit: (record: VcpuRecord) => void): void {
    const record = this.vcpu.getRecord();
    edit(record);
    this.vcpu.setRecord(record);
  }

  gpr(index: number): number {
    return Number(this.vcpu.getRecord().registers.gpr[index]);
  }

  /** Runs until something else than a budget or pause comes, at most `limit` times. */
  run(limit = 100): Exit {
    for (let i = 0; i < limit; i++) {
      const exit = this.vcpu.run();
      if (exit.kind !== 'intr') return exit;
    }
    throw new Error('the guest goes on and on');
  }
}
