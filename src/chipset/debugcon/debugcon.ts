import type { Device } from '../../device/device.js';
import type { IoFace, IoRegion } from '../../device/io.js';
import { PORT, PRESENT } from './registers.js';
import { type DebugconState, debugconCodec } from './state.js';

export interface DebugconWiring {
  /** Takes one byte of the firmware's log. */
  sink: { write(byte: number): void };
}

/** A port that takes text a byte at a time. */
export class Debugcon implements Device<DebugconState>, IoFace {
  // Fixed configuration
  readonly name = 'debugcon';
  readonly stateVersion = 1;
  readonly stateCodec = debugconCodec;
  readonly regions: readonly IoRegion[] = [
    { name: 'text', space: 'port', base: PORT, sizeBytes: 1, maxWidth: 1 },
  ];

  // Wiring
  readonly io: IoFace = this;

  constructor(private readonly wiring: DebugconWiring) {}

  read(): number {
    return PRESENT;
  }

  write(_region: number, _offset: number, _width: 1 | 2 | 4, value: number): void {
    this.wiring.sink.write(value & 0xff);
  }

  reset(): void {}

  save(): DebugconState {
    return {};
  }

  restore(): void {}
}
