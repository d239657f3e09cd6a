import type { Device } from '../../device/device.js';
import { allOnes, type IoFace } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import { PciConfigSpace, pciHeader } from '../../device/pci-config.js';
import {
  identity,
  PCICMD_RESET,
  PCISTS_RESET,
  PIRQ_COUNT,
  PIRQRC,
  pirqrc,
  plainRegisters,
  RESET_CONTROL_PORT,
  ROUTABLE_IRQS,
  rcr,
} from './registers.js';
import { type Piix3State, piix3Codec } from './state.js';

/**
 * Which PIRQ (0 for A) a slot's pin (1 for INTA#) is wired to. The pins rotate by slot, so that
 * one-pin cards do not share: device 1 pin A is PIRQA.
 */
export function pirqOf(slot: number, pin: number): number {
  return (pin - 1 + slot - 1) & 3;
}

export interface Piix3Wiring {
  /** Inputs 0 to 15 of the 8259 pair (and of the IOAPIC), each for this chip alone: not shared. */
  readonly irqs: readonly IrqLine[];
  /** The guest wrote the reset control register. Soft: the CPU only. */
  readonly onReset: (kind: 'soft' | 'hard') => void;
}

/** 82371SB ISA bridge: device 1 function 0. Routes PCI interrupts and resets the machine. */
export class Piix3 implements Device<Piix3State>, IoFace {
  readonly name = 'piix3';
  readonly io = this;
  readonly regions = [
    { name: 'reset-control', space: 'port', sizeBytes: 1, base: RESET_CONTROL_PORT, maxWidth: 1 },
  ] as const;
  readonly pci: PciConfigSpace;
  readonly stateVersion = 1;
  readonly stateCodec;

  // How many sources hold each PIRQ; sources drive it again after restore.
  private readonly holders = new Array<number>(PIRQ_COUNT).fill(0);
  /** IRQs this chip holds high, by bit. */
  private driven = 0;

  // Guest-visible state.
  private resetControl = 0;

  constructor(private readonly wiring: Piix3Wiring) {
    this.pci = new PciConfigSpace(identity, {
      written: (offset, width) => {
        if (offset + width > PIRQRC && offset < PIRQRC + PIRQ_COUNT) this.route();
      },
    });
    this.pci.define(pciHeader.command, 2, { reset: PCICMD_RESET, writable: 0x0108 });
    this.pci.define(pciHeader.status, 2, { reset: PCISTS_RESET, clearable: 0x7800 });
    this.pci.define(pciHeader.cacheLineSize, 1, { writable: 0 });
    this.pci.define(pciHeader.interruptLine, 1, { writable: 0 });
    for (const [offset, width, reset, writable] of plainRegisters) {
      this.pci.define(offset, width, { reset, writable });
    }
    for (let i = 0; i < PIRQ_COUNT; i++) {
      this.pci.define(PIRQRC + i, 1, { reset: pirqrc.disabled, writable: pirqrc.writable });
    }
    this.stateCodec = piix3Codec(this.pci.codec);
  }

  /** A line of its own for one source on a PIRQ: 0 to 3. PCI interrupts are levels and shared. */
  pirqInput(pirq: number): IrqLine {
    let high = false;
    return {
      set: (level) => {
        if (level === high) return;
        high = level;
        this.holders[pirq] += level ? 1 : -1;
        this.route();
      },
    };
  }

  /** The line for a pin (1 for INTA#) of a card in `slot`. */
  pciInput(slot: number, pin: number): IrqLine {
    return this.pirqInput(pirqOf(slot, pin));
  }

  /** The IRQ that a PIRQ leads to, or -1. */
  irqOf(pirq: number): number {
    const control = this.pci.get(PIRQRC + pirq, 1);
    const irq = control & pirqrc.irqMask;
    return (control & pirqrc.disabled) !== 0 || ((ROUTABLE_IRQS >> irq) & 1) === 0 ? -1 : irq;
  }

  private route(): void {
    let wanted = 0;
    for (let pirq = 0; pirq < PIRQ_COUNT; pirq++) {
      const irq = this.irqOf(pirq);
      if (irq >= 0 && this.holders[pirq] > 0) wanted |= 1 << irq;
    }
    const changed = wanted ^ this.driven;
    this.driven = wanted;
    for (let irq = 0; changed >>> irq !== 0; irq++) {
      if (((changed >>> irq) & 1) !== 0) this.wiring.irqs[irq]?.set(((wanted >>> irq) & 1) !== 0);
    }
  }

  read(region: number, offset: number, width: 1 | 2 | 4): number {
    return region === 0 && offset === 0 && width === 1 ? this.resetControl : allOnes(width);
  }

  write(region: number, offset: number, width: 1 | 2 | 4, value: number): void {
    if (region !== 0 || offset !== 0 || width !== 1) return;
    const rises = (value & ~this.resetControl & rcr.resetCpu) !== 0;
    this.resetControl = value & (rcr.hard | rcr.resetCpu);
    if (rises) this.wiring.onReset((value & rcr.hard) !== 0 ? 'hard' : 'soft');
  }

  reset(): void {
    this.resetControl = 0;
    this.pci.reset();
    this.route();
  }

  save(): Piix3State {
    return { config: this.pci.save(), resetControl: this.resetControl };
  }

  restore(state: Piix3State): void {
    this.resetControl = state.resetControl;
    this.pci.restore(state.config);
    this.route();
  }
}
