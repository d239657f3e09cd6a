import type { Log } from '../../base/log.js';
import type { Device } from '../../device/device.js';
import type { Dma } from '../../device/dma.js';
import { allOnes, type IoFace, type IoRegion } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import { VirtioCore } from '../core/virtio-core.js';
import type { VirtioType } from '../core/virtio-type.js';
import { MAGIC, MMIO_BYTES, mmio, VENDOR, VERSION } from './registers.js';
import { type VirtioMmioState, virtioMmioCodec } from './state.js';

export interface VirtioMmioWiring {
  readonly dma: Dma;
  readonly log: Log;
  readonly later?: ((callback: () => void) => void) | undefined;
  /** High while an interrupt is not acknowledged. */
  readonly irq: IrqLine;
}

export interface VirtioMmioOptions {
  readonly base: number;
  /** Feature bits that are not offered. */
  readonly withheld?: readonly number[];
  /** In logs and snapshots, where a machine has several of a type. */
  readonly name?: string;
}

/** A virtio device at an address that the guest is told of. [VIRTIO 4.2] */
export class VirtioMmio<S> implements Device<VirtioMmioState<S>>, IoFace {
  readonly name: string;
  readonly io = this;
  readonly regions: readonly IoRegion[];
  readonly stateVersion: number;
  readonly stateCodec;
  readonly core: VirtioCore<S>;

  // Guest-visible state.
  private deviceFeaturesSelect = 0;
  private driverFeaturesSelect = 0;
  private queueSelect = 0;

  constructor(
    private readonly type: VirtioType<S>,
    { dma, log, later, irq }: VirtioMmioWiring,
    { base, withheld = [], name = `virtio-${type.name}` }: VirtioMmioOptions,
  ) {
    this.name = name;
    this.regions = [{ name: 'mmio', space: 'mmio', sizeBytes: MMIO_BYTES, base }];
    const drive = () => irq.set(this.core.pendingInterrupts !== 0);
    const wiring = { dma, log, later, interrupt: drive, acknowledged: drive };
    this.core = new VirtioCore(type, wiring, { withheld });
    this.stateVersion = type.stateVersion;
    this.stateCodec = virtioMmioCodec(this.core.codec);
  }

  read(_region: number, offset: number, width: 1 | 2 | 4): number {
    const { core } = this;
    if (offset >= mmio.config) return core.configRead(offset - mmio.config, width);
    if (width !== 4) return allOnes(width);
    const slot = core.slot(this.queueSelect);
    switch (offset) {
      case mmio.magic:
        return MAGIC;
      case mmio.version:
        return VERSION;
      case mmio.deviceId:
        return this.type.deviceId;
      case mmio.vendorId:
        return VENDOR;
      case mmio.deviceFeatures:
        return core.offered.word(this.deviceFeaturesSelect);
      case mmio.queueSizeMax:
        return slot?.maxSize ?? 0;
      case mmio.queueReady:
        return slot?.enabled ? 1 : 0;
      case mmio.interruptStatus:
        return core.pendingInterrupts;
      case mmio.status:
        return core.status;
      case mmio.generation:
        return core.generation;
    }
    // No shared memory: its length and base are all ones. [VIRTIO 4.2.2]
    return offset >= mmio.sharedLength && offset <= mmio.sharedBaseHigh ? 0xffff_ffff : 0;
  }

  write(_region: number, offset: number, width: 1 | 2 | 4, value: number): void {
    const { core, queueSelect } = this;
    if (offset >= mmio.config) core.configWrite(offset - mmio.config, width, value);
    if (offset >= mmio.config || width !== 4) return;
    switch (offset) {
      case mmio.deviceFeaturesSelect:
        this.deviceFeaturesSelect = value;
        break;
      case mmio.driverFeatures:
        core.setDriverFeatures(this.driverFeaturesSelect, value);
        break;
      case mmio.driverFeaturesSelect:
        this.driverFeaturesSelect = value;
        break;
      case mmio.queueSelect:
        this.queueSelect = value;
        break;
      case mmio.queueSize:
        core.setQueueSize(queueSelect, value);
        break;
      case mmio.queueReady:
        if (value === 1) core.enableQueue(queueSelect);
        else if (value === 0) core.disableQueue(queueSelect);
        break;
      case mmio.queueNotify:
        // With NOTIFICATION_DATA the high half says where the driver is.
        core.notified(value & 0xffff);
        break;
      case mmio.interruptAck:
        core.acknowledge(value & 3);
        break;
      case mmio.status:
        if (value === 0) this.clear();
        core.setStatus(value & 0xff);
        break;
      case mmio.queueReset:
        if (value === 1) core.resetQueue(queueSelect);
        break;
      default:
        this.writeArea(offset, value);
    }
  }

  private writeArea(offset: number, value: number): void {
    const areas = [mmio.queueDescriptors, mmio.queueDriver, mmio.queueDevice];
    const area = areas.findIndex((at) => offset === at || offset === at + 4);
    if (area >= 0) {
      this.core.setQueueArea(this.queueSelect, 2 * area + (offset & 4) / 4, value);
    }
  }

  private clear(): void {
    this.deviceFeaturesSelect = 0;
    this.driverFeaturesSelect = 0;
    this.queueSelect = 0;
  }

  reset(): void {
    this.clear();
    this.core.reset();
  }

  save(): VirtioMmioState<S> {
    const { deviceFeaturesSelect, driverFeaturesSelect, queueSelect } = this;
    return { deviceFeaturesSelect, driverFeaturesSelect, queueSelect, core: this.core.save() };
  }

  restore(state: VirtioMmioState<S>): void {
    this.deviceFeaturesSelect = state.deviceFeaturesSelect;
    this.driverFeaturesSelect = state.driverFeaturesSelect;
    this.queueSelect = state.queueSelect;
    this.core.restore(state.core);
  }
}
