import { MemoryChar } from '#src/backend/char/char.js';
import { HostClock } from '#src/backend/node/host-clock.js';
import { hostSchedule } from '#src/backend/node/host-schedule.js';
import { silentLog } from '#src/base/log.js';
import type { Engine } from '#src/engine/engine.js';
import type { MachineConfig } from '#src/machine/config.js';
import type { HostServices } from '#src/machine/machine.js';

/** Host services that a test looks into. */
export function testHost(engine: Engine) {
  const serial = new MemoryChar();
  const debugcon = new MemoryChar();
  const trace: string[] = [];
  let seed = 1;
  const host: HostServices = {
    engine,
    clock: new HostClock(),
    schedule: hostSchedule,
    randomU32: () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0),
    log: silentLog,
    serial: [serial],
    debugcon,
    trace: (line) => trace.push(line),
  };
  return { host, serial, debugcon, trace };
}

export const firmware = { name: 'bios.bin', data: new Uint8Array(0x2_0000).fill(0xf4) };

export const config = (more: Partial<MachineConfig> = {}): MachineConfig => ({
  machine: 'pc',
  cpus: 1,
  memoryBytes: 4 << 20,
  firmware,
  devices: [],
  trace: [],
  ...more,
});
