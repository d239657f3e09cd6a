import type { Device } from '../../device/device.js';
import type { IoFace, IoRegion } from '../../device/io.js';
import { PORT } from './registers.js';
import { type PostCodeState, postCodeCodec } from './state.js';

export interface PostCodeWiring {
  /** Called for each write. Linux writes here to pass a microsecond, so it must be cheap. */
  code?: (code: number) => void;
}

/** The diagnostic port: one byte. */
export class PostCode implements Device<PostCodeState>, IoFace {
  // Fixed configuration
  readonly name = 'post-code';
  readonly stateVersion = 1;
  readonly stateCodec = postCodeCodec;
  readonly regions: readonly IoRegion[] = [
    { name: 'code', space: 'port', base: PORT, sizeBytes: 1, maxWidth: 1 },
  ];

  // Wiring
  readonly io: IoFace = this;

  // Guest-visible state
  private state: PostCodeState = { code: 0 };

  constructor(private readonly wiring: PostCodeWiring = {}) {}

  /** The byte last written. */
  get code(): number {
    return this.state.code;
  }

  read(): number {
    return this.state.code;
  }

  write(_region: number, _offset: number, _width: 1 | 2 | 4, value: number): void {
    this.state.code = value & 0xff;
    this.wiring.code?.(this.state.code);
  }

  reset(): void {
    this.state = { code: 0 };
  }

  save(): PostCodeState {
    return { ...this.state };
  }

  restore(state: PostCodeState): void {
    this.state = { ...state };
  }
}
