import { DiskError } from '../backend/disk/disk.js';
import { NetError } from '../backend/net/net-host.js';
import { EngineError } from '../engine/engine.js';
import { LoadError } from '../firmware/load-error.js';
import { MachineError } from '../machine/machine-error.js';
import { CliError, exitStatus } from './exit-status.js';

/**
 * Says on standard error what went wrong and answers the status to end with. What the user can mend
 * is one sentence; a stack trace means that the bug is ours.
 */
export function reportError(error: unknown): number {
  const known = knownStatus(error);
  if (known !== undefined) {
    process.stderr.write(`chassis: ${(error as Error).message}\n`);
    if (known === exitStatus.usage) process.stderr.write('chassis: see chassis help\n');
    return known;
  }
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`chassis: this is a bug in chassis, not in your guest:\n${trace}\n`);
  return exitStatus.ourBug;
}

function knownStatus(error: unknown): number | undefined {
  if (error instanceof CliError) return error.status;
  if (error instanceof DiskError) {
    return error.code === 'usage' ? exitStatus.usage : exitStatus.badInput;
  }
  if (error instanceof NetError) {
    return error.code === 'usage' ? exitStatus.usage : exitStatus.badInput;
  }
  if (error instanceof LoadError) return exitStatus.badInput;
  if (error instanceof EngineError) {
    const isEngine = error.code === 'unavailable' || error.code === 'failed';
    return isEngine ? exitStatus.engineMissing : exitStatus.badInput;
  }
  if (error instanceof MachineError) {
    return error.code === 'bad-input' ? exitStatus.badInput : exitStatus.usage;
  }
  return undefined;
}
