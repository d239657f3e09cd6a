import { struct, u8 } from '../../base/codec.js';

export interface Port92State {
  /** The byte last written. */
  value: number;
}

export const port92Codec = struct<Port92State>({ value: u8() });
