import type { Device } from '../../device/device.js';
import { allOnes, type IoFace, type IoRegion } from '../../device/io.js';
import { PORT, SIZE_BYTES } from './registers.js';
import { type IsaDebugExitState, isaDebugExitCodec } from './state.js';

export interface IsaDebugExitWiring {
  /** The guest wants the machine to end with this status: odd, below 2^32. */
  exit: (status: number) => void;
}

/** A write of `value` ends the machine with status `(value << 1) | 1`, which is never 0. */
export class IsaDebugExit implements Device<IsaDebugExitState>, IoFace {
  // Fixed configuration
  readonly name = 'isa-debug-exit';
  readonly stateVersion = 1;
  readonly stateCodec = isaDebugExitCodec;
  readonly regions: readonly IoRegion[];

  // Wiring
  readonly io: IoFace = this;

  constructor(
    private readonly wiring: IsaDebugExitWiring,
    config: { base?: number } = {},
  ) {
    const base = config.base ?? PORT;
    this.regions = [{ name: 'exit', space: 'port', base, sizeBytes: SIZE_BYTES }];
  }

  read(_region: number, _offset: number, width: 1 | 2 | 4): number {
    return allOnes(width);
  }

  write(_region: number, _offset: number, _width: 1 | 2 | 4, value: number): void {
    this.wiring.exit(((value << 1) | 1) >>> 0);
  }

  reset(): void {}

  save(): IsaDebugExitState {
    return {};
  }

  restore(): void {}
}
