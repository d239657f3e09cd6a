import type { VirtioHost, VirtioType } from '../core/virtio-type.js';
import type { Chain } from '../queue/chain.js';
import type { Virtqueue } from '../queue/virtqueue.js';
import * as r from './registers.js';
import { type BlkState, blkCodec } from './state.js';

/** What is behind the device; each request may fail, and the guest sees an I/O error. */
export interface BlockStore {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly discardUnitBytes?: number;
  read(offset: number, into: Uint8Array): Promise<void>;
  write(offset: number, from: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  discard(offset: number, length: number): Promise<void>;
  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void>;
  onResize?: ((sizeBytes: number) => void) | undefined;
}

export interface BlkOptions {
  /** Up to 20 ASCII characters, what a guest names the disk by. */
  readonly serial?: string;
  readonly queues?: number;
  /** Logical and physical block, powers of two of at least 512. */
  readonly blockBytes?: number;
  readonly physicalBlockBytes?: number;
}

/** A request's data is moved in pieces of this size, however long it is. */
const PIECE_BYTES = 1 << 20;
/** Smaller requests have buffers of this size; and so many of each kind are kept. */
const SMALL_BYTES = 1 << 14;
const MOST_SPARE = 16;

/** What a request ends with, and the bytes it wrote before its status. */
interface Result {
  readonly status: number;
  readonly written: number;
}
const ok: Result = { status: r.blkStatus.ok, written: 0 };
const failed: Result = { status: r.blkStatus.ioError, written: 0 };
const unsupported: Result = { status: r.blkStatus.unsupported, written: 0 };

/** A disk. Requests of all queues run side by side and end in any order. [VIRTIO 5.2] */
export class VirtioBlk implements VirtioType<BlkState> {
  // Fixed configuration.
  readonly name = 'blk';
  readonly deviceId = r.BLK_DEVICE_ID;
  readonly classCode = r.BLK_CLASS;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly config = new Uint8Array(r.blkConfig.bytes);
  readonly stateVersion = 1;
  readonly stateCodec = blkCodec;
  private readonly view = new DataView(this.config.buffer);
  private readonly id = new Uint8Array(r.ID_BYTES);
  /** Of the request that is being looked at. */
  private readonly header = new DataView(new ArrayBuffer(r.HEADER_BYTES));

  // Wiring.
  private host!: VirtioHost;
  private readonly small: Uint8Array[] = [];
  private readonly large: Uint8Array[] = [];
  /** What the store has not finished; a reset cannot call it back. */
  private readonly active = new Set<Promise<void>>();
  /** Requests from before a reset: new ones wait, lest an old write lands on theirs. */
  private leftovers: Promise<unknown> | undefined;

  constructor(
    private readonly store: BlockStore,
    options: BlkOptions = {},
  ) {
    const { serial = '', queues = 1, blockBytes = r.SECTOR_BYTES } = options;
    const physicalBytes = Math.max(options.physicalBlockBytes ?? 4096, blockBytes);
    for (let i = 0; i < r.ID_BYTES; i++) this.id[i] = i < serial.length ? serial.charCodeAt(i) : 0;
    this.queueSizes = Array(queues).fill(r.BLK_QUEUE_SIZE);
    const { segMax, blkSize, topology, flush, configWce, discard, writeZeroes } = r.blkFeature;
    this.features = [
      ...[segMax, blkSize, topology, flush],
      ...(store.readOnly ? [r.blkFeature.readOnly] : [configWce, discard, writeZeroes]),
      ...(queues > 1 ? [r.blkFeature.multiQueue] : []),
    ];
    const { view } = this;
    view.setUint32(r.blkConfig.segMax, r.SEG_MAX, true);
    view.setUint32(r.blkConfig.blkSize, blockBytes, true);
    view.setUint8(r.blkConfig.physicalBlockExp, Math.log2(physicalBytes / blockBytes));
    view.setUint16(r.blkConfig.minIoBlocks, 1, true);
    view.setUint16(r.blkConfig.queueCount, queues, true);
    if (!store.readOnly) {
      const unit = Math.max(store.discardUnitBytes ?? r.SECTOR_BYTES, blockBytes);
      view.setUint32(r.blkConfig.maxDiscardSectors, r.MAX_RANGE_SECTORS, true);
      view.setUint32(r.blkConfig.maxDiscardSegments, r.MAX_RANGES, true);
      view.setUint32(r.blkConfig.discardAlignment, unit / r.SECTOR_BYTES, true);
      view.setUint32(r.blkConfig.maxZeroSectors, r.MAX_RANGE_SECTORS, true);
      view.setUint32(r.blkConfig.maxZeroSegments, r.MAX_RANGES, true);
      view.setUint8(r.blkConfig.zeroMayUnmap, 1);
    }
    this.showCapacity(store.sizeBytes);
    this.reset();
  }

