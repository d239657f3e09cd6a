import { EngineError } from '../engine.js';
import { errorName } from './libc.js';

/** Throws for a request that failed: `what` is what was wanted, as in "the guest's memory". */
export function checked(answer: number, what: string): number {
  if (answer >= 0) return answer;
  const error = errorName();
  const lacks =
    error === 'ENOMEM' || error === 'EMFILE' || error === 'ENFILE' || error === 'EEXIST';
  throw new EngineError(lacks ? 'limit' : 'bad-state', `the host's KVM refused ${what}: ${error}`);
}
