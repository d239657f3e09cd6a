import { EngineError } from '../engine.js';
import { errorName } from './libc.js';

/** A structure with some fields: places, each with its value, 32 bits for a number and 64 for a bigint. */
export function structure(sizeBytes: number, ...fields: (number | bigint)[]): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < fields.length; i += 2) {
    const [at, value] = [Number(fields[i]), fields[i + 1]!];
    if (typeof value === 'bigint') view.setBigUint64(at, BigInt.asUintN(64, value), true);
    else view.setUint32(at, value, true);
  }
  return bytes;
}

const noRoom = new Set(['ENOMEM', 'EMFILE', 'ENFILE', 'EEXIST', 'ENOSPC']);

/** Throws for a request that failed: `what` is what was wanted, as in "the guest's memory". */
export function checked(answer: number, what: string): number {
  if (answer >= 0) return answer;
  const error = errorName();
  const code = noRoom.has(error) ? 'limit' : 'bad-state';
  throw new EngineError(code, `the host's KVM refused ${what}: ${error}`);
}