  attach(host: VirtioHost): void {
    this.host = host;
    this.store.onResize = (sizeBytes) => {
      this.showCapacity(sizeBytes);
      host.configChanged();
    };
  }

  private showCapacity(sizeBytes: number): void {
    const sectors = Math.floor(sizeBytes / r.SECTOR_BYTES);
    this.view.setUint32(r.blkConfig.capacity, sectors % 2 ** 32, true);
    this.view.setUint32(r.blkConfig.capacity + 4, Math.floor(sectors / 2 ** 32), true);
  }

  private get capacitySectors(): number {
    const low = this.view.getUint32(r.blkConfig.capacity, true);
    return this.view.getUint32(r.blkConfig.capacity + 4, true) * 2 ** 32 + low;
  }

  configWrite(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset !== r.blkConfig.writeback || width !== 1) return;
    if (this.host.has(r.blkFeature.configWce)) this.config[offset] = value & 1;
  }

  /** A driver that can switch the cache but not flush it starts without. [VIRTIO 5.2.5.2] */
  negotiated(): void {
    const { flush, configWce } = r.blkFeature;
    const isSafe = this.host.has(flush) || !this.host.has(configWce);
    this.config[r.blkConfig.writeback] = isSafe ? 1 : 0;
  }

  /** Without FLUSH a driver counts on its writes being safe. [VIRTIO 5.2.6.2] */
  private get writesThrough(): boolean {
    if (this.host.has(r.blkFeature.configWce)) return this.config[r.blkConfig.writeback] === 0;
    return !this.host.has(r.blkFeature.flush);
  }

