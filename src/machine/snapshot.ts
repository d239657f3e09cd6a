import type { NamedFile, TraceKind } from './config.js';
import { buildMachine } from './create-machine.js';
import { type GuestCode, guestCode } from './guest-code.js';
import type { HostServices, Machine } from './machine.js';
import { Snapshot } from './snapshot-parts.js';

export type { GuestCode };
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

/** The code of a saved machine's first vCPU. Throws MachineError `bad-input`. */
export function savedCode(snapshot: Snapshot, host: HostServices): GuestCode {
  const machine = buildMachine({ ...snapshot.config, trace: [] }, host);
  snapshot.restore(machine);
  return guestCode(machine.vcpus[0]!.getRecord(), machine.board.memory.physical);
}
