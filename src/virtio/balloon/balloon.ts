import type { VirtioHost, VirtioType } from '../core/virtio-type.js';
import type { Chain } from '../queue/chain.js';
import type { Virtqueue } from '../queue/virtqueue.js';
import {
  BALLOON_CLASS,
  BALLOON_DEVICE_ID,
  BALLOON_PAGE,
  BALLOON_QUEUE_SIZE,
  BALLOON_QUEUES,
  balloonConfig,
  balloonFeature,
  balloonQueue,
  MAX_INFLATE_BYTES,
  PIECE_BYTES,
  STATISTIC_BYTES,
  statisticNames,
} from './registers.js';
import { type BalloonState, balloonCodec } from './state.js';

export type BalloonStatistics = Partial<Record<(typeof statisticNames)[number], number>>;

export interface BalloonWiring {
  /** The guest does not need these bytes; they may read as zeroes or as they were. */
  readonly discard: (gpa: number, length: number) => void;
}

/** Takes memory from the guest and gives it to the host. [VIRTIO 5.5] */
export class VirtioBalloon implements VirtioType<BalloonState> {
  // Fixed configuration.
  readonly name = 'balloon';
  readonly deviceId = BALLOON_DEVICE_ID;
  readonly classCode = BALLOON_CLASS;
  readonly features = [
    balloonFeature.statistics,
    balloonFeature.deflateOnOom,
    balloonFeature.reporting,
  ];
  readonly queueSizes = Array<number>(BALLOON_QUEUES).fill(BALLOON_QUEUE_SIZE);
  readonly config = new Uint8Array(balloonConfig.bytes);
  readonly stateVersion = 1;
  readonly stateCodec = balloonCodec;
  private readonly view = new DataView(this.config.buffer);
  private host!: VirtioHost;
  /** What the driver said last, see {@link askStatistics}. */
  statistics: BalloonStatistics = {};

  constructor(private readonly wiring: BalloonWiring) {}

  attach(host: VirtioHost): void {
    this.host = host;
  }

  /** Bytes that the guest is to do without, and those it does without. */
  get targetBytes(): number {
    return this.view.getUint32(balloonConfig.pages, true) * BALLOON_PAGE;
  }

  get actualBytes(): number {
    return this.view.getUint32(balloonConfig.actual, true) * BALLOON_PAGE;
  }

  setTarget(bytes: number): void {
    this.view.setUint32(balloonConfig.pages, Math.floor(bytes / BALLOON_PAGE), true);
    this.host.configChanged();
  }

  /** Gives the statistics buffer back, which asks for new numbers. False: the guest has none. */
  askStatistics(): boolean {
    const queue = this.host.queue(balloonQueue.statistics);
    const chain = queue?.inFlight()[0];
    if (queue === undefined || chain === undefined) return false;
    queue.push(chain, 0);
    queue.notify();
    return true;
  }

  configWrite(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset < balloonConfig.actual) return;
    for (let i = 0; i < width; i++) this.config[offset + i] = value >>> (8 * i);
  }

  notified(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (index === balloonQueue.statistics) {
        this.takeStatistics(queue, chain);
        continue;
      }
      if (index === balloonQueue.inflate) this.inflate(chain);
      else if (index >= balloonQueue.reporting) this.report(chain);
      queue.push(chain, 0);
    }
    queue.notify();
  }

  /** Page numbers of 32 bits. */
  private inflate(chain: Chain): void {
    const bytes = Math.min(chain.readableBytes, MAX_INFLATE_BYTES) & ~3;
    for (let at = 0; at < bytes; at += PIECE_BYTES) {
      const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes - at));
      if (!chain.read(at, piece)) return;
      const view = new DataView(piece.buffer);
      for (let i = 0; i < piece.length; i += 4) {
        this.wiring.discard(view.getUint32(i, true) * BALLOON_PAGE, BALLOON_PAGE);
      }
    }
  }

  /** The buffers themselves are the free memory; whole pages of it. */
  private report(chain: Chain): void {
    for (const { gpa, length } of chain.writable) {
      const start = Math.ceil(gpa / BALLOON_PAGE) * BALLOON_PAGE;
      const end = Math.floor((gpa + length) / BALLOON_PAGE) * BALLOON_PAGE;
      if (end > start) this.wiring.discard(start, end - start);
    }
  }

  /** The driver's buffer is kept until new numbers are wanted. One is enough. */
  private takeStatistics(queue: Virtqueue, chain: Chain): void {
    if (queue.inFlight().length > 1) queue.push(queue.inFlight()[0]!, 0);
    const count = Math.floor(Math.min(chain.readableBytes, PIECE_BYTES) / STATISTIC_BYTES);
    const bytes = new Uint8Array(count * STATISTIC_BYTES);
    if (!chain.read(0, bytes)) return;
    const view = new DataView(bytes.buffer);
    const found: BalloonStatistics = {};
    for (let at = 0; at < bytes.length; at += STATISTIC_BYTES) {
      const name = statisticNames[view.getUint16(at, true)];
      if (name === undefined) continue;
      found[name] = view.getUint32(at + 6, true) * 2 ** 32 + view.getUint32(at + 2, true);
    }
    this.statistics = found;
  }

  /** What the host wants stays; the guest has all its memory again. */
  reset(): void {
    this.view.setUint32(balloonConfig.actual, 0, true);
  }

  save(): BalloonState {
    return {
      pages: this.view.getUint32(balloonConfig.pages, true),
      actual: this.view.getUint32(balloonConfig.actual, true),
    };
  }

  restore({ pages, actual }: BalloonState): void {
    this.view.setUint32(balloonConfig.pages, pages, true);
    this.view.setUint32(balloonConfig.actual, actual, true);
  }
}
