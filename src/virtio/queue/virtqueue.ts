import type { Dma } from '../../device/dma.js';
import { Chain, type Span } from './chain.js';
import { DESCRIPTOR_BYTES, descriptorFlag, MAX_CHAIN } from './registers.js';
import { fence, guestAddress, RingMemory } from './ring-memory.js';
import type { RingState } from './state.js';

/** How the driver set a queue up. */
export interface QueueLayout {
  /** Entries; a power of two in a split ring. */
  readonly size: number;
  /** Descriptor area, driver area (available ring) and device area (used ring). [VIRTIO 2.6] */
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
}

/** What was negotiated about queues. */
export interface QueueFeatures {
  readonly indirect: boolean;
  readonly eventIdx: boolean;
  readonly inOrder: boolean;
}

export interface QueueWiring {
  readonly dma: Dma;
  /** The driver wants to hear of used buffers. */
  interrupt(): void;
  /** The driver broke the queue; it is dead until it is reset. Called once. */
  broken(reason: string): void;
}

interface HeldBuffer {
  readonly chain: Chain;
  /** Set when its work is done. */
  written: number | undefined;
}

/** Limit of all lengths in a chain together. [VIRTIO 2.7.4.2] */
const MAX_CHAIN_BYTES = 2 ** 32;

/**
 * The device's side of a virtqueue. Descriptors are copied out of guest memory once and the copy is
 * checked; a driver that breaks the rules breaks this queue and nothing else.
 *
 * The object is the generation: a reset closes it, and completions that come after do nothing.
 */
export abstract class Virtqueue {
  isOpen = true;
  isBroken = false;
  /** Buffers that may be taken before others have their turn. */
  allowance = Number.POSITIVE_INFINITY;
  protected readonly memory: RingMemory;
  /** Taken and not yet used, in the order of taking. */
  private held: HeldBuffer[] = [];
  private heldSlots = 0;
  /** Used since the driver was last asked whether it wants to hear of it. */
  protected unsignalled = 0;

  constructor(
    readonly layout: QueueLayout,
    protected readonly features: QueueFeatures,
    protected readonly wiring: QueueWiring,
  ) {
    this.memory = new RingMemory(wiring.dma);
  }

  /** The next buffer that the driver made available, or undefined; the driver is told to notify. */
  pop(): Chain | undefined {
    if (this.isBroken || !this.isOpen || this.allowance === 0) return undefined;
    this.memory.faulted = false;
    if (!this.isAvailable()) {
      this.askForNotification();
      fence();
      if (!this.isAvailable()) {
        if (this.memory.faulted) this.fail('its rings leave guest memory');
        return undefined;
      }
    }
    if (this.isBroken) return undefined;
    const chain = this.take();
    if (chain === undefined && !this.memory.faulted) return undefined;
    const slots = this.heldSlots + (chain?.slots ?? 0);
    if (this.memory.faulted || slots > this.layout.size) {
      if (chain !== undefined) this.untake(chain);
      this.fail(
        this.memory.faulted ? 'its rings leave guest memory' : 'more buffers than it has places',
      );
      return undefined;
    }
    this.heldSlots = slots;
    this.allowance--;
    this.held.push({ chain: chain!, written: undefined });
    return chain;
  }

  /**
   * Gives a buffer back, `written` bytes of it written from its start on. {@link notify} tells the
   * driver. After a reset nothing happens.
   */
  push(chain: Chain, written: number): void {
    this.pushAll([chain], [written]);
  }

  /** Several buffers that hold one thing: the driver sees all of them used, or none. */
  pushAll(chains: readonly Chain[], written: readonly number[]): void {
    if (this.isBroken || !this.isOpen) return;
    this.memory.faulted = false;
    chains.forEach((chain, i) => {
      const one = this.held.find((candidate) => candidate.chain === chain);
      if (one === undefined) return;
      one.written = written[i]!;
      if (!this.features.inOrder) this.give(one);
    });
    // The driver counts on the order of its own offers. [VIRTIO 6.2]
    while (this.held[0]?.written !== undefined) this.give(this.held[0]);
    this.publish();
    if (this.memory.faulted) this.fail('its rings leave guest memory');
  }

  private give(one: HeldBuffer): void {
    this.held.splice(this.held.indexOf(one), 1);
    this.heldSlots -= one.chain.slots;
    this.use(one.chain, one.written!);
  }

