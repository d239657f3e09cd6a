import { type Codec, struct } from '../../base/codec.js';

export interface I440fxState {
  /** Configuration space: all that this chip keeps. */
  config: Uint8Array;
}

/** `config` knows which bytes this function fixes. */
export function i440fxCodec(config: Codec<Uint8Array>): Codec<I440fxState> {
  return struct<I440fxState>({ config });
}
