/**
 * A process of its own, for tests of how one ends: `kvm-child.js exit|stop|throw|close`, with a guest that
 * never exits.
 */
import { loadKvmEngine } from '#src/engine/kvm/kvm-engine.js';
import { createMachine } from '#src/machine/create-machine.js';
import { config, testHost } from '../machine/rig.js';
import { firmwareWith } from './tick-guest.js';

const how = process.argv[2];
const { host } = testHost(loadKvmEngine());
// cli; 1: jmp 1b
const firmware = firmwareWith(Uint8Array.of(0xfa, 0xeb, 0xfe));
const machine = createMachine(config({ firmware, cpus: 2 }), host);
const run = machine.run();
setTimeout(() => {
  if (how === 'exit') process.exit(3);
  if (how === 'throw') throw new Error('on purpose');
  if (how === 'close') return machine.close();
  // Nothing is closed: an idle thread must not keep the process.
  machine.stop();
}, 200);
await run;
