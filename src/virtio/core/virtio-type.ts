import type { Codec } from '../../base/codec.js';
import type { Dma } from '../../device/dma.js';
import type { Virtqueue } from '../queue/virtqueue.js';

/** What a device type has from whatever transport carries it. */
export interface VirtioHost {
  readonly dma: Dma;
  /** A queue that the driver set up, while it runs; undefined before DRIVER_OK and after a reset. */
  queue(index: number): Virtqueue | undefined;
  /** A feature bit was negotiated. */
  has(bit: number): boolean;
  /** What the user should know, once however often it comes in a row. */
  warn(message: string): void;
  /** `config` changed: the driver is told. */
  configChanged(): void;
}

/**
 * A kind of virtio device: what is behind its queues and in its configuration space. It knows neither
 * PCI nor MMIO, and is a whole device only in a transport.
 */
export interface VirtioType<S> {
  /** Stable: in logs, snapshots and inspection. */
  readonly name: string;
  /** [VIRTIO 5] */
  readonly deviceId: number;
  /** PCI's class code for such a device. */
  readonly classCode: number;
  /** Feature bits of this type that are offered. */
  readonly features: readonly number[];
  /** Bits that mean nothing without one of others: [bit, any of these...]. */
  readonly requires?: readonly (readonly [number, ...number[]])[];
  /** Most entries of each queue; a power of two. */
  readonly queueSizes: readonly number[];
  /** The configuration space as it is now. */
  readonly config: Uint8Array;
  /** Called once, before all else. */
  attach(host: VirtioHost): void;
  /** The driver wrote `width` bytes at `offset`, all of them inside `config`. */
  configWrite?(offset: number, width: 1 | 2 | 4, value: number): void;
  /** Features are agreed on. */
  negotiated?(): void;
  /** The driver may have made buffers available. */
  notified(queue: number): void;
  /** A reset by the driver, after the queues closed. */
  reset(): void;
  /** After a restore: work of buffers that were in flight is done anew. */
  resume?(): void;
  readonly stateVersion: number;
  readonly stateCodec: Codec<S>;
  save(): S;
  restore(state: S): void;
}
