import { type Codec, fixedArray, struct, u16, u32 } from '../../base/codec.js';
import type { CoreState } from '../core/state.js';
import type { MsixState } from './msix.js';

export interface VirtioPciState<S> {
  config: Uint8Array;
  msix: MsixState;
  deviceFeatureSelect: number;
  driverFeatureSelect: number;
  queueSelect: number;
  configVector: number;
  queueVectors: number[];
  core: CoreState<S>;
}

/** `config`, `msix` and `core` know what this function has. */
export function virtioPciCodec<S>(
  config: Codec<Uint8Array>,
  msix: Codec<MsixState>,
  core: Codec<CoreState<S>>,
  queues: number,
): Codec<VirtioPciState<S>> {
  return struct<VirtioPciState<S>>({
    config,
    msix,
    deviceFeatureSelect: u32(),
    driverFeatureSelect: u32(),
    queueSelect: u16(),
    configVector: u16(),
    queueVectors: fixedArray(u16(), queues),
    core,
  });
}
