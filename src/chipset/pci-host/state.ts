import { type Codec, CodecError, struct, u32 } from '../../base/codec.js';
import { configAddress } from './registers.js';

export interface PciHostState {
  /** CONFADD, reserved bits zero. */
  configAddress: number;
}

const fields = struct<PciHostState>({ configAddress: u32() });

export const pciHostCodec: Codec<PciHostState> = {
  encode: fields.encode,
  decode(reader) {
    const state = fields.decode(reader);
    if ((state.configAddress & ~configAddress.writable) !== 0) {
      throw new CodecError('configAddress', String(state.configAddress), 'reserved bits zero');
    }
    return state;
  },
};
