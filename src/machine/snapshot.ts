import type { NamedFile, TraceKind } from './config.js';
import { buildMachine } from './create-machine.js';
import type { HostServices, Machine } from './machine.js';
import { Snapshot } from './snapshot-parts.js';

/** A machine that goes on where {@link Machine.save} left it. Throws MachineError `bad-input`. */
export function loadMachine(
  file: NamedFile,
  host: HostServices,
  trace: readonly TraceKind[] = [],
): Machine {
  const snapshot = new Snapshot(file);
  snapshot.checkFeatures(host.engine);
  const machine = buildMachine({ ...snapshot.config, trace }, host);
  snapshot.restore(machine);
  return machine;
}
