/** A whole device on a PCI bus that is not there, driven by registers as a driver of VIRTIO 1 does. */
import assert from 'node:assert/strict';
import { RecordingLine } from '../../device/irq.js';
import { deviceStatus, feature } from '../core/registers.js';
import type { VirtioType } from '../core/virtio-type.js';
import {
  type MockDriver,
  mockDriver,
  type Piece,
  Ram,
  type RingKind,
} from '../queue/mock-driver.test.js';
import { common, structures } from './registers.js';
import { VirtioPci, type VirtioPciOptions } from './virtio-pci.js';

export const MODERN = 1;
export const LEGACY = 2;

export class MockPci<S> {
  readonly ram: Ram;
  readonly intx = new RecordingLine();
  readonly messages: number[] = [];
  readonly guestFaults: string[] = [];
  readonly warnings: string[] = [];
  readonly device: VirtioPci<S>;
  readonly drivers: MockDriver[] = [];
  kind: RingKind = 'split';

  constructor(
    readonly type: VirtioType<S>,
    options: VirtioPciOptions & { ram?: Ram; later?: (callback: () => void) => void } = {},
  ) {
    this.ram = options.ram ?? new Ram();
    this.device = new VirtioPci(
      type,
      {
        dma: this.ram,
        log: {
          info() {},
          warn: (message) => this.warnings.push(message),
          guest: (what, detail) => this.guestFaults.push(`${what}: ${detail}`),
        },
        msi: { send: (_address, data) => this.messages.push(data) },
        intx: this.intx,
        later: options.later,
        regionMoved() {},
      },
      options,
    );
  }

  get(offset: number, width: 1 | 2 | 4): number {
    return this.device.read(MODERN, offset, width);
  }

  set(offset: number, width: 1 | 2 | 4, value: number): void {
    this.device.write(MODERN, offset, width, value);
  }

  get status(): number {
    return this.get(common.status, 1);
  }

  config(offset: number, width: 1 | 2 | 4): number {
    return this.get(structures.device.offset + offset, width);
  }

  setConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    this.set(structures.device.offset + offset, width, value);
  }

  offered(bit: number): boolean {
    this.set(common.deviceFeatureSelect, 4, bit >>> 5);
    return ((this.get(common.deviceFeature, 4) >>> (bit & 31)) & 1) === 1;
  }

  /** Up to FEATURES_OK; false if the device does not agree. */
  negotiate(bits: readonly number[]): boolean {
    const { acknowledge, driver, featuresOk } = deviceStatus;
    this.set(common.status, 1, 0);
    assert.equal(this.status, 0);
    this.set(common.status, 1, acknowledge);
    this.set(common.status, 1, acknowledge | driver);
    for (const word of [0, 1]) {
      let value = 0;
      for (const bit of bits) if (bit >>> 5 === word) value |= 1 << (bit & 31);
      this.set(common.driverFeatureSelect, 4, word);
      this.set(common.driverFeature, 4, value >>> 0);
    }
    this.set(common.status, 1, acknowledge | driver | featuresOk);
    this.kind = bits.includes(feature.packed) ? 'packed' : 'split';
    return (this.status & featuresOk) !== 0;
  }

  /** Gives a queue its rings and enables it. */
  setUpQueue(index: number, eventIdx = false, size = 16): MockDriver {
    this.set(common.queueSelect, 2, index);
    this.set(common.queueSize, 2, size);
    const driver = mockDriver(this.kind, this.ram, size, eventIdx);
    const { descriptors, driver: available, device } = driver.layout;
    [descriptors, available, device].forEach((gpa, area) => {
      this.set(common.queueAreas + 8 * area, 4, gpa % 2 ** 32);
      this.set(common.queueAreas + 8 * area + 4, 4, Math.floor(gpa / 2 ** 32));
    });
    this.set(common.queueVector, 2, index + 1);
    this.set(common.queueEnable, 2, 1);
    this.drivers[index] = driver;
    return driver;
  }

  driverOk(): void {
    this.set(common.status, 1, this.status | deviceStatus.driverOk);
  }

  /** Reset to running, all queues set up. */
  start(bits: readonly number[] = []): this {
    assert.ok(this.negotiate([...new Set([feature.version1, ...bits])]), 'features');
    for (let index = 0; index < this.get(common.queueCount, 2); index++) {
      this.setUpQueue(index, bits.includes(feature.eventIdx));
    }
    this.driverOk();
    return this;
  }

  kick(index: number): void {
    this.set(structures.notify.offset + 4 * index, 2, index);
  }

  /** Offers a buffer and rings the doorbell. */
  send(index: number, pieces: readonly Piece[], how?: { indirect?: boolean }): number {
    const id = this.drivers[index]!.offer(pieces, how);
    this.kick(index);
    return id;
  }

  /** Interrupt status, which reading takes. */
  isr(): number {
    return this.get(structures.isr.offset, 1);
  }
}

/** What a conformance rig wires a function to. */
export function pciIn(ctx: {
  line(name: string): RecordingLine;
  read(gpa: number, into: Uint8Array): boolean;
  write(gpa: number, from: Uint8Array): boolean;
  send(address: number, data: number): void;
}) {
  return {
    dma: ctx,
    msi: ctx,
    intx: ctx.line('inta'),
    log: { info() {}, warn() {}, guest() {} },
    regionMoved() {},
  };
}

/** Lets promises and what follows them run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
