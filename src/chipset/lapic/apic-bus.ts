import type { Lapic } from './lapic.js';
import { delivery, shorthand } from './registers.js';

/** Carries messages of IOAPIC, MSI and IPIs to the local APICs they are for. [SDM 3A 11.6.2] */
export class ApicBus {
  constructor(private readonly lapics: readonly Lapic[]) {}

  /** `dest` is 8 bits from xAPIC, IOAPIC and MSI, 32 from x2APIC. False: nobody took it. */
  deliver(
    dest: number,
    logical: boolean,
    deliveryMode: number,
    vector: number,
    level: boolean,
  ): boolean {
    if (deliveryMode === delivery.lowest) return this.deliverLowest(dest, logical, vector, level);
    let taken = false;
    for (const lapic of this.lapics) {
      if (lapic.matches(dest, logical)) taken = lapic.deliver(deliveryMode, vector, level) || taken;
    }
    return taken;
  }

  /** What {@link Lapic} number `from` sends; the shorthand goes before the destination. */
  sendIpi(
    from: number,
    target: number,
    dest: number,
    logical: boolean,
    deliveryMode: number,
    vector: number,
    level: boolean,
  ): void {
    if (target === shorthand.none) {
      this.deliver(dest, logical, deliveryMode, vector, level);
      return;
    }
    this.lapics.forEach((lapic, index) => {
      if (index !== from || target === shorthand.all) lapic.deliver(deliveryMode, vector, level);
    });
  }

  private deliverLowest(dest: number, logical: boolean, vector: number, level: boolean): boolean {
    let chosen: Lapic | undefined;
    for (const lapic of this.lapics) {
      if (!lapic.matches(dest, logical)) continue;
      if (chosen === undefined || lapic.ppr < chosen.ppr) chosen = lapic;
    }
    return chosen?.accept(vector, level) ?? false;
  }
}
