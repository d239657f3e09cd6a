import { struct } from '../../base/codec.js';

/** The port keeps nothing. */
export type DebugconState = Record<never, never>;

export const debugconCodec = struct<DebugconState>({});
