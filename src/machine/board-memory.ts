import type { MemoryMap } from '../chipset/i440fx/i440fx.js';
import type { Vm } from '../engine/engine.js';
import { FOUR_GIB, type RamLayout } from '../firmware/e820.js';
import { mapFirmware } from '../firmware/firmware-image.js';
import type { NamedFile } from '../firmware/load-error.js';
import { flatten, type Mapping } from '../memory/layers.js';
import { PhysicalMemory } from '../memory/physical-memory.js';

const VGA_START = 0xa_0000;
const SHADOW_START = 0xc_0000;
const SHADOW_END = 0x10_0000;

/**
 * What stands where in guest-physical memory on an i440FX board:
 *
 *   0          RAM                       0xa0000  PCI (VGA), or RAM while SMRAM is open
 *   0xc0000    PCI or RAM by PAM; the end of the firmware shows at 0xe0000
 *   0x100000   RAM up to the hole        0xe0000000 PCI, APICs, firmware up to 4 GiB
 *   4 GiB      the rest of RAM
 */
export class BoardMemory {
  readonly physical: PhysicalMemory;
  readonly ram: Uint8Array;
  private readonly ramPlace: number;
  private readonly romPlace: number;
  private readonly rom: { gpa: number; sizeBytes: number; low: number } | undefined;
  private shown: Mapping[] = [];
  private readonly ids = new Map<string, number>();
  /** Segments that read from PCI and write to RAM. */
  private writeOnly: readonly { base: number; sizeBytes: number }[] = [];

  constructor(
    private readonly vm: Vm,
    private readonly layout: RamLayout,
    firmware: NamedFile | undefined,
  ) {
    const { memory } = vm;
    this.physical = new PhysicalMemory(memory, (gpa, place, length) =>
      vm.memoryWritten(gpa, place, length),
    );
    const ramBytes = layout.below4G + layout.above4G;
    this.ramPlace = memory.start;
    this.romPlace = memory.start + ramBytes;
    this.ram = memory.bytes.subarray(this.ramPlace, this.romPlace);
    if (firmware !== undefined) {
      const { high, low } = mapFirmware(firmware);
      memory.bytes.set(high.data, this.romPlace);
      this.rom = { gpa: high.gpa, sizeBytes: high.data.length, low: low.data.length };
    }
  }

  /** Bytes that an engine has to lend for this much RAM and this firmware. */
  static sizeBytes(layout: RamLayout, firmware: NamedFile | undefined): number {
    return layout.below4G + layout.above4G + (firmware?.data.length ?? 0);
  }

  /** What a guest can see now, for inspection. */
  list(): readonly Mapping[] {
    return this.shown;
  }

  /** Follows PAM and SMRAM. */
  apply(map: MemoryMap): void {
    const wanted = flatten(this.layers(map));
    this.writeOnly = map.segments.filter(({ readRam, writeRam }) => writeRam && !readRam);
    const keep = new Set(wanted.map(keyOf));
    for (const old of this.shown) if (!keep.has(keyOf(old))) this.set(old, 0);
    const had = new Set(this.shown.map(keyOf));
    for (const one of wanted) if (!had.has(keyOf(one))) this.set(one, one.sizeBytes);
    this.shown = wanted;
  }

  /** A write that no slot took: true if it belongs to RAM that is hidden from reads. */
  writeHidden(gpa: number, size: number, value: number): boolean {
    const hidden = this.writeOnly.some(
      ({ base, sizeBytes }) => gpa >= base && gpa + size <= base + sizeBytes,
    );
    if (!hidden) return false;
    const place = this.ramPlace + gpa;
    for (let i = 0; i < size; i++) this.vm.memory.bytes[place + i] = value >>> (8 * i);
    this.vm.memoryWritten(gpa, place, size);
    return true;
  }

  /** Zeroes all RAM. */
  clear(): void {
    this.ram.fill(0);
    this.allWritten();
  }

  /** The machine replaced the content of all RAM. */
  allWritten(): void {
    const { below4G, above4G } = this.layout;
    this.vm.memoryWritten(0, this.ramPlace, below4G);
    if (above4G > 0) this.vm.memoryWritten(FOUR_GIB, this.ramPlace + below4G, above4G);
  }

  private layers({ segments, smram }: MemoryMap): Mapping[] {
    const { layout, rom, ramPlace, romPlace } = this;
    // Named apart, so that shadow RAM is never joined with the big slots around it.
    const ram = (gpa: number, sizeBytes: number, what = 'ram', readonly = false): Mapping => ({
      gpa,
      sizeBytes,
      place: ramPlace + (gpa >= FOUR_GIB ? layout.below4G + gpa - FOUR_GIB : gpa),
      readonly,
      what,
    });
    const bus = (gpa: number, end: number): Mapping => ({
      gpa,
      sizeBytes: end - gpa,
      place: undefined,
      readonly: false,
      what: 'pci',
    });
    const layers = [ram(0, layout.below4G), ram(FOUR_GIB, layout.above4G)];
    if (!smram.everybody) layers.push(bus(VGA_START, SHADOW_START));
    layers.push(bus(SHADOW_START, SHADOW_END));
    if (rom !== undefined) {
      const low = romPlace + rom.sizeBytes - rom.low;
      layers.push(
        { ...rom, place: romPlace, readonly: true, what: 'firmware' },
        {
          gpa: SHADOW_END - rom.low,
          sizeBytes: rom.low,
          place: low,
          readonly: true,
          what: 'firmware',
        },
      );
    }
    for (const { base, sizeBytes, readRam, writeRam } of segments) {
      if (readRam) layers.push(ram(base, sizeBytes, 'shadow ram', !writeRam));
    }
    return layers;
  }

  private set(mapping: Mapping, sizeBytes: number): void {
    const key = keyOf(mapping);
    const id = this.ids.get(key) ?? this.ids.size;
    this.ids.set(key, id);
    const { gpa, readonly } = mapping;
    const slot = { id, gpa, sizeBytes, place: mapping.place!, readonly, log: false };
    this.physical.set(slot);
    this.vm.setMemorySlot(slot);
  }
}

function keyOf({ gpa, sizeBytes, place, readonly }: Mapping): string {
  return `${gpa} ${sizeBytes} ${place} ${readonly}`;
}
