import type { NamedFile, TraceKind } from './config.js';
import { buildMachine } from './create-machine.js';
import type { HostServices, Machine } from './machine.js';
import { Snapshot } from './snapshot-parts.js';

export { Snapshot };

/** A machine that goes on where {@link Machine.save} left it. Throws MachineError `bad-input`. */
export function loadMachine(
  saved: NamedFile | Snapshot,
  host: HostServices,
  trace: readonly TraceKind[] = [],
): Machine {
  const snapshot = saved instanceof Snapshot ? saved : new Snapshot(saved);
  snapshot.checkFeatures(host.engine);
  const machine = buildMachine({ ...snapshot.config, trace }, host);
  snapshot.restore(machine);
  return machine;
}
