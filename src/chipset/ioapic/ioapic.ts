import type { Device } from '../../device/device.js';
import { allOnes, type IoFace } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import {
  DEST_MASK,
  DEST_SHIFT,
  entry,
  ID_MASK,
  ID_SHIFT,
  IOAPIC_BASE,
  IOAPIC_SIZE,
  IOREGSEL,
  IOWIN,
  index,
  PIN_COUNT,
  VERSION,
} from './registers.js';
import { type IoapicState, ioapicCodec, word } from './state.js';

/** Hands an interrupt to local APICs; false if none took it. */
export type ApicDeliver = (
  dest: number,
  logical: boolean,
  deliveryMode: number,
  vector: number,
  level: boolean,
) => boolean;

/**
 * 82093AA over words that all threads of a VM may see: devices raise pins on one thread while CPUs
 * end interrupts on others. Every change of an entry is an atomic exchange; the order everywhere is
 * to change the pin or remote IRR first and to look at the other after. Pins take the level that a
 * device means by "asserted", whatever the entry's polarity bit says.
 */
export class Ioapic implements Device<IoapicState>, IoFace {
  readonly name = 'ioapic';
  readonly io = this;
  readonly regions = [
    { name: 'ioapic', space: 'mmio', sizeBytes: IOAPIC_SIZE, base: IOAPIC_BASE },
  ] as const;
  readonly stateVersion = 1;
  readonly stateCodec = ioapicCodec;

  constructor(
    /** At least {@link IOAPIC_WORDS} words; reset if all zero. */
    private readonly words: Int32Array,
    private readonly deliver: ApicDeliver,
  ) {
    if (words[word.ready] === 0) this.reset();
  }

  /** Input 0 to 23. */
  pin(pin: number): IrqLine {
    return { set: (high) => this.setPin(pin, high) };
  }

  setPin(pin: number, high: boolean): void {
    const bit = 1 << pin;
    if (!high) {
      Atomics.and(this.words, word.lines, ~bit);
      return;
    }
    const before = Atomics.or(this.words, word.lines, bit);
    const low = Atomics.load(this.words, lowWord(pin));
    if ((low & entry.level) !== 0) this.sampleLevel(pin);
    // An edge on a masked pin is lost. [IOAPIC 3.2.4, bit 16]
    else if ((before & bit) === 0 && (low & entry.masked) === 0) this.send(pin, low);
  }

  /** A CPU ended a level-triggered interrupt: what still holds its pin interrupts again. */
  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < PIN_COUNT; pin++) {
      const low = Atomics.load(this.words, lowWord(pin));
      if ((low & entry.vector) !== vector || (low & entry.remoteIrr) === 0) continue;
      Atomics.and(this.words, lowWord(pin), ~entry.remoteIrr);
      this.sampleLevel(pin);
    }
  }

  /** Sends a level-triggered pin's interrupt unless one is under way. */
  private sampleLevel(pin: number): void {
    for (;;) {
      const low = Atomics.load(this.words, lowWord(pin));
      const high = (Atomics.load(this.words, word.lines) & (1 << pin)) !== 0;
      if (!high || (low & entry.level) === 0) return;
      if ((low & (entry.masked | entry.remoteIrr)) !== 0) return;
      if (!this.replace(pin, low, low | entry.remoteIrr)) continue;
      // Nobody took it, so nobody will end it.
      if (!this.send(pin, low)) Atomics.and(this.words, lowWord(pin), ~entry.remoteIrr);
      return;
    }
  }

  private replace(pin: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.words, lowWord(pin), from, to) === from;
  }

  private send(pin: number, low: number): boolean {
    const dest = Atomics.load(this.words, lowWord(pin) + 1) >>> DEST_SHIFT;
    const deliveryMode = (low >>> entry.deliveryModeShift) & 7;
    const logical = (low & entry.logical) !== 0;
    return this.deliver(dest, logical, deliveryMode, low & entry.vector, (low & entry.level) !== 0);
  }

  read(region: number, offset: number, width: 1 | 2 | 4): number {
    const shift = 8 * (offset & 3);
    if (region !== 0 || shift + 8 * width > 32) return allOnes(width);
    return ((this.readRegister(offset & ~3) >>> shift) & allOnes(width)) >>> 0;
  }

  private readRegister(offset: number): number {
    const select = this.words[word.select];
    if (offset === IOREGSEL) return select;
    if (offset !== IOWIN) return 0xffff_ffff;
    switch (select) {
      case index.id:
      case index.arbitration:
        return this.words[word.id] << ID_SHIFT;
      case index.version:
        return VERSION;
    }
    const at = select - index.redirection;
    if (at < 0 || at >= 2 * PIN_COUNT) return 0;
    return Atomics.load(this.words, word.redirection + at);
  }

  /** Dwords only, as the data sheet has it. */
  write(region: number, offset: number, width: 1 | 2 | 4, value: number): void {
    if (region !== 0 || width !== 4) return;
    if (offset === IOREGSEL) {
      this.words[word.select] = value & 0xff;
      return;
    }
    if (offset !== IOWIN) return;
    const select = this.words[word.select];
    if (select === index.id) this.words[word.id] = (value >>> ID_SHIFT) & ID_MASK;
    const at = select - index.redirection;
    if (at < 0 || at >= 2 * PIN_COUNT) return;
    const pin = at >> 1;
    if ((at & 1) !== 0) Atomics.store(this.words, lowWord(pin) + 1, value & DEST_MASK);
    else this.writeEntry(pin, value & entry.writable);
  }

  private writeEntry(pin: number, bits: number): void {
    for (;;) {
      const before = Atomics.load(this.words, lowWord(pin));
      // Edge-triggered has no remote IRR: drivers clear a stuck one by going there and back.
      const held = (bits & entry.level) !== 0 ? before & entry.remoteIrr : 0;
      if (this.replace(pin, before, bits | held)) break;
    }
    this.sampleLevel(pin);
  }

  reset(): void {
    const { words } = this;
    words[word.select] = 0;
    words[word.id] = 0;
    for (let pin = 0; pin < PIN_COUNT; pin++) {
      Atomics.store(words, lowWord(pin), entry.masked);
      Atomics.store(words, lowWord(pin) + 1, 0);
    }
    words[word.ready] = 1;
  }

  save(): IoapicState {
    const { words } = this;
    return {
      id: words[word.id],
      select: words[word.select],
      redirection: Array.from({ length: PIN_COUNT }, (_, pin) => {
        const high = BigInt(Atomics.load(words, lowWord(pin) + 1) >>> 0);
        return (high << 32n) | BigInt(Atomics.load(words, lowWord(pin)) >>> 0);
      }),
      lines: Atomics.load(words, word.lines),
    };
  }

  /** Remote IRR comes back with the entries, so nothing is delivered twice. */
  restore(state: IoapicState): void {
    const { words } = this;
    words[word.id] = state.id & ID_MASK;
    words[word.select] = state.select & 0xff;
    Atomics.store(words, word.lines, state.lines);
    for (let pin = 0; pin < PIN_COUNT; pin++) {
      const value = state.redirection[pin] ?? BigInt(entry.masked);
      Atomics.store(words, lowWord(pin) + 1, Number(value >> 32n) & DEST_MASK);
      Atomics.store(words, lowWord(pin), Number(value & 0xffff_ffffn) & entry.valid);
    }
  }
}

function lowWord(pin: number): number {
  return word.redirection + 2 * pin;
}
