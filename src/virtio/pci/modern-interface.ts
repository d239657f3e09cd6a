import { allOnes } from '../../device/io.js';
import type { VirtioCore } from '../core/virtio-core.js';
import { common, NO_VECTOR, NOTIFY_MULTIPLIER, structures } from './registers.js';
import type { VirtioPciState } from './state.js';

type ModernState = Pick<
  VirtioPciState<unknown>,
  'deviceFeatureSelect' | 'driverFeatureSelect' | 'queueSelect' | 'configVector' | 'queueVectors'
>;

/**
 * The structures of VIRTIO 1 in their BAR. Fields are accessed in their own width, wide addresses by
 * halves [VIRTIO 4.1.3.1]; other accesses read all ones and are dropped.
 */
export class ModernInterface {
  queueSelect = 0;
  configVector = NO_VECTOR;
  readonly queueVectors: number[];
  private deviceFeatureSelect = 0;
  private driverFeatureSelect = 0;

  constructor(
    private readonly core: VirtioCore<unknown>,
    private readonly vectors: number,
  ) {
    this.queueVectors = Array(core.queueCount).fill(NO_VECTOR);
  }

  read(offset: number, width: 1 | 2 | 4): number {
    const { isr, device, notify } = structures;
    if (offset >= notify.offset) return 0;
    if (offset >= device.offset) return this.core.configRead(offset - device.offset, width);
    if (offset >= isr.offset) return offset === isr.offset ? this.takeIsr() : 0;
    const value = this.readCommon(offset, width);
    return value ?? allOnes(width);
  }

  /** Reading the interrupt status takes it. [VIRTIO 4.1.4.5] */
  takeIsr(): number {
    const pending = this.core.pendingInterrupts;
    if (pending !== 0) this.core.acknowledge(pending);
    return pending;
  }

  private readCommon(offset: number, width: 1 | 2 | 4): number | undefined {
    const { core } = this;
    if (width === 1) {
      if (offset === common.status) return core.status;
      return offset === common.generation ? core.generation & 0xff : undefined;
    }
    const slot = core.slot(this.queueSelect);
    if (width === 2) {
      switch (offset) {
        case common.configVector:
          return this.configVector;
        case common.queueCount:
          return core.queueCount;
        case common.queueSelect:
          return this.queueSelect;
        case common.queueSize:
          return slot?.size ?? 0;
        case common.queueVector:
          return this.queueVectors[this.queueSelect] ?? NO_VECTOR;
        case common.queueEnable:
          return slot?.enabled ? 1 : 0;
        case common.queueNotifyOffset:
          return slot === undefined ? 0 : this.queueSelect;
        case common.queueNotifyData:
          return slot === undefined ? 0 : this.queueSelect;
        // A queue's reset is over before the driver can look.
        case common.queueReset:
          return 0;
      }
      return undefined;
    }
    switch (offset) {
      case common.deviceFeatureSelect:
        return this.deviceFeatureSelect;
      case common.deviceFeature:
        return core.offered.word(this.deviceFeatureSelect);
      case common.driverFeatureSelect:
        return this.driverFeatureSelect;
      case common.driverFeature:
        return core.driverFeatures(this.driverFeatureSelect);
    }
    if (offset < common.queueAreas || offset >= common.queueAreasEnd) return undefined;
    return slot?.areas[(offset - common.queueAreas) / 4] ?? 0;
  }

  write(offset: number, width: 1 | 2 | 4, value: number): void {
    const { core } = this;
    const { isr, device, notify } = structures;
    if (offset >= notify.offset) {
      // With NOTIFICATION_DATA the value has the queue in its low half as well.
      const index = (offset - notify.offset) / NOTIFY_MULTIPLIER;
      if (Number.isInteger(index) && (value & 0xffff) === index) core.notified(index);
    } else if (offset >= device.offset) core.configWrite(offset - device.offset, width, value);
    else if (offset < isr.offset) this.writeCommon(offset, width, value);
  }

  private writeCommon(offset: number, width: 1 | 2 | 4, value: number): void {
    const { core } = this;
    if (width === 1) {
      if (offset === common.status) this.setStatus(value);
    } else if (width === 2) {
      switch (offset) {
        case common.configVector:
          this.configVector = this.vector(value);
          break;
        case common.queueSelect:
          this.queueSelect = value;
          break;
        case common.queueSize:
          core.setQueueSize(this.queueSelect, value);
          break;
        case common.queueVector:
          this.setQueueVector(value);
          break;
        case common.queueEnable:
          if (value === 1) core.enableQueue(this.queueSelect);
          break;
        case common.queueReset:
          if (value === 1) core.resetQueue(this.queueSelect);
      }
    } else if (offset >= common.queueAreas && offset < common.queueAreasEnd) {
      core.setQueueArea(this.queueSelect, (offset - common.queueAreas) / 4, value);
    } else if (offset === common.deviceFeatureSelect) this.deviceFeatureSelect = value;
    else if (offset === common.driverFeatureSelect) this.driverFeatureSelect = value;
    else if (offset === common.driverFeature) {
      core.setDriverFeatures(this.driverFeatureSelect, value);
    }
  }

  setStatus(value: number): void {
    if (value === 0) this.reset();
    this.core.setStatus(value);
  }

  /** A vector that is not there reads back as none. [VIRTIO 4.1.5.1.2] */
  vector(value: number): number {
    return value < this.vectors ? value : NO_VECTOR;
  }

  setQueueVector(value: number): void {
    if (this.queueSelect < this.queueVectors.length) {
      this.queueVectors[this.queueSelect] = this.vector(value);
    }
  }

  /** Registers of the transport; the core has its own. */
  reset(): void {
    this.deviceFeatureSelect = 0;
    this.driverFeatureSelect = 0;
    this.queueSelect = 0;
    this.configVector = NO_VECTOR;
    this.queueVectors.fill(NO_VECTOR);
  }

  save(): ModernState {
    const { deviceFeatureSelect, driverFeatureSelect, queueSelect, configVector } = this;
    const queueVectors = [...this.queueVectors];
    return { deviceFeatureSelect, driverFeatureSelect, queueSelect, configVector, queueVectors };
  }

  restore(state: ModernState): void {
    this.deviceFeatureSelect = state.deviceFeatureSelect;
    this.driverFeatureSelect = state.driverFeatureSelect;
    this.queueSelect = state.queueSelect;
    this.configVector = state.configVector;
    state.queueVectors.forEach((vector, index) => {
      this.queueVectors[index] = vector;
    });
  }
}
