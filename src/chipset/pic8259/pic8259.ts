import type { Device } from '../../device/device.js';
import type { IoFace, IoRegion } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import { Chip8259 } from './chip.js';
import * as r from './registers.js';
import { type Pic8259State, pic8259Codec } from './state.js';

export interface Pic8259Wiring {
  /** INTR to the CPU: high while an interrupt waits to be acknowledged. */
  intr: IrqLine;
}

const SLAVE = 1;
const ELCR = 2;

/** The PC's two interrupt controllers, the slave's output on the master's input 2. */
export class Pic8259Pair implements Device<Pic8259State>, IoFace {
  // Fixed configuration
  readonly name = 'pic8259';
  readonly stateVersion = 1;
  readonly stateCodec = pic8259Codec;
  readonly regions: readonly IoRegion[] = [
    { name: 'master', space: 'port', base: r.MASTER_PORT, sizeBytes: 2, maxWidth: 1 },
    { name: 'slave', space: 'port', base: r.SLAVE_PORT, sizeBytes: 2, maxWidth: 1 },
    { name: 'elcr', space: 'port', base: r.ELCR_PORT, sizeBytes: 2, maxWidth: 1 },
  ];

  // Wiring
  readonly io: IoFace = this;
  private readonly inputs: readonly IrqLine[];

  // Guest-visible state
  private readonly master = new Chip8259(true, r.ELCR_MASKS[0]);
  private readonly slave = new Chip8259(false, r.ELCR_MASKS[1]);

  constructor(private readonly wiring: Pic8259Wiring) {
    this.inputs = Array.from({ length: 16 }, (_, irq) => {
      const chip = irq < 8 ? this.master : this.slave;
      return {
        set: (high: boolean) => {
          chip.setLine(irq & 7, high);
          this.update();
        },
      };
    });
  }

  /** Interrupt request input 0 to 15; 2 is the cascade and leads nowhere. */
  irq(input: number): IrqLine {
    return input === r.CASCADE_INPUT ? { set() {} } : this.inputs[input]!;
  }

  /** INTR as it is now. */
  get pending(): boolean {
    return this.master.request() >= 0;
  }

  /**
   * The CPU's interrupt acknowledge cycles: the vector. A request that went away meanwhile gives
   * input 7 of the chip that is asked, with nothing in service [8259A, "Interrupt sequence"].
   */
  acknowledge(): number {
    const input = this.master.request();
    let vector: number;
    if (input < 0) {
      vector = this.master.vector(r.SPURIOUS_INPUT);
    } else {
      this.master.acknowledge(input);
      vector = input === r.CASCADE_INPUT ? this.acknowledgeSlave() : this.master.vector(input);
    }
    this.update();
    return vector;
  }

  read(region: number, offset: number): number {
    if (region === ELCR) return (offset === 0 ? this.master : this.slave).state.elcr;
    const value = this.chip(region).read(offset & 1);
    this.update();
    return value;
  }

  write(region: number, offset: number, _width: 1 | 2 | 4, value: number): void {
    if (region === ELCR) (offset === 0 ? this.master : this.slave).writeElcr(value & 0xff);
    else this.chip(region).write(offset & 1, value & 0xff);
    this.update();
  }

  reset(): void {
    this.master.reset();
    this.slave.reset();
    this.update();
  }

  save(): Pic8259State {
    return { master: { ...this.master.state }, slave: { ...this.slave.state } };
  }

  restore(state: Pic8259State): void {
    this.master.state = { ...state.master };
    this.slave.state = { ...state.slave };
    this.wiring.intr.set(this.pending);
  }

  private chip(region: number): Chip8259 {
    return region === SLAVE ? this.slave : this.master;
  }

  private acknowledgeSlave(): number {
    const input = this.slave.request();
    if (input >= 0) this.slave.acknowledge(input);
    // INT drops in the acknowledge cycle; if more waits it rises again, a new edge for the master.
    this.master.setLine(r.CASCADE_INPUT, false);
    return this.slave.vector(input >= 0 ? input : r.SPURIOUS_INPUT);
  }

  private update(): void {
    this.master.setLine(r.CASCADE_INPUT, this.slave.request() >= 0);
    this.wiring.intr.set(this.pending);
  }
}
