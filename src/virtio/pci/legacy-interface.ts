import { allOnes } from '../../device/io.js';
import { LEGACY_PAGE } from '../core/registers.js';
import type { VirtioCore } from '../core/virtio-core.js';
import type { ModernInterface } from './modern-interface.js';
import { legacy, NO_VECTOR } from './registers.js';

/** The registers of before VIRTIO 1.0, for old drivers, in an I/O BAR. [VIRTIO 4.1.4.10] */
export class LegacyInterface {
  constructor(
    private readonly core: VirtioCore<unknown>,
    /** Has the registers that both interfaces show. */
    private readonly shared: ModernInterface,
    private readonly hasMsix: () => boolean,
  ) {}

  private get deviceAt(): number {
    return this.hasMsix() ? legacy.deviceWithMsix : legacy.device;
  }

  read(offset: number, width: 1 | 2 | 4): number {
    const { core, shared } = this;
    if (offset >= this.deviceAt) return core.configRead(offset - this.deviceAt, width);
    const slot = core.slot(shared.queueSelect);
    switch (offset * 8 + width) {
      case legacy.deviceFeatures * 8 + 4:
        return core.offered.low;
      case legacy.driverFeatures * 8 + 4:
        return core.driverFeatures(0);
      case legacy.queuePage * 8 + 4:
        return slot?.enabled ? this.page(slot.areas) : 0;
      case legacy.queueSize * 8 + 2:
        return slot?.size ?? 0;
      case legacy.queueSelect * 8 + 2:
        return shared.queueSelect;
      case legacy.queueNotify * 8 + 2:
        return 0;
      case legacy.status * 8 + 1:
        return core.status;
      case legacy.isr * 8 + 1:
        return shared.takeIsr();
      case legacy.configVector * 8 + 2:
        return shared.configVector;
      case legacy.queueVector * 8 + 2:
        return shared.queueVectors[shared.queueSelect] ?? NO_VECTOR;
    }
    return allOnes(width);
  }

  private page([low, high]: Uint32Array): number {
    return Math.floor((low! + high! * 2 ** 32) / LEGACY_PAGE) % 2 ** 32;
  }

  write(offset: number, width: 1 | 2 | 4, value: number): void {
    const { core, shared } = this;
    if (offset >= this.deviceAt) {
      core.configWrite(offset - this.deviceAt, width, value);
      return;
    }
    switch (offset * 8 + width) {
      case legacy.driverFeatures * 8 + 4:
        core.setDriverFeatures(0, value);
        break;
      case legacy.queuePage * 8 + 4:
        core.setLegacyPage(shared.queueSelect, value);
        break;
      case legacy.queueSelect * 8 + 2:
        shared.queueSelect = value;
        break;
      case legacy.queueNotify * 8 + 2:
        core.legacyNotified(value);
        break;
      case legacy.status * 8 + 1:
        shared.setStatus(value);
        break;
      case legacy.configVector * 8 + 2:
        shared.configVector = shared.vector(value);
        break;
      case legacy.queueVector * 8 + 2:
        shared.setQueueVector(value);
    }
  }
}
