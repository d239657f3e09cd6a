import { type Engine, EngineError } from '../engine/engine.js';
import { openSoftEngine } from '../engine/soft/soft-engine.js';
import type { EngineChoice } from './machine-flags.js';

/** The engine the user chose, or for `auto` the best that works on this host. */
export async function openEngine(choice: EngineChoice): Promise<Engine> {
  if (choice === 'kvm') {
    throw new EngineError(
      'unavailable',
      '--engine kvm: this version has no kvm engine yet; --engine soft works everywhere',
    );
  }
  return openSoftEngine();
}
