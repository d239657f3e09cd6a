import { EngineError, type Vm } from '../engine/engine.js';
import { NOTIFY_MULTIPLIER, structures } from '../virtio/pci/registers.js';

/**
 * The notifications of a virtio function's queues as doorbells of the engine, so that no vCPU waits
 * while the device works. They follow the BAR.
 */
export class VirtioDoorbells {
  private silence: (() => void)[] = [];

  constructor(
    private readonly vm: Pick<Vm, 'doorbell'>,
    private readonly queues: number,
    /** As a write of the queue's number to this offset of the BAR. */
    private readonly ring: (offset: number, queue: number) => void,
  ) {}

  move(base: number | undefined): void {
    for (const end of this.silence) end();
    this.silence = [];
    if (base === undefined || this.vm.doorbell === undefined) return;
    for (let queue = 0; queue < this.queues; queue++) {
      const offset = structures.notify.offset + queue * NOTIFY_MULTIPLIER;
      const bell = { space: 'mmio', address: base + offset, size: 2, value: queue } as const;
      try {
        this.silence.push(this.vm.doorbell(bell, () => this.ring(offset, queue)));
      } catch (error) {
        // A guest may put two BARs in one place: writes there stay what they were, exits.
        if (!(error instanceof EngineError)) throw error;
      }
    }
  }
}
