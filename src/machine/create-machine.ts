import { ramLayout } from '../firmware/e820.js';
import { prepareBoot } from './boot.js';
import { checkBoots, checkConfig, type MachineConfig } from './config.js';
import type { HostServices, Machine } from './machine.js';
import { PcMachine } from './pc-machine.js';

/**
 * A machine, powered on, waiting for `run`. Throws MachineError or LoadError for what the user can
 * mend, EngineError for what the host lacks.
 */
export function createMachine(config: MachineConfig, host: HostServices): Machine {
  checkBoots(config);
  const machine = buildMachine(config, host);
  machine.powerOn();
  return machine;
}

/** A machine without its first instruction: for a snapshot to be restored into, or to be looked at. */
export function buildMachine(config: MachineConfig, host: HostServices): PcMachine {
  const { engine } = host;
  checkConfig(config, engine);
  return new PcMachine(
    config,
    host,
    prepareBoot(config, ramLayout(config.memoryBytes), host.randomU32),
  );
}
