import type { VirtioHost, VirtioType } from '../core/virtio-type.js';
import type { Chain } from '../queue/chain.js';
import type { Virtqueue } from '../queue/virtqueue.js';
import * as r from './registers.js';
import { type BalloonState, balloonCodec } from './state.js';

export type BalloonStatistics = Partial<Record<(typeof r.statisticNames)[number], number>>;

export interface BalloonWiring {
  /** The guest does not need these bytes; they may read as zeroes or as they were. */
  readonly discard: (gpa: number, length: number) => void;
}

/** Takes memory from the guest and gives it to the host. [VIRTIO 5.5] */
export class VirtioBalloon implements VirtioType<BalloonState> {
  // Fixed configuration.
  readonly name = 'balloon';
  readonly deviceId = r.BALLOON_DEVICE_ID;
  readonly classCode = r.BALLOON_CLASS;
  readonly features = [
    r.balloonFeature.statistics,
    r.balloonFeature.deflateOnOom,
    r.balloonFeature.reporting,
  ];
  readonly queueSizes = Array<number>(r.BALLOON_QUEUES).fill(r.BALLOON_QUEUE_SIZE);
  readonly config = new Uint8Array(r.balloonConfig.bytes);
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
    return this.view.getUint32(r.balloonConfig.pages, true) * r.BALLOON_PAGE;
  }

  get actualBytes(): number {
    return this.view.getUint32(r.balloonConfig.actual, true) * r.BALLOON_PAGE;
  }

  setTarget(bytes: number): void {
    this.view.setUint32(r.balloonConfig.pages, Math.floor(bytes / r.BALLOON_PAGE), true);
    this.host.configChanged();
  }

  /** Gives the statistics buffer back, which asks for new numbers. False: the guest has none. */
  askStatistics(): boolean {
    const queue = this.host.queue(r.balloonQueue.statistics);
    const chain = queue?.inFlight()[0];
    if (queue === undefined || chain === undefined) return false;
    queue.push(chain, 0);
    queue.notify();
    return true;
  }

  configWrite(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset < r.balloonConfig.actual) return;
    for (let i = 0; i < width; i++) this.config[offset + i] = value >>> (8 * i);
  }

  notified(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (index === r.balloonQueue.statistics) {
        this.takeStatistics(queue, chain);
        continue;
      }
      if (index === r.balloonQueue.inflate) this.inflate(chain);
      else if (index >= r.balloonQueue.reporting) this.report(chain);
      queue.push(chain, 0);
    }
    queue.notify();
  }

  /** Page numbers of 32 bits. */
  private inflate(chain: Chain): void {
    const bytes = Math.min(chain.readableBytes, r.MAX_INFLATE_BYTES) & ~3;
    for (let at = 0; at < bytes; at += r.PIECE_BYTES) {
      const piece = new Uint8Array(Math.min(r.PIECE_BYTES, bytes - at));
      if (!chain.read(at, piece)) return;
      const view = new DataView(piece.buffer);
      for (let i = 0; i < piece.length; i += 4) {
        this.wiring.discard(view.getUint32(i, true) * r.BALLOON_PAGE, r.BALLOON_PAGE);
      }
    }
  }

  /** The buffers themselves are the free memory; whole pages of it. */
  private report(chain: Chain): void {
    for (const { gpa, length } of chain.writable) {
      const start = Math.ceil(gpa / r.BALLOON_PAGE) * r.BALLOON_PAGE;
      const end = Math.floor((gpa + length) / r.BALLOON_PAGE) * r.BALLOON_PAGE;
      if (end > start) this.wiring.discard(start, end - start);
    }
  }

  /** The driver's buffer is kept until new numbers are wanted. One is enough. */
  private takeStatistics(queue: Virtqueue, chain: Chain): void {
    if (queue.inFlight().length > 1) queue.push(queue.inFlight()[0]!, 0);
    const count = Math.floor(Math.min(chain.readableBytes, r.PIECE_BYTES) / r.STATISTIC_BYTES);
    const bytes = new Uint8Array(count * r.STATISTIC_BYTES);
    if (!chain.read(0, bytes)) return;
    const view = new DataView(bytes.buffer);
    const found: BalloonStatistics = {};
    for (let at = 0; at < bytes.length; at += r.STATISTIC_BYTES) {
      const name = r.statisticNames[view.getUint16(at, true)];
      if (name === undefined) continue;
      found[name] = view.getUint32(at + 6, true) * 2 ** 32 + view.getUint32(at + 2, true);
    }
    this.statistics = found;
  }

  /** What the host wants stays; the guest has all its memory again. */
  reset(): void {
    this.view.setUint32(r.balloonConfig.actual, 0, true);
  }

  save(): BalloonState {
    return {
      pages: this.view.getUint32(r.balloonConfig.pages, true),
      actual: this.view.getUint32(r.balloonConfig.actual, true),
    };
  }

  restore({ pages, actual }: BalloonState): void {
    this.view.setUint32(r.balloonConfig.pages, pages, true);
    this.view.setUint32(r.balloonConfig.actual, actual, true);
  }
}
