import type { Chain } from './chain.js';
import { DESCRIPTOR_BYTES, descriptorFlag, split } from './registers.js';
import { guestAddress } from './ring-memory.js';
import type { RingState } from './state.js';
import { Virtqueue } from './virtqueue.js';

/** A split virtqueue. [VIRTIO 2.7] */
export class SplitQueue extends Virtqueue {
  /** Free-running: entries of the available ring taken, and of the used ring filled. */
  private taken = 0;
  private used = 0;

  protected isAvailable(): boolean {
    const { memory, layout } = this;
    const waiting = (memory.u16(layout.driver + split.index) - this.taken) & 0xffff;
    if (memory.faulted) return false;
    if (waiting > layout.size) return this.refuse('its available index jumped');
    return waiting > 0;
  }

  protected askForNotification(): void {
    if (!this.features.eventIdx) return;
    const { device, size } = this.layout;
    this.memory.setU16(device + split.ring + size * split.usedBytes, this.taken);
  }

  protected take(): Chain | undefined {
    const { memory, layout } = this;
    const slot = this.taken % layout.size;
    const head = memory.u16(layout.driver + split.ring + slot * split.availableBytes);
    this.begin();
    let table = layout.descriptors;
    let entries = layout.size;
    let isIndirect = false;
    let at = head;
    for (let steps = 0; !memory.faulted; steps++) {
      if (at >= entries) return this.stop('a descriptor beyond its table');
      if (steps >= entries) return this.stop('a chain is a loop');
      const descriptor = memory.load(table + at * DESCRIPTOR_BYTES);
      const flags = descriptor.getUint16(12, true);
      if ((flags & descriptorFlag.indirect) !== 0) {
        if (isIndirect) return this.stop('an indirect table in an indirect table');
        entries = this.tableEntries(descriptor, flags);
        if (entries === 0) return undefined;
        table = guestAddress(descriptor.getUint32(0, true), descriptor.getUint32(4, true));
        isIndirect = true;
        at = 0;
        steps = -1;
        continue;
      }
      if (!this.add(descriptor, flags)) return undefined;
      if ((flags & descriptorFlag.next) === 0) {
        this.taken = (this.taken + 1) & 0xffff;
        return this.finish(head, 1);
      }
      at = descriptor.getUint16(14, true);
    }
    return undefined;
  }

  private stop(reason: string): undefined {
    this.fail(reason);
  }

  protected untake(): void {
    this.taken = (this.taken - 1) & 0xffff;
  }

  protected use(chain: Chain, written: number): void {
    const { memory, layout } = this;
    const slot = this.used % layout.size;
    memory.setPair(layout.device + split.ring + slot * split.usedBytes, chain.id, written);
    this.used = (this.used + 1) & 0xffff;
    this.unsignalled = Math.min(this.unsignalled + 1, 0xffff);
  }

  protected publish(): void {
    this.memory.setU16(this.layout.device + split.index, this.used);
  }

  protected wantsInterrupt(): boolean {
    const { driver, size } = this.layout;
    if (!this.features.eventIdx) return (this.memory.u16(driver) & split.noInterrupt) === 0;
    const event = this.memory.u16(driver + split.ring + size * split.availableBytes);
    // The used index passed the event since the last time. [VIRTIO 2.7.7.2]
    return ((this.used - event - 1) & 0xffff) < this.unsignalled;
  }

  protected saveIndices() {
    return { taken: this.taken, used: this.used, takenWrap: false, usedWrap: false };
  }

  protected restoreIndices(state: RingState): void {
    this.taken = state.taken;
    this.used = state.used;
  }
}
