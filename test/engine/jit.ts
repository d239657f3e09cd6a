import { loadSoftCode } from '#src/backend/node/soft-code.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';

/** The soft engine's two ways to run code: with the JIT, all of it translated as soon as it can be. */
export const jitModes = ['off', 'on'] as const;
export type Jit = (typeof jitModes)[number];

export const softCode = await loadSoftCode();

export function softEngine(_jit: Jit): SoftEngine {
  return new SoftEngine(softCode);
}
