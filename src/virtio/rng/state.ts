import { struct } from '../../base/codec.js';

/** Nothing is kept: every buffer is filled at once. */
export type RngState = Record<never, never>;

export const rngCodec = struct<RngState>({});
