import { loadSoftCode } from '../backend/node/soft-code.js';
import { type Engine, EngineError } from '../engine/engine.js';
import { SoftEngine } from '../engine/soft/soft-engine.js';
import type { EngineChoice } from './machine-flags.js';

/** The engine the user chose, or for `auto` the best that works on this host. */
export async function openEngine(choice: EngineChoice): Promise<Engine> {
  if (choice === 'kvm') {
    throw new EngineError(
      'unavailable',
      '--engine kvm: this version has no kvm engine yet; --engine soft works everywhere',
    );
  }
  return new SoftEngine(await loadSoftCode());
}
