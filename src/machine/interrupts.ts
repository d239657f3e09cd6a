import type { Clock } from '../base/clock.js';
import { type ApicDeliver, Ioapic } from '../chipset/ioapic/ioapic.js';
import { MsiDecoder } from '../chipset/ioapic/msi.js';
import { ApicBus } from '../chipset/lapic/apic-bus.js';
import { Lapic } from '../chipset/lapic/lapic.js';
import type { Pic8259Pair } from '../chipset/pic8259/pic8259.js';
import { TSC_HZ } from '../cpu/state/cpuid.js';
import type { TimerSource } from '../device/timer.js';
import type { InterruptModel, InterruptStore } from '../engine/engine.js';
import type { IoApicRecord, LocalApicRecord } from '../engine/records.js';

export interface InterruptsWiring {
  readonly vcpus: number;
  readonly clock: Clock;
  readonly timers: TimerSource;
  readonly store: InterruptStore;
}

/** Local APICs, IOAPIC and 8259 as the engine sees them: who has an interrupt for which vCPU. */
export class PcInterrupts implements InterruptModel {
  readonly ioApic: Ioapic;
  /** Told each vector that a vCPU takes. */
  onDelivery: (vcpu: number, vector: number, from: 'pic' | 'apic') => void = () => {};
  private readonly lapics: Lapic[] = [];
  private readonly bus = new ApicBus(this.lapics);
  private readonly msi: MsiDecoder;
  private pic: Pic8259Pair | undefined;

  constructor({ vcpus, clock, timers, store }: InterruptsWiring) {
    for (let id = 0; id < vcpus; id++) {
      this.lapics.push(
        new Lapic(
          store.lapicWords(id),
          { id, tscHz: TSC_HZ },
          {
            clock,
            timers,
            readTsc: () => store.readTsc(id),
            signal: (what) => store.signal(id, what),
            startUp: (vector) => store.startUp(id, vector),
            sendIpi: (...message) => this.bus.sendIpi(id, ...message),
            broadcastEoi: (vector) => this.ioApic.endOfInterrupt(vector),
          },
        ),
      );
    }
    const deliver: ApicDeliver = (...message) => this.bus.deliver(...message);
    this.ioApic = new Ioapic(store.ioapicWords, deliver);
    this.msi = new MsiDecoder(deliver);
  }

  /** Who gives the vector of an interrupt that comes by LINT0. */
  attachPic(pic: Pic8259Pair): void {
    this.pic = pic;
  }

  /** INTR of the 8259 pair. */
  setIntr(high: boolean): void {
    this.lapics[0]!.lint0.set(high);
  }

  acknowledge(vcpu: number): number {
    const lapic = this.lapics[vcpu]!;
    if (vcpu === 0 && this.pic?.pending === true && lapic.acceptsExtInt()) {
      const vector = this.pic.acknowledge();
      this.onDelivery(vcpu, vector, 'pic');
      return vector;
    }
    const vector = lapic.pendingVector();
    if (vector < 0) return -1;
    lapic.acknowledge(vector);
    this.onDelivery(vcpu, vector, 'apic');
    return vector;
  }

  lapicRead(vcpu: number, offset: number): number {
    return this.lapics[vcpu]!.read(offset);
  }

  lapicWrite(vcpu: number, offset: number, value: number): void {
    this.lapics[vcpu]!.write(offset, value);
  }

  msrRead(vcpu: number, index: number, half: 0 | 1): number {
    return this.lapics[vcpu]!.readMsr(index, half);
  }

  msrWrite(vcpu: number, index: number, low: number, high: number): boolean {
    return this.lapics[vcpu]!.writeMsr(index, low, high);
  }

  getLocalApic(vcpu: number): LocalApicRecord {
    return this.lapics[vcpu]!.save();
  }

  setLocalApic(vcpu: number, record: LocalApicRecord): void {
    this.lapics[vcpu]!.restore(record);
  }

  resetLocalApic(vcpu: number, kind: 'power-on' | 'init'): void {
    this.lapics[vcpu]!.reset(kind === 'init' ? 'warm' : 'power-on');
  }

  setIrqLine(gsi: number, high: boolean): void {
    this.ioApic.setPin(gsi, high);
  }

  sendMsi(address: number, data: number): void {
    this.msi.send(address, data);
  }

  getIoApic(): IoApicRecord {
    return this.ioApic.save();
  }

  setIoApic(record: IoApicRecord): void {
    this.ioApic.restore(record);
  }
}
