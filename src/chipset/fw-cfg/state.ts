import { type Codec, struct, u16, u32 } from '../../base/codec.js';

/** Items are configuration, not state: the machine adds them again. */
export interface FwCfgState {
  selected: number;
  /** Of the next byte in the selected item. */
  offset: number;
  /** High half of the DMA address, waiting for the low one. */
  dmaHigh: number;
}

export const fwCfgCodec: Codec<FwCfgState> = struct({
  selected: u16(),
  offset: u32(),
  dmaHigh: u32(),
});
