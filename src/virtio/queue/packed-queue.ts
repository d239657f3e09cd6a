import type { Chain } from './chain.js';
import { DESCRIPTOR_BYTES, descriptorFlag, packed } from './registers.js';
import { fence, guestAddress } from './ring-memory.js';
import type { RingState } from './state.js';
import { Virtqueue } from './virtqueue.js';

/** A packed virtqueue: one ring that driver and device both write. [VIRTIO 2.8] */
export class PackedQueue extends Virtqueue {
  /** Places in the ring, and wrap counters, which start at 1. [VIRTIO 2.8.1] */
  private taken = 0;
  private takenWrap = true;
  private used = 0;
  private usedWrap = true;
  /** A used descriptor that is all written but for its flags; -1: none. */
  private firstAt = -1;
  private firstFlags = 0;

  protected isAvailable(): boolean {
    const flags = this.memory.u16(this.place(this.taken) + packed.flags);
    if (this.memory.faulted) return false;
    return this.isFresh(flags, this.takenWrap);
  }

  private isFresh(flags: number, wrap: boolean): boolean {
    return (
      ((flags & descriptorFlag.avail) !== 0) === wrap &&
      ((flags & descriptorFlag.used) !== 0) !== wrap
    );
  }

  private place(index: number): number {
    return this.layout.descriptors + index * DESCRIPTOR_BYTES;
  }

  protected askForNotification(): void {
    if (!this.features.eventIdx) return;
    const at = this.taken | (this.takenWrap ? 1 << packed.wrapBit : 0);
    this.memory.setU32(this.layout.device, (at | (packed.eventDescriptor << 16)) >>> 0);
  }

  protected take(): Chain | undefined {
    const { memory, layout } = this;
    this.begin();
    let at = this.taken;
    for (let slots = 1; !memory.faulted; slots++) {
      // The flags were seen to be set; only now may the rest be read.
      fence();
      const descriptor = memory.load(this.place(at));
      const flags = descriptor.getUint16(packed.flags, true);
      const id = descriptor.getUint16(packed.id, true);
      const more = (flags & descriptorFlag.next) !== 0;
      if ((flags & descriptorFlag.indirect) !== 0) {
        const entries = slots > 1 ? 0 : this.tableEntries(descriptor, flags);
        if (slots > 1) this.fail('an indirect descriptor in a chain');
        if (entries === 0 || !this.addTable(descriptor, entries)) return undefined;
      } else if (!this.add(descriptor, flags)) return undefined;
      at = at + 1 === layout.size ? 0 : at + 1;
      if (!more) {
        if (at <= this.taken) this.takenWrap = !this.takenWrap;
        this.taken = at;
        return this.finish(id, slots);
      }
      if (slots === layout.size) this.fail('a chain is longer than the ring');
      if (this.isBroken) return undefined;
    }
    return undefined;
  }

  /** Descriptors of an indirect table follow each other; only their WRITE flag counts. */
  private addTable(descriptor: DataView, entries: number): boolean {
    const table = guestAddress(descriptor.getUint32(0, true), descriptor.getUint32(4, true));
    for (let i = 0; i < entries; i++) {
      const entry = this.memory.load(table + i * DESCRIPTOR_BYTES);
      if (!this.add(entry, entry.getUint16(packed.flags, true))) return false;
    }
    return true;
  }

  protected untake(chain: Chain): void {
    if (this.taken < chain.slots) {
      this.taken += this.layout.size;
      this.takenWrap = !this.takenWrap;
    }
    this.taken -= chain.slots;
  }

  protected use(chain: Chain, written: number): void {
    const { memory, layout } = this;
    const at = this.place(this.used);
    const wrap = this.usedWrap ? descriptorFlag.avail | descriptorFlag.used : 0;
    memory.setU32(at + 8, written);
    memory.setU16(at + packed.id, chain.id);
    const flags = wrap | (written > 0 ? descriptorFlag.write : 0);
    // The driver looks at the first descriptor only, whose flags are written last. [VIRTIO 2.8.9]
    if (this.firstAt < 0) {
      this.firstAt = at;
      this.firstFlags = flags;
    } else memory.setU16(at + packed.flags, flags);
    this.used += chain.slots;
    if (this.used >= layout.size) {
      this.used -= layout.size;
      this.usedWrap = !this.usedWrap;
    }
    this.unsignalled = Math.min(this.unsignalled + chain.slots, 0xffff);
  }

  protected publish(): void {
    if (this.firstAt >= 0) this.memory.setU16(this.firstAt + packed.flags, this.firstFlags);
    this.firstAt = -1;
  }

  protected wantsInterrupt(): boolean {
    const { driver, size } = this.layout;
    const flags = this.memory.u16(driver + packed.eventFlags) & 3;
    if (flags !== packed.eventDescriptor || !this.features.eventIdx) {
      return flags !== packed.eventDisable;
    }
    const event = this.memory.u16(driver);
    const sameLap = event >>> packed.wrapBit === (this.usedWrap ? 1 : 0);
    const place = (event & 0x7fff) - (sameLap ? 0 : size);
    return ((this.used - place - 1) & 0xffff) < this.unsignalled;
  }

  protected saveIndices() {
    const { taken, used, takenWrap, usedWrap } = this;
    return { taken, used, takenWrap, usedWrap };
  }

  protected restoreIndices(state: RingState): void {
    this.taken = state.taken;
    this.takenWrap = state.takenWrap;
    this.used = state.used;
    this.usedWrap = state.usedWrap;
  }
}