  notified(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      this.start(queue, chain);
    }
  }

  private start(queue: Virtqueue, chain: Chain): void {
    const { header } = this;
    if (!chain.read(0, new Uint8Array(header.buffer)) || chain.writableBytes === 0) {
      queue.fail('a request without its header or room for its status');
      return;
    }
    const sector = header.getUint32(8, true) + header.getUint32(12, true) * 2 ** 32;
    const work = this.execute(queue, chain, header.getUint32(0, true), sector).finally(() =>
      this.active.delete(work),
    );
    this.active.add(work);
  }

  private async execute(
    queue: Virtqueue,
    chain: Chain,
    kind: number,
    sector: number,
  ): Promise<void> {
    // Only after a reset: an await for nothing would cost every request a turn.
    if (this.leftovers !== undefined) await this.leftovers;
    const { status, written } = await this.perform(chain, kind, sector).catch((error) => {
      this.host.warn(`disk: ${error instanceof Error ? error.message : error}`);
      return failed;
    });
    const isTold = chain.write(chain.writableBytes - 1, Uint8Array.of(status));
    if (queue.isOpen && !isTold) queue.fail('a request whose status is not in memory');
    // Of a failed request nothing is promised but its status.
    const whole = written === chain.writableBytes - 1;
    queue.push(chain, whole ? chain.writableBytes : written);
    queue.notify();
  }

  private async perform(chain: Chain, kind: number, sector: number): Promise<Result> {
    switch (kind) {
      case r.request.in:
        return this.read(chain, sector);
      case r.request.out:
        return this.write(chain, sector);
      case r.request.flush:
        await this.store.flush();
        return ok;
      case r.request.getId: {
        const bytes = Math.min(r.ID_BYTES, chain.writableBytes - 1);
        return chain.write(0, this.id.subarray(0, bytes)) ? { ...ok, written: bytes } : failed;
      }
      case r.request.discard:
        return this.ranges(chain, r.blkFeature.discard);
      case r.request.writeZeroes:
        return this.ranges(chain, r.blkFeature.writeZeroes);
    }
    return unsupported;
  }

  private isInside(sector: number, bytes: number): boolean {
    return (
      bytes % r.SECTOR_BYTES === 0 &&
      sector + bytes / r.SECTOR_BYTES <= this.store.sizeBytes / r.SECTOR_BYTES
    );
  }

  private async read(chain: Chain, sector: number): Promise<Result> {
    const bytes = chain.writableBytes - 1;
    if (!this.isInside(sector, bytes)) return failed;
    const isDone = await this.pieces(bytes, async (at, piece) => {
      await this.store.read(sector * r.SECTOR_BYTES + at, piece);
      return chain.write(at, piece);
    });
    return isDone ? { status: r.blkStatus.ok, written: bytes } : failed;
  }

  private async write(chain: Chain, sector: number): Promise<Result> {
    const bytes = chain.readableBytes - r.HEADER_BYTES;
    if (this.store.readOnly || !this.isInside(sector, bytes)) return failed;
    const isDone = await this.pieces(bytes, async (at, piece) => {
      if (!chain.read(r.HEADER_BYTES + at, piece)) return false;
      await this.store.write(sector * r.SECTOR_BYTES + at, piece);
      return true;
    });
    if (isDone && this.writesThrough) await this.store.flush();
    return isDone ? ok : failed;
  }

  /** Moves a request's data piece by piece, through buffers that are used again. */
  private async pieces(
    bytes: number,
    move: (at: number, piece: Uint8Array) => Promise<boolean>,
  ): Promise<boolean> {
    const isSmall = bytes <= SMALL_BYTES;
    const pool = isSmall ? this.small : this.large;
    const buffer = pool.pop() ?? new Uint8Array(isSmall ? SMALL_BYTES : PIECE_BYTES);
    try {
      for (let at = 0; at < bytes; at += buffer.length) {
        if (!(await move(at, buffer.subarray(0, bytes - at)))) return false;
      }
      return true;
    } finally {
      if (pool.length < MOST_SPARE) pool.push(buffer);
    }
  }

  /** Discard and write-zeroes: all ranges are checked before the first is touched. */
  private async ranges(chain: Chain, kind: number): Promise<Result> {
    if (!this.host.has(kind)) return unsupported;
    const bytes = chain.readableBytes - r.HEADER_BYTES;
    const count = bytes / r.SEGMENT_BYTES;
    if (!Number.isInteger(count) || count === 0 || count > r.MAX_RANGES) return failed;
    const view = new DataView(new ArrayBuffer(bytes));
    if (!chain.read(r.HEADER_BYTES, new Uint8Array(view.buffer))) return failed;
    const isDiscard = kind === r.blkFeature.discard;
    const list: { offset: number; length: number; mayUnmap: boolean }[] = [];
    for (let at = 0; at < bytes; at += r.SEGMENT_BYTES) {
      const sector = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
      const sectors = view.getUint32(at + 8, true);
      const flags = view.getUint32(at + 12, true);
      if ((flags & ~(isDiscard ? 0 : r.UNMAP_FLAG)) !== 0) return unsupported;
      const length = sectors * r.SECTOR_BYTES;
      if (sectors > r.MAX_RANGE_SECTORS || !this.isInside(sector, length)) return failed;
      list.push({ offset: sector * r.SECTOR_BYTES, length, mayUnmap: flags !== 0 });
    }
    for (const { offset, length, mayUnmap } of list) {
      if (isDiscard) await this.store.discard(offset, length);
      else await this.store.writeZeroes(offset, length, mayUnmap);
    }
    if (this.writesThrough) await this.store.flush();
    return ok;
  }

  reset(): void {
    this.config[r.blkConfig.writeback] = 1;
    if (this.active.size === 0) return;
    const all = Promise.allSettled([...this.active]).then(() => {
      if (this.leftovers === all) this.leftovers = undefined;
    });
    this.leftovers = all;
  }

  resume(): void {
    const { sizeBytes } = this.store;
    if (this.capacitySectors !== Math.floor(sizeBytes / r.SECTOR_BYTES)) {
      this.showCapacity(sizeBytes);
      this.host.configChanged();
    }
    this.queueSizes.forEach((_, index) => {
      const queue = this.host.queue(index);
      for (const chain of queue?.inFlight() ?? []) this.start(queue!, chain);
    });
  }

  save(): BlkState {
    return {
      capacitySectors: this.capacitySectors,
      writeback: this.config[r.blkConfig.writeback]!,
    };
  }

  restore({ capacitySectors, writeback }: BlkState): void {
    this.showCapacity(capacitySectors * r.SECTOR_BYTES);
    this.config[r.blkConfig.writeback] = writeback;
  }
}