  /** Puts back the buffer that was taken last, as if it had not been. */
  unpop(chain: Chain): void {
    if (this.held.at(-1)?.chain !== chain) return;
    this.held.pop();
    this.heldSlots -= chain.slots;
    this.untake(chain);
  }

  /** After pushes: interrupts if the driver wants to hear of them. */
  notify(): void {
    if (this.unsignalled === 0 || this.isBroken || !this.isOpen) return;
    this.memory.faulted = false;
    fence();
    const wanted = this.wantsInterrupt();
    this.unsignalled = 0;
    if (wanted && !this.memory.faulted) this.wiring.interrupt();
  }

  /** Buffers that were taken and not given back: after a restore their work has to be done anew. */
  inFlight(): readonly Chain[] {
    return this.held.filter(({ written }) => written === undefined).map(({ chain }) => chain);
  }

  /** For what only the device can tell to be wrong, such as a missing header. */
  fail(reason: string): void {
    if (this.isBroken) return;
    this.isBroken = true;
    this.wiring.broken(reason);
  }

  /** The end: of this object, not of the queue. */
  close(): void {
    this.isOpen = false;
  }

  save(): RingState {
    return {
      ...this.saveIndices(),
      unsignalled: this.unsignalled,
      broken: this.isBroken,
      held: this.held.map(({ chain, written }) => ({
        id: chain.id,
        slots: chain.slots,
        readable: [...chain.readable],
        writable: [...chain.writable],
        written: written ?? -1,
      })),
    };
  }

  restore(state: RingState): void {
    this.restoreIndices(state);
    this.unsignalled = state.unsignalled;
    this.isBroken = state.broken;
    this.held = state.held.map(({ id, slots, readable, writable, written }) => ({
      chain: new Chain(id, slots, readable, writable, this, this.wiring.dma),
      written: written < 0 ? undefined : written,
    }));
    this.heldSlots = state.held.reduce((sum, { slots }) => sum + slots, 0);
  }

  /** False if there is nothing, or if the queue broke. */
  protected abstract isAvailable(): boolean;
  protected abstract askForNotification(): void;
  protected abstract take(): Chain | undefined;
  protected abstract untake(chain: Chain): void;
  /** Writes a used buffer where the driver does not look yet. */
  protected abstract use(chain: Chain, written: number): void;
  /** Shows the driver what was used. */
  protected abstract publish(): void;
  protected abstract wantsInterrupt(): boolean;
  protected abstract saveIndices(): Pick<RingState, 'taken' | 'used' | 'takenWrap' | 'usedWrap'>;
  protected abstract restoreIndices(state: RingState): void;

  // The chain that is being collected.
  private readable: Span[] = [];
  private writable: Span[] = [];
  private bytes = 0;
  private count = 0;

  protected begin(): void {
    this.readable = [];
    this.writable = [];
    this.bytes = 0;
    this.count = 0;
  }

  protected finish(id: number, slots: number): Chain {
    return new Chain(id, slots, this.readable, this.writable, this, this.wiring.dma);
  }

  /** Takes a descriptor's copy into the chain; false: the queue is broken. */
  protected add(descriptor: DataView, flags: number): boolean {
    const gpa = guestAddress(descriptor.getUint32(0, true), descriptor.getUint32(4, true));
    const length = descriptor.getUint32(8, true);
    this.count++;
    this.bytes += length;
    if (this.count > MAX_CHAIN) return this.refuse('a chain is too long, or a loop');
    if (this.bytes > MAX_CHAIN_BYTES) return this.refuse('a chain has more than 4 GiB');
    if ((flags & descriptorFlag.write) !== 0) this.writable.push({ gpa, length });
    else if (this.writable.length === 0) this.readable.push({ gpa, length });
    else return this.refuse('a chain has a readable part after a writable one');
    return true;
  }

  /** Entries of the indirect table in a descriptor's copy, or 0: the queue is broken. */
  protected tableEntries(descriptor: DataView, flags: number): number {
    const length = descriptor.getUint32(8, true);
    const entries = length / DESCRIPTOR_BYTES;
    if (!this.features.indirect) this.refuse('an indirect descriptor that was not negotiated');
    else if ((flags & descriptorFlag.next) !== 0) this.refuse('a descriptor after an indirect one');
    else if (!Number.isInteger(entries) || entries === 0 || entries > MAX_CHAIN) {
      this.refuse(`an indirect table of ${length} bytes`);
    } else return entries;
    return 0;
  }

  protected refuse(reason: string): false {
    this.fail(reason);
    return false;
  }
}
