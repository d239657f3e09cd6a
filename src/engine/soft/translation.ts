import type { Decoder } from '../../cpu/isa/decode.js';
import type { Entry } from '../../cpu/isa/table.js';
import { CheckedRegion, isUnchecked } from '../../cpu/jit/checked-region.js';
import { discover, type Region } from '../../cpu/jit/region.js';
import { RegionBuilder } from '../../cpu/jit/region-builder.js';
import { blocksOf } from '../../cpu/jit/region-listing.js';
import { TracedRegion } from '../../cpu/jit/traced-region.js';
import { translate } from '../../cpu/jit/translate.js';
import { type CodePlace, type CodeReading, codeView } from './code-view.js';

/** Which builder makes regions. */
export type RegionKind = 'plain' | 'traced' | 'checked';

const builders = { plain: RegionBuilder, traced: TracedRegion, checked: CheckedRegion };

/** Code of a page that a region was made of. */
export interface PageCode {
  readonly place: number;
  readonly generation: number;
  /** What its 4,096 bytes were, and from where up to where they were looked at. */
  readonly bytes: Uint8Array;
  readonly ranges: readonly Range[];
}

export interface Range {
  readonly start: number;
  end: number;
}

/** A region that was found, for whoever enters it where it can be run. */
export interface FoundRegion extends CodePlace {
  readonly pages: readonly PageCode[];
  readonly instructions: number;
  readonly blocks: number;
  readonly guestBytes: number;
}

/** What is the same for all regions of a vCPU. */
export interface TranslatorSetup {
  readonly memory: DataView;
  /** Address of the vCPU's area. */
  readonly cpu: number;
  /** No other vCPU runs. */
  readonly alone: boolean;
  readonly kind: RegionKind;
}

/** Regions that go into one module: all of the same key. */
export class Translation {
  readonly found: FoundRegion[] = [];
  instructions = 0;
  readonly regions: Region[] = [];
  private readonly covered = new Set<number>();

  constructor(
    private readonly decoder: Decoder,
    private readonly setup: TranslatorSetup,
  ) {}

  /** A block that begins inside one of the regions; most often it will not be entered there any more. */
  covers(place: number): boolean {
    return this.covered.has(place);
  }

  /** Adds the region that begins at a place. False: its first instruction is not for us. */
  add(code: CodePlace): boolean {
    const { memory, cpu, kind } = this.setup;
    const reading = new PageReading(memory, kind === 'checked' ? isUnchecked : undefined);
    const view = codeView(memory, cpu, code, reading);
    const region = discover(this.decoder, view, code.place % PAGE);
    if (!region) return false;
    const nodes = blocksOf(region);
    this.regions.push(region);
    this.instructions += region.instructions;
    for (const at of region.leaders) this.covered.add(at);
    this.found.push({
      ...code,
      pages: region.pages.flatMap(({ place, generation }) => reading.read(place, generation)),
      instructions: nodes.reduce((sum, { insns }) => sum + insns.length, 0),
      blocks: nodes.length,
      guestBytes: nodes.flatMap(({ insns }) => insns).reduce((sum, { length }) => sum + length, 0),
    });
    return true;
  }

  /** The module; `stamp` is the address of the word that its regions put the JIT's clock into. */
  module(stamp: number): Uint8Array {
    const { cpu, alone, kind } = this.setup;
    const target = { cpu, key: this.found[0]!.key, alone, stamp };
    return translate(this.regions, target, builders[kind]);
  }
}

const PAGE = 4096;

/** Copies of the pages that are read: the guest may write to them meanwhile. */
class PageReading implements CodeReading {
  private readonly pages = new Map<number, { bytes: Uint8Array; ranges: Range[] }>();

  constructor(
    private readonly memory: DataView,
    readonly leaves: ((entry: Entry) => boolean) | undefined,
  ) {}

  page(place: number): Uint8Array {
    let page = this.pages.get(place);
    if (!page) {
      page = { bytes: new Uint8Array(this.memory.buffer, place, PAGE).slice(), ranges: [] };
      this.pages.set(place, page);
    }
    return page.bytes;
  }

  mark(place: number, length: number): void {
    const { ranges } = this.pages.get(place - (place % PAGE))!;
    const start = place % PAGE;
    const last = ranges.at(-1);
    if (last && start >= last.start && start <= last.end) last.end = start + length;
    else ranges.push({ start, end: start + length });
  }

  read(place: number, generation: number): PageCode[] {
    const page = this.pages.get(place);
    return page && page.ranges.length > 0 ? [{ place, generation, ...page }] : [];
  }
}
