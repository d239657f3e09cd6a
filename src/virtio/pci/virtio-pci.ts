import type { Log } from '../../base/log.js';
import type { Device } from '../../device/device.js';
import type { Dma } from '../../device/dma.js';
import { allOnes, type IoFace, type IoRegion } from '../../device/io.js';
import type { IrqLine, MsiSink } from '../../device/irq.js';
import type { PciFace } from '../../device/pci.js';
import { PciConfigSpace } from '../../device/pci-config.js';
import { VirtioCore } from '../core/virtio-core.js';
import type { VirtioType } from '../core/virtio-type.js';
import { LegacyInterface } from './legacy-interface.js';
import { ModernInterface } from './modern-interface.js';
import { Msix, msixControl, PENDING_OFFSET } from './msix.js';
import * as r from './registers.js';
import { type VirtioPciState, virtioPciCodec } from './state.js';

export interface VirtioPciWiring {
  readonly dma: Dma;
  readonly log: Log;
  readonly later?: ((callback: () => void) => void) | undefined;
  readonly msi: MsiSink;
  /** INTA#. */
  readonly intx: IrqLine;
  /** A region decodes at `base` now, or nowhere. */
  readonly regionMoved: (region: number, base: number | undefined) => void;
}

export interface VirtioPciOptions {
  /** Without the legacy interface, and with the device ids of VIRTIO 1. */
  readonly modernOnly?: boolean;
  /** Feature bits that are not offered, of the type's own and of all devices'. */
  readonly withheld?: readonly number[];
  /** In logs and snapshots, where a machine has several of a type. */
  readonly name?: string;
}

enum Region {
  Msix = 0,
  Modern = 1,
  Legacy = 2,
}
const barOfRegion = [r.bars.msix, r.bars.modern, r.bars.legacy] as const;

/** A virtio device as a PCI function, transitional unless asked otherwise. [VIRTIO 4.1] */
export class VirtioPci<S> implements Device<VirtioPciState<S>>, IoFace, PciFace {
  readonly name: string;
  readonly io = this;
  readonly pci = this;
  readonly regions: readonly IoRegion[];
  readonly stateVersion: number;
  readonly stateCodec;
  readonly core: VirtioCore<S>;
  private readonly config: PciConfigSpace;
  private readonly msix: Msix;
  private readonly modern: ModernInterface;
  private readonly legacy: LegacyInterface;
  private readonly msixAt: number;
  private readonly windowAt: number;

  constructor(
    type: VirtioType<S>,
    wiring: VirtioPciWiring,
    { modernOnly = false, withheld = [], name = `virtio-${type.name}` }: VirtioPciOptions = {},
  ) {
    const queues = type.queueSizes.length;
    const legacyBytes = 2 ** Math.ceil(Math.log2(24 + type.config.length));
    this.name = name;
    this.regions = [
      { name: 'msix', space: 'mmio', sizeBytes: r.MSIX_BYTES, base: 0 },
      { name: 'modern', space: 'mmio', sizeBytes: r.MODERN_BYTES, base: 0 },
      { name: 'legacy', space: 'port', sizeBytes: legacyBytes, base: 0 },
    ].slice(0, modernOnly ? 2 : 3) as IoRegion[];
    const transitional = r.transitionalDeviceId[type.deviceId] ?? 0;
    this.config = new PciConfigSpace(
      {
        vendorId: r.VENDOR_ID,
        deviceId: modernOnly ? r.MODERN_DEVICE_ID + type.deviceId : transitional,
        revision: modernOnly ? 1 : 0,
        classCode: type.classCode,
        subsystemVendorId: r.VENDOR_ID,
        subsystemId: modernOnly ? 0x40 : type.deviceId,
        interruptPin: 1,
        bars: [
          ...(modernOnly
            ? []
            : [{ index: r.bars.legacy, kind: 'io', sizeBytes: legacyBytes } as const]),
          { index: r.bars.msix, kind: 'mem32', sizeBytes: r.MSIX_BYTES },
          { index: r.bars.modern, kind: 'mem64', sizeBytes: r.MODERN_BYTES },
        ],
      },
      {
        barMoved: (index, base) =>
          wiring.regionMoved(barOfRegion.indexOf(index as (typeof barOfRegion)[number]), base),
        written: () => {
          this.updateIntx();
          this.msix.release();
        },
      },
      wiring.intx,
    );
    this.msix = new Msix(queues + 1, wiring.msi, () => this.config.get(this.msixAt + 2, 2));
    this.core = new VirtioCore(
      type,
      {
        dma: wiring.dma,
        log: wiring.log,
        later: wiring.later,
        interrupt: (queue) => this.interrupt(queue),
        acknowledged: () => this.updateIntx(),
      },
      { isTransitional: !modernOnly, withheld },
    );
    this.modern = new ModernInterface(this.core, this.msix.vectors);
    this.legacy = new LegacyInterface(this.core, this.modern, () => this.msix.isEnabled);
    this.msixAt = this.addMsix();
    const { common, isr, device, notify } = r.structures;
    this.addStructure(common.type, common.offset, common.length);
    this.addStructure(isr.type, isr.offset, isr.length);
    if (type.config.length > 0) {
      this.addStructure(device.type, device.offset, type.config.length);
    }
    this.addStructure(notify.type, notify.offset, queues * r.NOTIFY_MULTIPLIER, [
      r.NOTIFY_MULTIPLIER,
    ]);
    this.windowAt = this.addStructure(r.PCI_CFG_TYPE, 0, 0, [0]);
    this.config.define(this.windowAt + r.window.bar, 1, { reset: 0, writable: 0xff });
    for (const at of [r.window.offset, r.window.length, r.window.data]) {
      this.config.define(this.windowAt + at, 4, { writable: ~0 });
    }
    this.stateVersion = type.stateVersion;
    this.stateCodec = virtioPciCodec(this.config.codec, this.msix.codec, this.core.codec, queues);
  }

