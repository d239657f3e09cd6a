import * as r from './registers.js';
import { type ChipState, freshChip } from './state.js';

/** One 8259A: what it requests, and what happens when that is acknowledged. Knows no wiring. */
export class Chip8259 {
  state: ChipState = freshChip();

  constructor(
    /** The slave hangs on input 2, which matters in special fully nested mode. */
    private readonly isMaster: boolean,
    private readonly elcrMask: number,
  ) {}

  /** Back to the power-on values; the inputs keep the levels that others drive. */
  reset(): void {
    const { lines } = this.state;
    this.state = { ...freshChip(), lines };
  }

  setLine(input: number, high: boolean): void {
    const s = this.state;
    const bit = 1 << input;
    const rose = high && (s.lines & bit) === 0;
    s.lines = high ? s.lines | bit : s.lines & ~bit;
    if (s.elcr & bit) s.irr = high ? s.irr | bit : s.irr & ~bit;
    else if (rose) s.irr |= bit;
  }

  /** The input that wants service now, or -1. */
  request(): number {
    const s = this.state;
    const wanting = s.irr & ~s.imr;
    if (wanting === 0) return -1;
    let serving = s.isr;
    if (s.specialMask) serving &= ~s.imr;
    // The slave may interrupt itself: its higher inputs come through while one is in service.
    if (s.specialFullyNested && this.isMaster) serving &= ~(1 << r.CASCADE_INPUT);
    const rank = this.rank(wanting);
    return rank < this.rank(serving) ? this.inputOf(rank) : -1;
  }

  /** Takes `input` into service. */
  acknowledge(input: number): void {
    const s = this.state;
    const bit = 1 << input;
    if (s.autoEoi) {
      if (s.rotateInAutoEoi) s.topPriority = (input + 1) & 7;
    } else {
      s.isr |= bit;
    }
    if ((s.elcr & bit) === 0) s.irr &= ~bit;
  }

  vector(input: number): number {
    return this.state.vectorBase | input;
  }

  read(a0: number): number {
    const s = this.state;
    if (s.poll) {
      s.poll = false;
      const input = this.request();
      if (input < 0) return 0;
      this.acknowledge(input);
      return r.POLL_PENDING | input;
    }
    if (a0 === 1) return s.imr;
    return s.readIsr ? s.isr : s.irr;
  }

  write(a0: number, value: number): void {
    if (a0 === 1) this.writeData(value);
    else if (value & r.ICW1) this.initialise(value);
    else if (value & r.OCW3) this.writeOcw3(value);
    else this.writeOcw2(value >> 5, value & 7);
  }

  writeElcr(value: number): void {
    const s = this.state;
    s.elcr = value & this.elcrMask;
    s.irr = (s.irr & ~s.elcr) | (s.lines & s.elcr);
  }

  /** ICW1 clears the edge latches and the mask; input 7 gets the lowest priority [8259A, "ICW1"]. */
  private initialise(icw1: number): void {
    const { lines, elcr, vectorBase } = this.state;
    this.state = {
      ...freshChip(),
      lines,
      elcr,
      vectorBase,
      irr: lines & elcr,
      expects: 'icw2',
      icw4Follows: (icw1 & r.ICW1_IC4) !== 0,
      single: (icw1 & r.ICW1_SNGL) !== 0,
    };
  }

  private writeData(value: number): void {
    const s = this.state;
    switch (s.expects) {
      case 'mask':
        s.imr = value;
        break;
      case 'icw2':
        s.vectorBase = value & r.ICW2_VECTOR_MASK;
        s.expects = !s.single ? 'icw3' : s.icw4Follows ? 'icw4' : 'mask';
        break;
      case 'icw3':
        // The board fixes the cascade; what the guest says about it changes nothing.
        s.expects = s.icw4Follows ? 'icw4' : 'mask';
        break;
      case 'icw4':
        s.autoEoi = (value & r.ICW4_AEOI) !== 0;
        s.specialFullyNested = (value & r.ICW4_SFNM) !== 0;
        s.expects = 'mask';
        break;
    }
  }

  private writeOcw3(value: number): void {
    const s = this.state;
    if (value & r.OCW3_POLL) s.poll = true;
    if (value & r.OCW3_RR) s.readIsr = (value & r.OCW3_RIS) !== 0;
    if (value & r.OCW3_ESMM) s.specialMask = (value & r.OCW3_SMM) !== 0;
  }

  private writeOcw2(command: number, level: number): void {
    const s = this.state;
    switch (command) {
      case r.Ocw2.rotateInAutoEoiClear:
      case r.Ocw2.rotateInAutoEoiSet:
        s.rotateInAutoEoi = command === r.Ocw2.rotateInAutoEoiSet;
        break;
      case r.Ocw2.nonSpecificEoi:
      case r.Ocw2.rotateOnNonSpecificEoi: {
        // A masked input in service is left alone in special mask mode [8259A, "EOI"].
        const rank = this.rank(s.specialMask ? s.isr & ~s.imr : s.isr);
        if (rank === NOTHING) break;
        const input = this.inputOf(rank);
        s.isr &= ~(1 << input);
        if (command === r.Ocw2.rotateOnNonSpecificEoi) s.topPriority = (input + 1) & 7;
        break;
      }
      case r.Ocw2.specificEoi:
        s.isr &= ~(1 << level);
        break;
      case r.Ocw2.rotateOnSpecificEoi:
        s.isr &= ~(1 << level);
        s.topPriority = (level + 1) & 7;
        break;
      case r.Ocw2.setPriority:
        s.topPriority = (level + 1) & 7;
        break;
    }
  }

  /** Rank of the most urgent of `inputs`, 0 first, or {@link NOTHING}. */
  private rank(inputs: number): number {
    if (inputs === 0) return NOTHING;
    const turned = (inputs | (inputs << 8)) >> this.state.topPriority;
    return 31 - Math.clz32(turned & -turned);
  }

  private inputOf(rank: number): number {
    return (rank + this.state.topPriority) & 7;
  }
}

const NOTHING = 8;
