import { struct, u8 } from '../../base/codec.js';

export interface PostCodeState {
  code: number;
}

export const postCodeCodec = struct<PostCodeState>({ code: u8() });
