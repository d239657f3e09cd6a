import type { Codec } from '../../base/codec.js';
import type { Log } from '../../base/log.js';
import type { Dma } from '../../device/dma.js';
import { allOnes } from '../../device/io.js';
import { PackedQueue } from '../queue/packed-queue.js';
import { DESCRIPTOR_BYTES } from '../queue/registers.js';
import { guestAddress } from '../queue/ring-memory.js';
import { SplitQueue } from '../queue/split-queue.js';
import type { Virtqueue } from '../queue/virtqueue.js';
import { Features } from './features.js';
import * as r from './registers.js';
import { type CoreState, coreCodec, validSize } from './state.js';
import type { VirtioHost, VirtioType } from './virtio-type.js';

export interface CoreWiring {
  readonly dma: Dma;
  readonly log: Log;
  /** Calls back once the rest of the machine had its turn. */
  readonly later?: ((callback: () => void) => void) | undefined;
  /** Buffers of a queue were used, or (undefined) the configuration changed. */
  interrupt(queue: number | undefined): void;
  /** The interrupt status changed otherwise: it was read, reset or restored. */
  acknowledged(): void;
}

/** The registers of one queue. */
class QueueSlot {
  size: number;
  enabled = false;
  wasReset = false;
  readonly areas = new Uint32Array(6);
  ring: Virtqueue | undefined;

  constructor(readonly maxSize: number) {
    this.size = maxSize;
  }

  clear(): void {
    this.ring?.close();
    this.ring = undefined;
    this.size = this.maxSize;
    this.enabled = false;
    this.wasReset = false;
    this.areas.fill(0);
  }
}

/**
 * What PCI and MMIO have in common: status, features, queue registers and the life of the queues.
 * Queue registers are frozen at DRIVER_OK, but for a queue that was reset by itself.
 */
export class VirtioCore<S> implements VirtioHost {
  readonly dma: Dma;
  readonly offered: Features;
  readonly codec: Codec<CoreState<S>>;
  /** Drivers of before VIRTIO 1.0 are served too. */
  private readonly isTransitional: boolean;

  // Guest-visible state.
  private statusBits = 0;
  private accepted = new Features(0, 0);
  private configGeneration = 0;
  /** The configuration changed and has not been read since. */
  private isStale = false;
  /** A legacy driver uses its queues already. */
  private isEarly = false;
  private interrupts = 0;
  private readonly slots: readonly QueueSlot[];
  private lastWarning = '';

  constructor(
    readonly type: VirtioType<S>,
    private readonly wiring: CoreWiring,
    {
      isTransitional = false,
      withheld = [],
    }: { isTransitional?: boolean; withheld?: readonly number[] } = {},
  ) {
    this.dma = wiring.dma;
    const all = [...type.features, ...r.commonFeatures];
    this.offered = Features.of(all.filter((bit) => !withheld.includes(bit)));
    this.isTransitional = isTransitional;
    this.slots = type.queueSizes.map((size) => new QueueSlot(size));
    this.codec = coreCodec(type, this.offered);
    type.attach(this);
  }

  get status(): number {
    return this.statusBits;
  }

  get generation(): number {
    return this.configGeneration;
  }

  get queueCount(): number {
    return this.slots.length;
  }

  /** The registers of a queue, or undefined where there is none. */
  slot(index: number): Readonly<QueueSlot> | undefined {
    return this.slots[index];
  }

  queue(index: number): Virtqueue | undefined {
    return this.slots[index]?.ring;
  }

  has(bit: number): boolean {
    return this.accepted.has(bit);
  }

  private get runs(): boolean {
    return this.isEarly || (this.statusBits & r.deviceStatus.driverOk) !== 0;
  }

  driverFeatures(word: number): number {
    return this.accepted.word(word);
  }

  setDriverFeatures(word: number, value: number): void {
    // Negotiation is over once the device has agreed. [VIRTIO 2.2.1]
    if (this.runs || (this.statusBits & r.deviceStatus.featuresOk) !== 0) return;
    this.accepted = this.accepted.withWord(word, value);
  }