  private addMsix(): number {
    const body = new DataView(new ArrayBuffer(10));
    body.setUint16(0, this.msix.vectors - 1, true);
    body.setUint32(2, r.bars.msix, true);
    body.setUint32(6, PENDING_OFFSET | r.bars.msix, true);
    const writable = new Uint8Array(10);
    writable[1] = (msixControl.enable | msixControl.maskAll) >>> 8;
    return this.config.addCapability(r.capabilityId.msix, new Uint8Array(body.buffer), writable);
  }

  /** [VIRTIO 4.1.4] */
  private addStructure(type: number, offset: number, length: number, more: number[] = []): number {
    const body = new DataView(new ArrayBuffer(14 + 4 * more.length));
    body.setUint8(0, 2 + body.byteLength);
    body.setUint8(1, type);
    body.setUint8(2, r.bars.modern);
    body.setUint32(6, offset, true);
    body.setUint32(10, length, true);
    more.forEach((word, i) => {
      body.setUint32(14 + 4 * i, word, true);
    });
    return this.config.addCapability(r.capabilityId.vendor, new Uint8Array(body.buffer));
  }

  private interrupt(queue: number | undefined): void {
    if (!this.msix.isEnabled) this.updateIntx();
    else {
      const { configVector, queueVectors } = this.modern;
      this.msix.signal(queue === undefined ? configVector : (queueVectors[queue] ?? r.NO_VECTOR));
    }
  }

  /** The pin follows the interrupt status, and is quiet while MSI-X is enabled. [PCI 6.8.3.3] */
  private updateIntx(): void {
    this.config.setIntx(this.core.pendingInterrupts !== 0 && !this.msix.isEnabled);
  }

  read(region: number, offset: number, width: 1 | 2 | 4): number {
    if (region === Region.Msix) return this.msix.read(offset, width);
    if (region === Region.Modern) return this.modern.read(offset, width);
    return region === Region.Legacy ? this.legacy.read(offset, width) : allOnes(width);
  }

  write(region: number, offset: number, width: 1 | 2 | 4, value: number): void {
    if (region === Region.Msix) this.msix.write(offset, width, value);
    else if (region === Region.Modern) this.modern.write(offset, width, value);
    else if (region === Region.Legacy) this.legacy.write(offset, width, value);
  }

  configRead(offset: number, width: 1 | 2 | 4): number {
    const access = this.windowAccess(offset, width);
    if (access !== undefined) {
      const value = this.read(access.region, access.offset, access.width);
      this.config.set(this.windowAt + r.window.data, access.width, value);
    }
    return this.config.configRead(offset, width);
  }

  configWrite(offset: number, width: 1 | 2 | 4, value: number): void {
    this.config.configWrite(offset, width, value);
    const access = this.windowAccess(offset, width);
    if (access === undefined) return;
    const data = this.config.get(this.windowAt + r.window.data, access.width);
    this.write(access.region, access.offset, access.width, data);
  }

  /** The access that one to the window's data stands for. [VIRTIO 4.1.4.9] */
  private windowAccess(at: number, size: number) {
    const data = this.windowAt + r.window.data;
    if (at + size <= data || at >= data + 4) return undefined;
    const width = this.config.get(this.windowAt + r.window.length, 4);
    const offset = this.config.get(this.windowAt + r.window.offset, 4);
    const bar = this.config.get(this.windowAt + r.window.bar, 1);
    const region = (barOfRegion as readonly number[]).indexOf(bar);
    const room = this.regions[region]?.sizeBytes ?? 0;
    if ((width !== 1 && width !== 2 && width !== 4) || offset % width !== 0) return undefined;
    return offset + width <= room ? ({ region, offset, width } as const) : undefined;
  }

  reset(): void {
    this.core.reset();
    this.modern.reset();
    this.msix.reset();
    this.config.reset();
  }

  save(): VirtioPciState<S> {
    return {
      config: this.config.save(),
      msix: this.msix.save(),
      ...this.modern.save(),
      core: this.core.save(),
    };
  }

  restore(state: VirtioPciState<S>): void {
    this.msix.restore(state.msix);
    this.modern.restore(state);
    this.config.restore(state.config);
    this.core.restore(state.core);
  }
}
