import type { Device } from '../../device/device.js';
import type { IoFace, IoRegion } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import { FAST_A20, FAST_INIT, PORT } from './registers.js';
import { type Port92State, port92Codec } from './state.js';

export interface Port92Wiring {
  /** High while this port asks for A20; the board ORs it with the keyboard controller's. */
  a20: IrqLine;
  /** The guest asked for a reset of its CPU. */
  reset: () => void;
}

/** System control port A: fast A20 gate and fast reset. */
export class Port92 implements Device<Port92State>, IoFace {
  // Fixed configuration
  readonly name = 'port92';
  readonly stateVersion = 1;
  readonly stateCodec = port92Codec;
  readonly regions: readonly IoRegion[] = [
    { name: 'control', space: 'port', base: PORT, sizeBytes: 1, maxWidth: 1 },
  ];

  // Wiring
  readonly io: IoFace = this;

  // Guest-visible state
  private state: Port92State = { value: 0 };

  constructor(private readonly wiring: Port92Wiring) {}

  read(): number {
    return this.state.value;
  }

  write(_region: number, _offset: number, _width: 1 | 2 | 4, value: number): void {
    const rose = value & ~this.state.value;
    this.restore({ value: value & 0xff });
    if (rose & FAST_INIT) this.wiring.reset();
  }

  reset(): void {
    this.restore({ value: 0 });
  }

  save(): Port92State {
    return { ...this.state };
  }

  restore(state: Port92State): void {
    this.state = { ...state };
    this.wiring.a20.set((state.value & FAST_A20) !== 0);
  }
}