  /** Status register: 0 resets, other values add bits. */
  setStatus(value: number): void {
    if (value === 0) {
      this.reset();
      return;
    }
    const added = value & r.DRIVER_STATUS & ~this.statusBits;
    let next = this.statusBits | added;
    if ((added & r.deviceStatus.featuresOk) !== 0 && !this.agrees())
      next &= ~r.deviceStatus.featuresOk;
    if ((added & r.deviceStatus.driverOk) !== 0 && !this.mayRun(next))
      next &= ~r.deviceStatus.driverOk;
    const isNew = (bit: number) => (next & ~this.statusBits & bit) !== 0;
    const [isAgreed, starts] = [isNew(r.deviceStatus.featuresOk), isNew(r.deviceStatus.driverOk)];
    this.statusBits = next;
    if (isAgreed) this.type.negotiated?.();
    if (starts) this.start();
  }

  private start(): void {
    for (const slot of this.slots) if (slot.enabled && slot.ring === undefined) this.open(slot);
    // A driver may have filled queues and told of it before DRIVER_OK.
    this.slots.forEach((_, index) => {
      this.notified(index);
    });
  }

  private agrees(): boolean {
    const { accepted } = this;
    if (!accepted.isWithin(this.offered) || !accepted.has(r.feature.version1)) return false;
    return (this.type.requires ?? []).every(
      ([bit, ...needs]) => !accepted.has(bit) || needs.some((need) => accepted.has(need)),
    );
  }

  /** Legacy drivers do not know FEATURES_OK. [VIRTIO 3.1.2] */
  private mayRun(status: number): boolean {
    if ((status & r.deviceStatus.featuresOk) !== 0) return true;
    if (!this.isTransitional || this.accepted.has(r.feature.version1)) return false;
    this.accepted = new Features(this.accepted.low & this.offered.low, 0);
    return true;
  }

  setQueueSize(index: number, size: number): void {
    const slot = this.mutable(index);
    if (slot === undefined || size > slot.maxSize) return;
    if (validSize(size, this.accepted.has(r.feature.packed))) slot.size = size;
  }

  /** `word` 0 to 5: low and high half of descriptor, driver and device area. */
  setQueueArea(index: number, word: number, value: number): void {
    const slot = this.mutable(index);
    if (slot !== undefined) slot.areas[word] = value;
  }

  enableQueue(index: number): void {
    const slot = this.mutable(index);
    if (slot === undefined) return;
    slot.enabled = true;
    slot.wasReset = false;
    if (this.runs) this.open(slot);
  }

  /** The driver stops using a queue, until the next reset if the device runs. */
  disableQueue(index: number): void {
    this.slots[index]?.clear();
  }

  /** VIRTIO_F_RING_RESET: this queue alone starts anew. [VIRTIO 2.6.1] */
  resetQueue(index: number): void {
    const slot = this.slots[index];
    if (slot === undefined || !this.has(r.feature.ringReset)) return;
    slot.clear();
    slot.wasReset = true;
  }

  /** Legacy: all three areas by one page number; 0 takes the queue away. [VIRTIO 4.1.5.1.3] */
  setLegacyPage(index: number, page: number): void {
    const slot = this.slots[index];
    if (slot === undefined) return;
    const { size } = slot;
    const descriptors = page * r.LEGACY_PAGE;
    const driver = descriptors + size * DESCRIPTOR_BYTES;
    const end = driver + 2 * (3 + size);
    const device = Math.ceil(end / r.LEGACY_PAGE) * r.LEGACY_PAGE;
    slot.clear();
    [descriptors, driver, device].forEach((gpa, area) => {
      slot.areas[2 * area] = gpa % 2 ** 32;
      slot.areas[2 * area + 1] = Math.floor(gpa / 2 ** 32);
    });
    slot.enabled = page !== 0;
    if (!slot.enabled) slot.clear();
    else if (this.runs) this.open(slot);
  }

  /** The driver's doorbell; queues that are not there or not ready do not hear it. */
  notified(index: number): void {
    const ring = this.slots[index]?.ring;
    if (ring === undefined) return;
    const { later } = this.wiring;
    // A vCPU on another thread may offer buffers as fast as they are taken.
    if (later !== undefined) ring.allowance = 2 * ring.layout.size;
    this.type.notified(index);
    if (ring.allowance === 0) later?.(() => this.notified(index));
    ring.allowance = Number.POSITIVE_INFINITY;
  }

  /** Drivers of before VIRTIO 1.0 may use queues before DRIVER_OK. [VIRTIO 3.1.2] */
  legacyNotified(index: number): void {
    if (!this.runs && this.slots[index]?.enabled && this.mayRun(this.statusBits)) {
      this.isEarly = true;
      this.start();
    } else this.notified(index);
  }

