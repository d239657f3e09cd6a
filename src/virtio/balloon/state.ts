import { struct, u32 } from '../../base/codec.js';

export interface BalloonState {
  /** What the host wants, and what the driver says it has given, in pages of 4 KiB. */
  pages: number;
  actual: number;
}

export const balloonCodec = struct<BalloonState>({ pages: u32(), actual: u32() });
