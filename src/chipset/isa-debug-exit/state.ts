import { struct } from '../../base/codec.js';

/** The port keeps nothing. */
export type IsaDebugExitState = Record<never, never>;

export const isaDebugExitCodec = struct<IsaDebugExitState>({});
