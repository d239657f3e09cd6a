import type { Exit } from '../engine.js';
import { coalesced, coalescedRing, sizeOf } from './registers.js';

/**
 * Writes that the kernel kept back for the next exit: a page of all vCPUs of a VM, `first` is whose who
 * takes from it, `last` the kernel's. A vCPU that finds it full leaves the guest.
 */
export class CoalescedRing {
  private readonly view: DataView;
  private readonly entries: number;

  constructor(page: Uint8Array) {
    this.view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    this.entries = Math.floor((page.length - coalescedRing.entries) / sizeOf.coalesced_mmio);
  }

  /** All that is in it, oldest first. */
  take(): Exit[] {
    const { view } = this;
    const last = view.getUint32(coalescedRing.last, true) % this.entries;
    const taken: Exit[] = [];
    let first = view.getUint32(coalescedRing.first, true) % this.entries;
    for (; first !== last; first = (first + 1) % this.entries) taken.push(this.entry(first));
    if (taken.length > 0) view.setUint32(coalescedRing.first, first, true);
    return taken;
  }

  private entry(index: number): Exit {
    const { view } = this;
    const at = coalescedRing.entries + index * sizeOf.coalesced_mmio;
    const address = Number(view.getBigUint64(at + coalesced.phys_addr, true));
    const length = view.getUint32(at + coalesced.len, true);
    const start = view.byteOffset + at + coalesced.data;
    // A copy: the place is the kernel's again.
    const data = new Uint8Array(view.buffer, start, length).slice();
    if (view.getUint32(at + coalesced.pio, true) === 0) {
      return { kind: 'mmio', gpa: address, direction: 'write', data };
    }
    const size = length as 1 | 2 | 4;
    return { kind: 'io', port: address, size, direction: 'out', count: 1, data };
  }
}
