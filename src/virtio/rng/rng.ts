import type { VirtioHost, VirtioType } from '../core/virtio-type.js';
import { MAX_RANDOM_BYTES, RNG_CLASS, RNG_DEVICE_ID, RNG_QUEUE_SIZE } from './registers.js';
import { type RngState, rngCodec } from './state.js';

/** Random bytes for the guest. [VIRTIO 5.4] */
export class VirtioRng implements VirtioType<RngState> {
  readonly name = 'rng';
  readonly deviceId = RNG_DEVICE_ID;
  readonly classCode = RNG_CLASS;
  readonly features = [];
  readonly queueSizes = [RNG_QUEUE_SIZE];
  readonly config = new Uint8Array(0);
  readonly stateVersion = 1;
  readonly stateCodec = rngCodec;
  private readonly words = new Uint32Array(MAX_RANDOM_BYTES / 4);
  private readonly bytes = new Uint8Array(this.words.buffer);
  private host!: VirtioHost;

  /** `randomU32`: 32 bits fit for keys. */
  constructor(private readonly randomU32: () => number) {}

  attach(host: VirtioHost): void {
    this.host = host;
  }

  notified(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const count = Math.min(chain.writableBytes, MAX_RANDOM_BYTES);
      for (let i = 0; i < count; i += 4) this.words[i / 4] = this.randomU32();
      const isTaken = chain.write(0, this.bytes.subarray(0, count));
      // A buffer that is nowhere got nothing.
      queue.push(chain, isTaken ? count : 0);
    }
    queue.notify();
  }

  reset(): void {}

  save(): RngState {
    return {};
  }

  restore(): void {}
}
