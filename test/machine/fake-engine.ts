import type {
  Engine,
  Exit,
  InlineBus,
  InterruptModel,
  Vcpu,
  Vm,
  VmOptions,
} from '#src/engine/engine.js';
import type { VcpuRecord } from '#src/engine/records.js';
import { resetRecord } from '#src/engine/reset-record.js';
import type { MemorySlot } from '#src/memory/slot.js';

const PAGE = 4096;

const empty: VcpuRecord = {
  ...resetRecord('power-on', 0, true, {} as VcpuRecord),
};

/** An engine whose guest is a function: it gets the bus, and answers the exit. */
export class FakeEngine implements Engine {
  readonly name = 'soft';
  readonly maxVcpus = 1;
  readonly maxMemoryBytes = 64 << 20;
  vm!: FakeVm;

  constructor(readonly guest: (bus: InlineBus, vcpu: FakeVcpu) => Exit) {}

  cpuid() {
    return [];
  }

  createVm(options: VmOptions): Vm {
    this.vm = new FakeVm(this, options);
    return this.vm;
  }
}

export class FakeVm implements Vm {
  readonly memory;
  readonly cpuid = [];
  readonly interrupts: InterruptModel;
  readonly slots = new Map<number, MemorySlot>();
  a20 = true;
  vcpu!: FakeVcpu;

  constructor(
    readonly engine: FakeEngine,
    readonly options: VmOptions,
  ) {
    const bytes = new Uint8Array(options.memoryBytes + PAGE);
    this.memory = { bytes, start: PAGE, end: bytes.length };
    const lapic = new Int32Array(1024);
    this.interrupts = options.interrupts({
      lapicWords: () => lapic,
      ioapicWords: new Int32Array(1024),
      signal: () => this.vcpu?.interruptChanged(),
      readTsc: () => options.clock.nowNs(),
      startUp() {},
    });
  }

  setMemorySlot(slot: MemorySlot): void {
    if (slot.sizeBytes === 0) this.slots.delete(slot.id);
    else this.slots.set(slot.id, slot);
  }
  dirtyPages(): Uint32Array {
    return new Uint32Array(0);
  }
  memoryWritten(): void {}
  setA20(open: boolean): void {
    this.a20 = open;
  }
  setIrqLine(gsi: number, high: boolean): void {
    this.interrupts.setIrqLine(gsi, high);
  }
  sendMsi(address: number, data: number): void {
    this.interrupts.sendMsi(address, data);
  }
  getIoApic() {
    return this.interrupts.getIoApic();
  }
  setIoApic(record: ReturnType<InterruptModel['getIoApic']>): void {
    this.interrupts.setIoApic(record);
  }
  createVcpu(index: number): Vcpu {
    this.vcpu = new FakeVcpu(this, index);
    return this.vcpu;
  }
  close(): void {}
}

export class FakeVcpu implements Vcpu {
  record = empty;
  runs = 0;
  private bus!: InlineBus;

  constructor(
    readonly vm: FakeVm,
    readonly index: number,
  ) {}

  run(): Exit {
    this.runs++;
    return this.vm.engine.guest(this.bus, this);
  }
  requestPause(): void {
    this.vm.options.onAttention(this.index);
  }
  attachBus(bus: InlineBus): void {
    this.bus = bus;
  }
  interruptChanged(): void {
    this.vm.options.onAttention(this.index);
  }
  nmi(): void {}
  reset(kind: 'power-on' | 'init'): void {
    this.vm.interrupts.resetLocalApic(this.index, kind);
    this.record = resetRecord(kind, 0, true, this.record);
  }
  getRecord(): VcpuRecord {
    return this.record;
  }
  setRecord(record: VcpuRecord): void {
    this.record = record;
  }
  getLocalApic() {
    return this.vm.interrupts.getLocalApic(this.index);
  }
  setLocalApic(record: ReturnType<InterruptModel['getLocalApic']>): void {
    this.vm.interrupts.setLocalApic(this.index, record);
  }
}
