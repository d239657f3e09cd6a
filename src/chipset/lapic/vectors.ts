import { reg } from './registers.js';

/**
 * The vectors that are requested (IRR), served (ISR) and level-triggered (TMR): three banks of 256
 * bits. Requests come from any thread, the rest is done by the CPU itself. [SDM 3A 11.8.4]
 */
export class Vectors {
  constructor(private readonly words: Int32Array) {}

  /** Trigger mode first: whoever sees the request finds it. */
  request(vector: number, levelTriggered: boolean): void {
    const bit = 1 << (vector & 31);
    const tmr = wordOf(reg.tmr, vector);
    if (levelTriggered) Atomics.or(this.words, tmr, bit);
    else Atomics.and(this.words, tmr, ~bit);
    Atomics.or(this.words, wordOf(reg.irr, vector), bit);
  }

  /** The CPU takes a requested vector. */
  serve(vector: number): void {
    const bit = 1 << (vector & 31);
    Atomics.and(this.words, wordOf(reg.irr, vector), ~bit);
    this.words[wordOf(reg.isr, vector)] |= bit;
  }

  /** Ends the highest vector being served and says it, or -1. */
  end(): number {
    const vector = this.highest(reg.isr);
    if (vector >= 0) this.words[wordOf(reg.isr, vector)] &= ~(1 << (vector & 31));
    return vector;
  }

  isLevelTriggered(vector: number): boolean {
    return (Atomics.load(this.words, wordOf(reg.tmr, vector)) & (1 << (vector & 31))) !== 0;
  }

  /** The highest requested vector above the processor priority, or -1. */
  deliverable(): number {
    const vector = this.highest(reg.irr);
    return vector >= 0 && (vector & 0xf0) > (this.processorPriority() & 0xf0) ? vector : -1;
  }

  /** PPR. [SDM 3A 11.8.3.1] */
  processorPriority(): number {
    const tpr = this.words[reg.tpr >> 2];
    const served = Math.max(this.highest(reg.isr), 0);
    return (tpr & 0xf0) >= (served & 0xf0) ? tpr : served & 0xf0;
  }

  /** APR. [SDM 3A 11.6.2.4] */
  arbitrationPriority(): number {
    const tpr = this.words[reg.tpr >> 2];
    const served = Math.max(this.highest(reg.isr), 0) & 0xf0;
    const requested = Math.max(this.highest(reg.irr), 0) & 0xf0;
    const above = (tpr & 0xf0) >= requested && (tpr & 0xf0) > served;
    return above ? tpr : Math.max(tpr & 0xf0, served, requested);
  }

  private highest(bank: number): number {
    for (let i = 7; i >= 0; i--) {
      const bits = Atomics.load(this.words, (bank >> 2) + 4 * i);
      if (bits !== 0) return 32 * i + 31 - Math.clz32(bits);
    }
    return -1;
  }
}

function wordOf(bank: number, vector: number): number {
  return (bank >> 2) + 4 * (vector >> 5);
}
