import type { Codec } from '../base/codec.js';
import type { IoFace } from './io.js';
import type { PciFace } from './pci.js';

/**
 * What a device is. It imports `base` and `device` and nothing else; it sees a region's index and an
 * offset, never an absolute address; its lines, timers, DMA and clock come through its constructor.
 */
export interface Device<S> {
  /** Stable: in logs, snapshots and inspection. */
  readonly name: string;
  readonly io?: IoFace;
  readonly pci?: PciFace;
  /** Assigns a fresh state value. `warm` is a CPU-initiated reset: what survives it differs by chip. */
  reset(kind: 'power-on' | 'warm'): void;
  readonly stateVersion: number;
  readonly stateCodec: Codec<S>;
  /** A copy: later guest accesses do not change it. */
  save(): S;
  /** Takes decoded and checked state only; re-arms timers and drives its lines to match. */
  restore(state: S): void;
}
