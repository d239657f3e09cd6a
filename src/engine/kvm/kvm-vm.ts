import { availableParallelism } from 'node:os';
import type { CpuidEntry } from '../../cpu/state/cpuid.js';
import type { HostMemory, MemorySlot } from '../../memory/slot.js';
import {
  type Doorbell,
  type EngineChips,
  EngineError,
  type InterruptModel,
  type InterruptStore,
  type Vcpu,
  type Vm,
  type VmOptions,
} from '../engine.js';
import type { ChipRecords, IoApicRecord } from '../records.js';
import { checked, structure } from './arguments.js';
import { KvmDoorbells } from './doorbells.js';
import {
  ioApicFromKvm,
  ioApicToKvm,
  picFromKvm,
  picToKvm,
  pitFromKvm,
  pitTick,
  pitToKvm,
  stopPit,
} from './kvm-chips.js';
import type { KvmEngine } from './kvm-engine.js';
import { KvmSlots } from './kvm-slots.js';
import { KvmVcpu } from './kvm-vcpu.js';
import { EFD_CLOEXEC, EFD_NONBLOCK, MADV_HUGEPAGE, MAP_MEMORY } from './libc.js';
import * as r from './registers.js';

const HUGE_PAGE = 0x20_0000;
/** Three pages that a guest never sees, out of the way of RAM and firmware [KVM 4.35]. */
const TSS_ADDRESS = 0xfeff_d000;
const IDENTITY_MAP_ADDRESS = 0xfeff_c000n;
/** Inputs of the 8259 pair, and of the IOAPIC. */
const ISA_IRQS = 16;
const IOAPIC_PINS = 24;
/** The IOAPIC's input for the timer, whose own is the 8259's 0. */
const TIMER_PIN = 2;
const CASCADE = 2;
/** Longer than a device takes to answer; sleeping and waking costs about as much. */
const SPIN_NS = 20_000;

/** A virtual machine of the kernel's. */
export class KvmVm implements Vm {
  readonly memory: HostMemory;
  readonly cpuid: readonly CpuidEntry[];
  readonly chips?: EngineChips;
  readonly interrupts: InterruptModel;
  readonly fd: number;
  private readonly map: { address: bigint; sizeBytes: number };
  private readonly slots: KvmSlots;
  private readonly vcpus: KvmVcpu[] = [];
  /** Levels that the machine has put on inputs of the IOAPIC. */
  private lines = 0;
  /** The timer as it was when the guest's time was stopped. */
  private frozenPit: { bytes: Uint8Array; nowNs: bigint } | undefined;
  private doorbells: KvmDoorbells | undefined;
  private closed = false;

  constructor(
    readonly engine: KvmEngine,
    readonly options: VmOptions,
  ) {
    const { libc: c } = engine;
    const { memoryBytes, vcpus } = options;
    this.cpuid = options.cpuid ?? engine.cpuid(vcpus);
    this.fd = checked(c.ioctlNumber(engine.fd, r.ioctl.CREATE_VM, 0), 'one more virtual machine');
    const sizeBytes = memoryBytes + HUGE_PAGE;
    let mapped: { address: bigint; bytes: Uint8Array };
    try {
      mapped = c.mmap(sizeBytes, MAP_MEMORY, -1);
    } catch (cause) {
      c.close(this.fd);
      const mib = Math.ceil(memoryBytes / 2 ** 20);
      const message = `this host has no ${mib} MiB for the guest's memory`;
      throw new EngineError('limit', message, { cause });
    }
    const { address, bytes } = mapped;
    this.map = { address, sizeBytes };
    // Huge pages need the host's and the guest's addresses to agree in their low bits.
    const start = Number(BigInt.asUintN(21, -address));
    c.madvise(address + BigInt(start), memoryBytes, MADV_HUGEPAGE);
    this.memory = { bytes, start, end: start + memoryBytes };
    this.slots = new KvmSlots(c, this.fd, address);
    const ownChips = options.ownChips === true && engine.report.capabilities.IRQCHIP === 1;
    if (engine.report.capabilities.SET_TSS_ADDR) this.placeKernelPages();
    if (ownChips) {
      this.createChips();
      this.chips = {
        get: () => this.getChips(),
        set: (records) => this.setChips(records),
        freeze: () => this.freeze(),
        thaw: () => this.thaw(),
      };
    }
    this.interrupts = options.interrupts(ownChips ? nobody(vcpus) : this.store());
  }

