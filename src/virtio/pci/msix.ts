import { array, bool, type Codec, struct, u32 } from '../../base/codec.js';
import { allOnes } from '../../device/io.js';
import type { MsiSink } from '../../device/irq.js';

/** Message control register: the last two bytes of the capability's first word. [PCI 6.8.2.3] */
export const msixControl = { enable: 1 << 15, maskAll: 1 << 14 } as const;
/** Where the pending bits stand in the region. */
export const PENDING_OFFSET = 0x800;
const ENTRY_WORDS = 4;
const ENTRY_MASKED = 1;

export interface MsixState {
  /** Address low and high, data, vector control of each entry. */
  table: number[];
  pending: boolean[];
}

/** The table of messages of a PCI function and what waits behind its masks. [PCI 6.8.2] */
export class Msix {
  readonly codec: Codec<MsixState>;
  private readonly table: Uint32Array;
  private readonly pending: boolean[];

  constructor(
    readonly vectors: number,
    private readonly sink: MsiSink,
    /** The message control register as it is now. */
    private readonly control: () => number,
  ) {
    this.table = new Uint32Array(vectors * ENTRY_WORDS);
    this.pending = Array(vectors).fill(false);
    this.reset();
    const exactly = <T>(item: Codec<T>, count: number): Codec<T[]> => ({
      encode: array(item, count).encode,
      decode(reader) {
        const found = array(item, count).decode(reader);
        return found.length === count ? found : reader.fail(`${found.length} items`, `${count}`);
      },
    });
    this.codec = struct<MsixState>({
      table: exactly(u32(), this.table.length),
      pending: exactly(bool, vectors),
    });
  }

  get isEnabled(): boolean {
    return (this.control() & msixControl.enable) !== 0;
  }

  /** Sends the message of a vector, or keeps it while masked. */
  signal(vector: number): void {
    if (vector >= this.vectors || !this.isEnabled) return;
    if (this.isMasked(vector)) this.pending[vector] = true;
    else this.send(vector);
  }

  /** A mask was lifted, or the function enabled: what waits is sent. */
  release(): void {
    if (!this.isEnabled) return;
    for (let vector = 0; vector < this.vectors; vector++) {
      if (!this.pending[vector] || this.isMasked(vector)) continue;
      this.pending[vector] = false;
      this.send(vector);
    }
  }

  private isMasked(vector: number): boolean {
    const entry = this.table[vector * ENTRY_WORDS + 3]!;
    return (this.control() & msixControl.maskAll) !== 0 || (entry & ENTRY_MASKED) !== 0;
  }

  private send(vector: number): void {
    const at = vector * ENTRY_WORDS;
    this.sink.send(this.table[at + 1]! * 2 ** 32 + this.table[at]!, this.table[at + 2]!);
  }

  /** Words only, as the standard asks of software. */
  read(offset: number, width: 1 | 2 | 4): number {
    if (width !== 4 || offset % 4 !== 0) return allOnes(width);
    if (offset < PENDING_OFFSET) return this.table[offset / 4] ?? 0;
    let word = 0;
    const first = (offset - PENDING_OFFSET) * 8;
    for (let i = 0; i < 32; i++) if (this.pending[first + i]) word |= 1 << i;
    return word >>> 0;
  }

  write(offset: number, width: 1 | 2 | 4, value: number): void {
    if (width !== 4 || offset % 4 !== 0 || offset / 4 >= this.table.length) return;
    const isControl = (offset / 4) % ENTRY_WORDS === 3;
    this.table[offset / 4] = isControl ? value & ENTRY_MASKED : value;
    this.release();
  }

  reset(): void {
    this.table.fill(0);
    for (let i = 3; i < this.table.length; i += ENTRY_WORDS) this.table[i] = ENTRY_MASKED;
    this.pending.fill(false);
  }

  save(): MsixState {
    return { table: [...this.table], pending: [...this.pending] };
  }

  restore(state: MsixState): void {
    this.table.set(state.table);
    state.pending.forEach((value, vector) => {
      this.pending[vector] = value;
    });
  }
}
