import { type Codec, struct, u8 } from '../../base/codec.js';
import { rcr } from './registers.js';

export interface Piix3State {
  config: Uint8Array;
  /** RCR: SRST and RCPU. */
  resetControl: number;
}

/** `config` knows which bytes this function fixes. */
export function piix3Codec(config: Codec<Uint8Array>): Codec<Piix3State> {
  const fields = struct<Piix3State>({ config, resetControl: u8({ max: rcr.hard | rcr.resetCpu }) });
  return {
    encode: fields.encode,
    decode(reader) {
      const state = fields.decode(reader);
      if ((state.resetControl & 1) !== 0) reader.fail(state.resetControl, 'reserved bits zero');
      return state;
    },
  };
}