  private ask(request: keyof typeof r.ioctl, argument: Uint8Array | number, what: string): number {
    const { libc: c } = this.engine;
    const number = r.ioctl[request];
    const isNumber = typeof argument === 'number';
    const answer = isNumber
      ? c.ioctlNumber(this.fd, number, argument)
      : c.ioctl(this.fd, number, argument);
    return checked(answer, what);
  }

  get tscKhz(): number {
    return this.engine.tscKhz;
  }

  /** Waiting by spinning helps only where the other side runs meanwhile. */
  get spinNs(): number {
    return availableParallelism() > 1 ? SPIN_NS : 0;
  }

  private placeKernelPages(): void {
    const at = structure(8, 0, IDENTITY_MAP_ADDRESS);
    this.ask('SET_IDENTITY_MAP_ADDR', at, 'a page for real mode');
    this.ask('SET_TSS_ADDR', TSS_ADDRESS, 'pages for real mode');
  }

  /** For controllers outside the kernel, which ask vCPUs to look at them. */
  private store(): InterruptStore {
    return {
      lapicWords: () => new Int32Array(1024),
      ioapicWords: new Int32Array(1024),
      signal: (index, what) => {
        const vcpu = this.vcpus[index];
        if (what === 'nmi') vcpu?.nmi();
        else if (what === 'interrupt') vcpu?.interruptChanged();
      },
      readTsc: (index) => Number(this.vcpus[index]?.readTsc() ?? 0n),
      startUp() {},
    };
  }

  createVcpu(index: number): Vcpu {
    const vcpu = new KvmVcpu(this, index);
    this.vcpus[index] = vcpu;
    return vcpu;
  }

  setMemorySlot(slot: MemorySlot): void {
    this.holdVcpus();
    this.slots.set(slot);
  }

  dirtyPages(slotId: number): Uint32Array {
    return this.slots.takeDirty(slotId);
  }

  memoryWritten(_gpa: number, place: number, length: number): void {
    this.slots.written(place, length);
  }

  setA20(open: boolean): void {
    this.holdVcpus();
    this.slots.setA20(open);
  }

  /** Between two slots there is nothing for a moment, which no vCPU may see. */
  private holdVcpus(): void {
    for (const vcpu of this.vcpus) vcpu?.hold();
  }

  // Interrupts.

  private createChips(): void {
    this.ask('CREATE_IRQCHIP', 0, 'interrupt controllers');
    this.ask('CREATE_PIT2', structure(r.sizeOf.pit_config, 0, r.pit.SPEAKER_DUMMY), 'a timer');
    // Ticks that a guest was too late for are lost, as they are with our own 8254.
    this.ask('REINJECT_CONTROL', structure(r.sizeOf.reinject_control), 'a timer');
    this.setRouting();
  }

  /** Messages at inputs beyond the IOAPIC's. */
  private readonly messages = new Map<number, { address: number; data: number }>();

