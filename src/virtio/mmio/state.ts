import { type Codec, struct, u32 } from '../../base/codec.js';
import type { CoreState } from '../core/state.js';

export interface VirtioMmioState<S> {
  deviceFeaturesSelect: number;
  driverFeaturesSelect: number;
  queueSelect: number;
  core: CoreState<S>;
}

export const virtioMmioCodec = <S>(core: Codec<CoreState<S>>): Codec<VirtioMmioState<S>> =>
  struct<VirtioMmioState<S>>({
    deviceFeaturesSelect: u32(),
    driverFeaturesSelect: u32(),
    queueSelect: u32(),
    core,
  });
