import type { MsiSink } from '../../device/irq.js';
import type { ApicDeliver } from './ioapic.js';
import { msi } from './registers.js';

/** Message-signalled interrupts as local APICs see them. [SDM 3A 11.11] */
export class MsiDecoder implements MsiSink {
  constructor(private readonly deliver: ApicDeliver) {}

  /** What is not an interrupt message goes nowhere. */
  send(address: number, data: number): void {
    if (Math.floor(address / 2 ** 20) !== msi.base) return;
    const level = (data & msi.level) !== 0;
    if (level && (data & msi.assert) === 0) return;
    this.deliver(
      (address >>> msi.destShift) & 0xff,
      (address & msi.logical) !== 0,
      (data >>> msi.deliveryModeShift) & 7,
      data & msi.vector,
      level,
    );
  }
}
