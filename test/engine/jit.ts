import { loadSoftCode } from '#src/backend/node/soft-code.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';

/** The soft engine's two ways to run code. */
export const jitModes = ['off', 'on'] as const;
export type Jit = (typeof jitModes)[number];

export const softCode = await loadSoftCode();

/** With the JIT, blocks are translated after so many runs, and so much of it is kept. */
export function softEngine(jit: Jit, jitThreshold = 10, jitCodeBytes = 1 << 20): SoftEngine {
  return new SoftEngine(softCode, { jit, jitThreshold, jitCodeBytes });
}
