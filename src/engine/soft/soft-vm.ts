import type { Clock } from '../../base/clock.js';
import type { DecodeTables } from '../../cpu/interp/decode-block.js';
import { type CpuidEntry, defaultCpuid, encodeCpuid } from '../../cpu/state/cpuid.js';
import * as layout from '../../cpu/state/layout.js';
import type { HostMemory, MemorySlot } from '../../memory/slot.js';
import { EngineError, type InterruptModel, type Vcpu, type Vm, type VmOptions } from '../engine.js';
import type { IoApicRecord } from '../records.js';
import { PhysicalMap } from './physical-map.js';
import type { SoftCode, WasmMemory } from './soft-code.js';
import type { SoftOptions } from './soft-engine.js';
import { SoftVcpu } from './soft-vcpu.js';

const WASM_PAGE = 0x1_0000;
/** IA32_APIC_BASE: the APIC is on, in the mode that has a page in memory. */
const APIC_ENABLED = 1 << 11;
const APIC_X2 = 1 << 10;
const SHARED_WORDS = 1024;

/** The memory that all vCPUs share, its slots, and the interrupt controllers. */
export class SoftVm implements Vm {
  readonly memory: HostMemory;
  readonly cpuid: readonly CpuidEntry[];
  readonly wasmMemory: WasmMemory;
  readonly interrupts: InterruptModel;
  readonly clock: Clock;
  readonly randomU32: () => number;
  /** CPUID leaf 1, EAX. */
  readonly signature: number;
  private readonly map: PhysicalMap;
  private readonly words: Int32Array;
  /** The areas of all vCPUs. */
  private readonly vcpuWords: Int32Array;
  /** Those that run on this thread. */
  private readonly vcpus: SoftVcpu[] = [];
  private apicGpa: number | undefined;

  get vcpuCount(): number {
    return this.options.vcpus;
  }

  constructor(
    private readonly code: SoftCode,
    /** The instruction decoder's, the same for all vCPUs. */
    readonly tables: DecodeTables,
    private readonly options: VmOptions,
    /** Null: everything is interpreted. */
    readonly jit: SoftOptions | null,
  ) {
    const { vcpus, memoryBytes } = options;
    const start = layout.VCPU_AREA + vcpus * layout.VCPU_STRIDE;
    const pages = Math.ceil((start + memoryBytes) / WASM_PAGE);
    try {
      this.wasmMemory = code.createMemory(pages);
    } catch (cause) {
      const mib = Math.ceil(memoryBytes / 2 ** 20);
      throw new EngineError('limit', `this host has no ${mib} MiB for the guest's memory`, {
        cause,
      });
    }
    const { buffer } = this.wasmMemory;
    const bytes = new Uint8Array(buffer);
    this.memory = { bytes, start, end: start + memoryBytes };
    this.clock = options.clock;
    this.randomU32 = options.randomU32;
    this.map = new PhysicalMap(buffer);
    this.words = new Int32Array(buffer, layout.VM_SHARED, SHARED_WORDS * 2);
    this.vcpuWords = new Int32Array(buffer, layout.VCPU_AREA, (vcpus * layout.VCPU_STRIDE) / 4);
    this.words[(layout.VM_VCPUS - layout.VM_SHARED) / 4] = vcpus;
    this.cpuid = options.cpuid ?? defaultCpuid(vcpus);
    bytes.set(encodeCpuid(this.cpuid), layout.VM_CPUID);
    this.signature = this.cpuid.find(({ leaf }) => leaf === 1)!.eax;
    this.interrupts = options.interrupts({
      lapicWords: (vcpu) =>
        new Int32Array(
          buffer,
          layout.VCPU_AREA + vcpu * layout.VCPU_STRIDE + layout.LAPIC,
          SHARED_WORDS,
        ),
      ioapicWords: new Int32Array(buffer, layout.VM_IOAPIC, SHARED_WORDS),
      signal: (vcpu, what) => {
        if (what === 'init') this.interrupts.resetLocalApic(vcpu, 'init');
        this.attend(vcpu, ATTENTION_OF[what]);
      },
      readTsc: (vcpu) => this.vcpus[vcpu]?.readTsc() ?? 0,
      startUp: (vcpu, vector) => {
        Atomics.store(this.vcpuWords, this.wordOf(vcpu, layout.SIPI_VECTOR), vector);
        this.attend(vcpu, layout.ATT_SIPI);
      },
    });
    this.setA20(true);
    jit?.trace?.onAsk?.(() => {
      for (const vcpu of this.vcpus) vcpu.showStatistics();
    });
  }

  createVcpu(index: number): Vcpu {
    const vcpu = new SoftVcpu(this, index, this.code);
    this.vcpus[index] = vcpu;
    return vcpu;
  }

  /**
   * Sets bits of the word that a vCPU's generated code looks at; the vCPU may be another thread's,
   * which may sleep on that word.
   */
  attend(vcpu: number, bits: number): void {
    const word = this.wordOf(vcpu, layout.ATTENTION);
    Atomics.or(this.vcpuWords, word, bits);
    Atomics.notify(this.vcpuWords, word);
    this.options.onAttention(vcpu);
  }

  private wordOf(vcpu: number, offset: number): number {
    return (vcpu * layout.VCPU_STRIDE + offset) / 4;
  }

  setMemorySlot(slot: MemorySlot): void {
    this.map.set(slot);
    this.flush();
  }

  dirtyPages(slotId: number): Uint32Array {
    const dirty = this.map.takeDirty(slotId);
    // Pages that vCPUs may write without a look at the map.
    if (dirty.length > 0) this.flush();
    return dirty;
  }

  memoryWritten(gpa: number, place: number, length: number): void {
    if (!this.map.written(gpa, place, length)) return;
    for (let i = 0; i < this.options.vcpus; i++) this.attend(i, layout.ATT_CODE);
  }

  setA20(open: boolean): void {
    Atomics.store(this.words, (layout.VM_A20 - layout.VM_SHARED) / 4, open ? 1 : 0);
    this.flush();
  }

  setIrqLine(gsi: number, high: boolean): void {
    this.interrupts.setIrqLine(gsi, high);
  }

  sendMsi(address: number, data: number): void {
    this.interrupts.sendMsi(address, data);
  }

  getIoApic(): IoApicRecord {
    return this.interrupts.getIoApic();
  }

  setIoApic(record: IoApicRecord): void {
    this.interrupts.setIoApic(record);
  }

  /** The page of the local APICs follows IA32_APIC_BASE of whoever wrote it last. */
  placeApic(low: number, high: number): void {
    const hasPage = (low & (APIC_ENABLED | APIC_X2)) === APIC_ENABLED;
    const gpa = hasPage ? high * 2 ** 32 + ((low & 0xffff_f000) >>> 0) : undefined;
    if (gpa === this.apicGpa) return;
    this.map.moveApic(this.apicGpa, gpa);
    this.apicGpa = gpa;
    this.flush();
  }

  close(): void {
    for (const vcpu of this.vcpus) vcpu.close();
  }

  private flush(): void {
    for (let i = 0; i < this.options.vcpus; i++) this.attend(i, layout.ATT_FLUSH);
  }
}

const ATTENTION_OF = {
  interrupt: layout.ATT_INTERRUPT,
  nmi: layout.ATT_NMI,
  init: layout.ATT_INIT,
} as const;
