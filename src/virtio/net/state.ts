import { array, bytes, type Codec, fixedArray, struct, u8, u16, u32 } from '../../base/codec.js';
import { MAC_BYTES, MAX_MACS, VLANS } from './registers.js';

export interface RxFilterState {
  /** Bits by command of class `rx`. */
  mode: number;
  macs: Uint8Array[];
  /** A bit each. */
  vlans: Uint8Array;
}

export interface NetState {
  mac: Uint8Array;
  status: number;
  /** Pairs of queues in use. */
  pairs: number;
  /** Offloads that the driver switched off, as two words. */
  disabled: number[];
  filter: RxFilterState;
}

export const netCodec = (maxPairs: number): Codec<NetState> =>
  struct<NetState>({
    mac: bytes(MAC_BYTES),
    status: u16({ max: 3 }),
    pairs: u16({ min: 1, max: maxPairs }),
    disabled: fixedArray(u32(), 2),
    filter: struct<RxFilterState>({
      mode: u8({ max: 0x3f }),
      macs: array(bytes(MAC_BYTES), MAX_MACS),
      vlans: bytes(VLANS / 8),
    }),
  });