  configRead(offset: number, width: 1 | 2 | 4): number {
    // Counted when it is seen, so that 256 changes are not none. [VIRTIO 4.1.4.3.1]
    if (this.isStale) this.configGeneration = (this.configGeneration + 1) >>> 0;
    this.isStale = false;
    const { config } = this.type;
    if (offset < 0 || offset + width > config.length) return allOnes(width);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + config[offset + i]!;
    return value;
  }

  configWrite(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset < 0 || offset + width > this.type.config.length) return;
    this.type.configWrite?.(offset, width, value);
  }

  warn(message: string): void {
    if (message !== this.lastWarning) this.wiring.log.warn(message);
    this.lastWarning = message;
  }

  configChanged(): void {
    this.isStale = true;
    if (this.runs) this.interrupt(r.interruptStatus.config);
  }

  private interrupt(bit: number, queue?: number): void {
    this.interrupts |= bit;
    this.wiring.interrupt(queue);
  }

  /** Which interrupts are pending, without taking them. */
  get pendingInterrupts(): number {
    return this.interrupts;
  }

  acknowledge(bits: number): void {
    this.interrupts &= ~bits;
    this.wiring.acknowledged();
  }

  /** A queue whose registers may be written now. */
  private mutable(index: number): QueueSlot | undefined {
    const slot = this.slots[index];
    if ((this.statusBits & r.deviceStatus.featuresOk) === 0) return undefined;
    return slot === undefined || slot.enabled || (this.runs && !slot.wasReset) ? undefined : slot;
  }

  private open(slot: QueueSlot): Virtqueue {
    const index = this.slots.indexOf(slot);
    const area = (n: number) => guestAddress(slot.areas[2 * n]!, slot.areas[2 * n + 1]!);
    const Ring = this.has(r.feature.packed) ? PackedQueue : SplitQueue;
    slot.ring = new Ring(
      { size: slot.size, descriptors: area(0), driver: area(1), device: area(2) },
      {
        indirect: this.has(r.feature.indirect),
        eventIdx: this.has(r.feature.eventIdx),
        inOrder: this.has(r.feature.inOrder),
      },
      {
        dma: this.dma,
        interrupt: () => this.interrupt(r.interruptStatus.queue, index),
        broken: (reason) => this.needsReset(`queue ${index}: ${reason}`),
      },
    );
    return slot.ring;
  }

  /** Nothing works any more until the driver resets; the VM goes on. [VIRTIO 2.1.2] */
  private needsReset(reason: string): void {
    this.wiring.log.guest(`${this.type.name} needs a reset`, reason);
    if ((this.statusBits & r.deviceStatus.needsReset) !== 0) return;
    this.statusBits |= r.deviceStatus.needsReset;
    this.configChanged();
  }

  reset(): void {
    this.statusBits = 0;
    this.accepted = new Features(0, 0);
    this.configGeneration = 0;
    this.isStale = false;
    this.isEarly = false;
    this.interrupts = 0;
    for (const slot of this.slots) slot.clear();
    this.type.reset();
    this.wiring.acknowledged();
  }

  save(): CoreState<S> {
    return {
      status: this.statusBits,
      features: [this.accepted.low, this.accepted.high],
      generation: this.configGeneration,
      stale: this.isStale,
      early: this.isEarly,
      interrupts: this.interrupts,
      queues: this.slots.map(({ size, enabled, wasReset, areas, ring }) => ({
        size,
        enabled,
        wasReset,
        areas: [...areas],
        ring: ring === undefined ? [] : [ring.save()],
      })),
      type: this.type.save(),
    };
  }

  restore(state: CoreState<S>): void {
    this.statusBits = state.status;
    this.accepted = new Features(state.features[0]!, state.features[1]!);
    this.configGeneration = state.generation;
    this.isStale = state.stale;
    this.isEarly = state.early;
    this.interrupts = state.interrupts;
    state.queues.forEach(({ size, enabled, wasReset, areas, ring }, index) => {
      const slot = this.slots[index]!;
      slot.clear();
      Object.assign(slot, { size, enabled, wasReset });
      slot.areas.set(areas);
      if (ring[0] !== undefined) this.open(slot).restore(ring[0]);
    });
    this.type.restore(state.type);
    this.wiring.acknowledged();
    this.type.resume?.();
    // What was put off when the state was saved.
    this.wiring.later?.(() => {
      this.slots.forEach((_, index) => {
        this.notified(index);
      });
    });
  }
}
