import { flatten, type Mapping } from '../../memory/layers.js';
import { type MemorySlot, PAGE_BYTES } from '../../memory/slot.js';
import { checked, structure } from './arguments.js';
import { addressOf, type Libc } from './libc.js';
import * as r from './registers.js';

const MIB = 0x10_0000;

/** A piece of a slot as the kernel has it. */
interface KernelSlot {
  readonly number: number;
  readonly key: string;
  readonly owner: MemorySlot;
  readonly mapping: Mapping;
}

/**
 * The machine's slots as the kernel's. KVM knows no A20 gate: while it is closed, the second MiB shows
 * what the first has, which is all that real-mode code can reach of it.
 */
export class KvmSlots {
  private readonly slots = new Map<number, MemorySlot>();
  private kernel: KernelSlot[] = [];
  private readonly numbers: number[] = [];
  private readonly writtenByHost = new Map<number, Set<number>>();
  private a20 = true;

  constructor(
    private readonly c: Libc,
    private readonly fd: number,
    private readonly address: bigint,
  ) {}

  set(slot: MemorySlot): void {
    if (slot.sizeBytes === 0) this.slots.delete(slot.id);
    else this.slots.set(slot.id, slot);
    this.writtenByHost.delete(slot.id);
    this.apply();
  }

  setA20(open: boolean): void {
    if (open === this.a20) return;
    this.a20 = open;
    this.apply();
  }

  /** The machine wrote: a page of a slot with a log is dirty. */
  written(place: number, length: number): void {
    for (const { id, log, place: start, sizeBytes } of this.slots.values()) {
      if (!log || place + length <= start || place >= start + sizeBytes) continue;
      const pages = this.writtenByHost.get(id) ?? new Set();
      this.writtenByHost.set(id, pages);
      const first = Math.max(0, Math.floor((place - start) / PAGE_BYTES));
      const last = Math.min(sizeBytes - 1, place + length - 1 - start) / PAGE_BYTES;
      for (let page = first; page <= last; page++) pages.add(page);
    }
  }

  takeDirty(id: number): Uint32Array {
    const pages = this.writtenByHost.get(id) ?? new Set<number>();
    this.writtenByHost.delete(id);
    for (const one of this.kernel) {
      if (one.owner.id === id && one.owner.log) this.addDirty(one, pages);
    }
    return Uint32Array.from(pages).sort();
  }

  private addDirty({ number, owner, mapping }: KernelSlot, pages: Set<number>): void {
    const count = mapping.sizeBytes / PAGE_BYTES;
    const bitmap = new Uint8Array(Math.ceil(count / 64) * 8);
    const { slot, dirty_bitmap } = r.dirtyLog;
    const log = structure(r.sizeOf.dirty_log, slot, number, dirty_bitmap, addressOf(bitmap));
    checked(this.c.ioctl(this.fd, r.ioctl.GET_DIRTY_LOG, log), 'the log of dirty pages');
    const first = (mapping.place! - owner.place) / PAGE_BYTES;
    bitmap.forEach((byte, i) => {
      for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) pages.add(first + i * 8 + bit);
    });
  }

  private apply(): void {
    const wanted = this.wanted();
    const keys = new Set(wanted.map(({ key }) => key));
    const stay = this.kernel.filter(({ key }) => keys.has(key));
    for (const old of this.kernel) {
      if (keys.has(old.key)) continue;
      this.tell(old.number, old.mapping, 0, 0);
      this.numbers.push(old.number);
    }
    const had = new Set(stay.map(({ key }) => key));
    this.kernel = stay;
    for (const one of wanted) {
      if (had.has(one.key)) continue;
      const number = this.numbers.pop() ?? this.kernel.length;
      const { readonly, log } = one.owner;
      const flags =
        (readonly ? r.memoryFlag.READONLY : 0) | (log ? r.memoryFlag.LOG_DIRTY_PAGES : 0);
      this.tell(number, one.mapping, one.mapping.sizeBytes, flags);
      this.kernel.push({ ...one, number });
    }
  }

  /** What the kernel should have, by what shows at each address. */
  private wanted(): Omit<KernelSlot, 'number'>[] {
    const all = [...this.slots.values()];
    // Named by their slot, so that neighbours are not joined.
    const layers: Mapping[] = all.map((slot) => ({ ...slot, what: `${slot.id}` }));
    if (!this.a20) {
      const alias = flatten(layers)
        .filter(({ gpa }) => gpa < MIB)
        .map((one) => ({
          ...one,
          gpa: one.gpa + MIB,
          sizeBytes: Math.min(one.sizeBytes, MIB - one.gpa),
        }));
      const nothing = { gpa: MIB, sizeBytes: MIB, place: undefined, readonly: false, what: 'a20' };
      layers.push(nothing, ...alias);
    }
    return flatten(layers).map((mapping) => {
      const owner = this.slots.get(Number(mapping.what))!;
      const { gpa, sizeBytes, place } = mapping;
      const key = `${gpa} ${sizeBytes} ${place} ${owner.readonly} ${owner.log} ${owner.id}`;
      return { key, owner, mapping };
    });
  }

  private tell(number: number, { gpa, place }: Mapping, sizeBytes: number, flags: number): void {
    const { slot, flags: flagsAt, guest_phys_addr, memory_size, userspace_addr } = r.memory;
    const region = structure(
      r.sizeOf.userspace_memory_region,
      ...[slot, number, flagsAt, sizeBytes === 0 ? 0 : flags, guest_phys_addr, BigInt(gpa)],
      ...[memory_size, BigInt(sizeBytes), userspace_addr, this.address + BigInt(place!)],
    );
    const answer = this.c.ioctl(this.fd, r.ioctl.SET_USER_MEMORY_REGION, region);
    checked(answer, `memory at 0x${gpa.toString(16)}, ${sizeBytes} bytes`);
  }
}