  /** Which inputs lead where: the timer to 0 of the 8259 and 2 of the IOAPIC, the others alike to both. */
  private setRouting(): void {
    const { gsi: gsiAt, type, irqchip, pin: pinAt, msi, TYPE_IRQCHIP, TYPE_MSI } = r.routing;
    const entry = (gsi: number, kind: number, ...fields: number[]) =>
      structure(r.sizeOf.irq_routing_entry, gsiAt, gsi, type, kind, ...fields);
    const chip = (gsi: number, which: number, pin: number) =>
      entry(gsi, TYPE_IRQCHIP, irqchip, which, pinAt, pin);
    const entries: Uint8Array[] = [];
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      if (pin !== 0) entries.push(chip(pin === TIMER_PIN ? 0 : pin, r.irqchip.IOAPIC, pin));
      if (pin < ISA_IRQS && pin !== CASCADE) entries.push(chip(pin, pin >> 3, pin & 7));
    }
    for (const [gsi, { address, data }] of this.messages) {
      const high = Math.floor(address / 2 ** 32);
      const where = [msi.address_lo, address, msi.address_hi, high, msi.data, data];
      entries.push(entry(gsi, TYPE_MSI, ...where));
    }
    const head = structure(r.sizeOf.irq_routing, r.routing.nr, entries.length);
    const table = new Uint8Array(head.length + entries.length * r.sizeOf.irq_routing_entry);
    table.set(head);
    entries.forEach((one, i) => {
      table.set(one, head.length + i * one.length);
    });
    this.ask('SET_GSI_ROUTING', table, 'the routing of interrupts');
  }

  setIrqLine(gsi: number, high: boolean): void {
    if (this.chips === undefined) {
      this.interrupts.setIrqLine(gsi, high);
      return;
    }
    this.lines = high ? this.lines | (1 << gsi) : this.lines & ~(1 << gsi);
    const { irq, level } = r.irqLevel;
    const input = gsi === TIMER_PIN ? 0 : gsi;
    const line = structure(r.sizeOf.irq_level, irq, input, level, high ? 1 : 0);
    this.ask('IRQ_LINE', line, 'an interrupt');
  }

  sendMsi(address: number, data: number): void {
    if (this.chips === undefined) {
      this.interrupts.sendMsi(address, data);
      return;
    }
    const { address_lo, address_hi, data: at } = r.msi;
    const high = Math.floor(address / 2 ** 32);
    const message = structure(r.sizeOf.msi, address_lo, address, address_hi, high, at, data);
    // 0 and an error for a message that nobody takes are the guest's business.
    this.engine.libc.ioctl(this.fd, r.ioctl.SIGNAL_MSI, message);
  }

  coalesce(space: 'port' | 'mmio', address: number, sizeBytes: number): void {
    const { COALESCED_PIO, COALESCED_MMIO } = this.engine.report.capabilities;
    if (!(space === 'port' ? COALESCED_PIO : COALESCED_MMIO)) return;
    const { addr, size, pio } = r.coalescedZone;
    const isPort = space === 'port' ? 1 : 0;
    const fields = [addr, BigInt(address), size, sizeBytes, pio, isPort];
    const zone = structure(r.sizeOf.coalesced_mmio_zone, ...fields);
    this.ask('REGISTER_COALESCED_MMIO', zone, 'writes that are kept back');
  }

  doorbell(bell: Doorbell, ring: () => void): () => void {
    this.doorbells ??= new KvmDoorbells(this.engine.libc, this.fd);
    return this.doorbells.add(bell, ring);
  }

  /** Doorbells that were rung while this thread did other things. */
  answerDoorbells(): void {
    this.doorbells?.deliver();
  }

  /**
   * An eventfd that sends a message: for threads and processes that do a device's work. Needs
   * {@link chips}. Throws EngineError.
   */
  interruptFd(address: number, data: number): { readonly fd: number; close(): void } {
    const { libc: c } = this.engine;
    let gsi = IOAPIC_PINS;
    while (this.messages.has(gsi)) gsi++;
    this.messages.set(gsi, { address, data });
    this.setRouting();
    const fd = checked(c.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), 'an eventfd');
    const assign = (flags: number) => {
      const fields = [r.irqfd.fd, fd, r.irqfd.gsi, gsi, r.irqfd.flags, flags];
      this.ask('IRQFD', structure(r.sizeOf.irqfd, ...fields), 'an interrupt by eventfd');
    };
    assign(0);
    return {
      fd,
      close: () => {
        if (this.closed || !this.messages.delete(gsi)) return;
        assign(r.irqfd.DEASSIGN);
        this.setRouting();
        c.close(fd);
      },
    };
  }

  getIoApic(): IoApicRecord {
    if (this.chips === undefined) return this.interrupts.getIoApic();
    return ioApicFromKvm(this.getIrqchip(r.irqchip.IOAPIC), this.lines);
  }

  setIoApic(record: IoApicRecord): void {
    if (this.chips === undefined) {
      this.interrupts.setIoApic(record);
      return;
    }
    this.lines = record.lines;
    this.setIrqchip((view) => ioApicToKvm(view, record));
  }

  private getChips(): ChipRecords {
    const tick = pitTick(this.options.clock.nowNs());
    const { bytes, nowNs } = this.frozenPit ?? this.readPit();
    return {
      pic: {
        master: picFromKvm(this.getIrqchip(r.irqchip.PIC_MASTER)),
        slave: picFromKvm(this.getIrqchip(r.irqchip.PIC_SLAVE)),
      },
      pit: pitFromKvm(new DataView(bytes.buffer), tick, nowNs),
      ioApic: this.getIoApic(),
    };
  }

  private setChips({ pic, pit, ioApic }: ChipRecords): void {
    [pic.master, pic.slave].forEach((chip, i) => {
      this.setIrqchip((view) => picToKvm(view, i as 0 | 1, chip));
    });
    this.setIoApic(ioApic);
    const timer = new Uint8Array(r.sizeOf.pit_state2);
    pitToKvm(new DataView(timer.buffer), pit);
    this.frozenPit = undefined;
    this.ask('SET_PIT2', timer, 'the timer');
  }

  /** The host's monotonic clock is what the kernel counts by. */
  private readPit(): { bytes: Uint8Array; nowNs: bigint } {
    const bytes = new Uint8Array(r.sizeOf.pit_state2);
    this.ask('GET_PIT2', bytes, 'the timer');
    return { bytes, nowNs: process.hrtime.bigint() };
  }

  private freeze(): void {
    if (this.closed) return;
    this.doorbells?.ringAll();
    for (const vcpu of this.vcpus) vcpu.freeze();
    this.frozenPit = this.readPit();
    const stopped = this.frozenPit.bytes.slice();
    stopPit(new DataView(stopped.buffer));
    this.ask('SET_PIT2', stopped, 'the timer');
  }

  private thaw(): void {
    if (this.frozenPit !== undefined) this.ask('SET_PIT2', this.frozenPit.bytes, 'the timer');
    this.frozenPit = undefined;
    for (const vcpu of this.vcpus) vcpu.thaw();
  }

  private getIrqchip(chip: number): DataView {
    const state = structure(r.sizeOf.irqchip, r.irqchip.chip_id, chip);
    this.ask('GET_IRQCHIP', state, 'a controller’s state');
    return new DataView(state.buffer);
  }

  private setIrqchip(fill: (view: DataView) => void): void {
    const state = structure(r.sizeOf.irqchip);
    fill(new DataView(state.buffer));
    this.ask('SET_IRQCHIP', state, 'a controller’s state');
  }

  /** Memory is given back, its addresses are not: a view that somebody kept reads zeroes. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    const { libc: c } = this.engine;
    this.doorbells?.close();
    for (const vcpu of this.vcpus) vcpu?.close();
    c.close(this.fd);
    c.unmap(this.map.address, this.map.sizeBytes);
  }
}

/** Controllers that nobody asks: the kernel has its own. */
function nobody(vcpus: number): InterruptStore {
  const lapics = Array.from({ length: vcpus }, () => new Int32Array(1024));
  return {
    lapicWords: (vcpu) => lapics[vcpu]!,
    ioapicWords: new Int32Array(1024),
    signal() {},
    readTsc: () => 0,
    startUp() {},
  };
}
