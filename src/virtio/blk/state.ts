import { f64, struct, u8 } from '../../base/codec.js';

export interface BlkState {
  /** As the driver was told. */
  capacitySectors: number;
  /** 0: write-through, 1: write-back. */
  writeback: number;
}

export const blkCodec = struct<BlkState>({
  capacitySectors: f64({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  writeback: u8({ max: 1 }),
});
