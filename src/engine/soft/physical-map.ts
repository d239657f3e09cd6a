import * as layout from '../../cpu/state/layout.js';
import { type MemorySlot, PAGE_BYTES } from '../../memory/slot.js';

/**
 * The page-by-page map of guest-physical memory that generated code and the runtime read, and the
 * book of pages with decoded code. Whoever changes the map makes the vCPUs drop their TLBs.
 */
export class PhysicalMap {
  private readonly pages: Int32Array;
  private readonly code: Int32Array;
  private readonly slots = new Map<number, MemorySlot>();

  constructor(buffer: ArrayBufferLike) {
    this.pages = new Int32Array(buffer, layout.PHYS_MAP, layout.PHYS_PAGES);
    this.code = new Int32Array(buffer, layout.CODE_PAGES, 0x10_0000 * (layout.CODE_PAGE_SIZE / 4));
  }

  set(slot: MemorySlot): void {
    const old = this.slots.get(slot.id);
    if (old !== undefined) this.fill(old, () => 0);
    this.slots.delete(slot.id);
    if (slot.sizeBytes === 0) return;
    this.slots.set(slot.id, slot);
    const flags =
      layout.PHYS_READ | (slot.readonly ? 0 : layout.PHYS_WRITE) | (slot.log ? layout.PHYS_LOG : 0);
    this.fill(slot, (offset) => (slot.place + offset) | flags);
  }

  /** Puts the local APIC's page at `gpa`, or nowhere. */
  moveApic(from: number | undefined, to: number | undefined): void {
    const page = (gpa: number | undefined) => (gpa === undefined ? -1 : gpa / PAGE_BYTES);
    const [before, after] = [page(from), page(to)];
    if (before >= 0 && before < layout.PHYS_PAGES) this.pages[before] = this.memoryAt(from!);
    if (after >= 0 && after < layout.PHYS_PAGES) this.pages[after] = layout.PHYS_APIC;
  }

  /** Indices in the slot of pages written since the last call. */
  takeDirty(slotId: number): Uint32Array {
    const slot = this.slots.get(slotId);
    const dirty: number[] = [];
    if (slot?.log) {
      const first = slot.gpa / PAGE_BYTES;
      for (let i = 0; i < slot.sizeBytes / PAGE_BYTES; i++) {
        const before = Atomics.and(this.pages, first + i, ~layout.PHYS_DIRTY);
        if ((before & layout.PHYS_DIRTY) !== 0) dirty.push(i);
      }
    }
    return Uint32Array.from(dirty);
  }

  /** Code decoded from these bytes is stale, and their pages are dirty. True: there was such code. */
  written(gpa: number, place: number, length: number): boolean {
    if (length === 0) return false;
    let code = false;
    for (let page = place >>> 12; page <= (place + length - 1) >>> 12; page++) {
      const start = Math.max(place, page * PAGE_BYTES) % PAGE_BYTES;
      const end = Math.min(place + length - page * PAGE_BYTES, PAGE_BYTES) - 1;
      if (this.dropCode(page, start >> 6, end >> 6)) code = true;
    }
    const last = Math.min(Math.floor((gpa + length - 1) / PAGE_BYTES), layout.PHYS_PAGES - 1);
    for (let page = Math.floor(gpa / PAGE_BYTES); page <= last; page++) {
      if ((this.pages[page]! & layout.PHYS_LOG) !== 0) {
        Atomics.or(this.pages, page, layout.PHYS_DIRTY);
      }
    }
    return code;
  }

  /** Lines `first` to `last` (of 64 bytes) of a page of this memory were overwritten. */
  private dropCode(page: number, first: number, last: number): boolean {
    const at = page * (layout.CODE_PAGE_SIZE / 4);
    const low = lineMask(first, last) & this.code[at + 2]!;
    const high = lineMask(first - 32, last - 32) & this.code[at + 3]!;
    if ((low | high) === 0) return false;
    Atomics.add(this.code, at, 1);
    Atomics.store(this.code, at + 2, 0);
    Atomics.store(this.code, at + 3, 0);
    return true;
  }

  private fill(slot: MemorySlot, entry: (offset: number) => number): void {
    const first = slot.gpa / PAGE_BYTES;
    for (let i = 0; i < slot.sizeBytes / PAGE_BYTES && first + i < layout.PHYS_PAGES; i++) {
      if (this.pages[first + i] === layout.PHYS_APIC) continue;
      this.pages[first + i] = entry(i * PAGE_BYTES);
    }
  }

  private memoryAt(gpa: number): number {
    for (const slot of this.slots.values()) {
      if (gpa < slot.gpa || gpa >= slot.gpa + slot.sizeBytes) continue;
      const access = slot.readonly ? layout.PHYS_READ : layout.PHYS_READ | layout.PHYS_WRITE;
      return (slot.place + gpa - slot.gpa) | access | (slot.log ? layout.PHYS_LOG : 0);
    }
    return 0;
  }
}

/** Bits `first` to `last` of a word, clipped to it. */
function lineMask(first: number, last: number): number {
  if (last < 0 || first > 31) return 0;
  const upTo = last >= 31 ? -1 : (1 << (last + 1)) - 1;
  return first <= 0 ? upTo : upTo & ~((1 << first) - 1);
}
