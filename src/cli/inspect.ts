import { noChar } from '../backend/char/char.js';
import { MemoryDisk } from '../backend/disk/memory-disk.js';
import { HostClock } from '../backend/node/host-clock.js';
import { hostRandom } from '../backend/node/host-random.js';
import { hostSchedule } from '../backend/node/host-schedule.js';
import { buildMachine } from '../machine/create-machine.js';
import type { Inspection } from '../machine/inspect.js';
import { describeFlags, type FlagTable, parseArgs } from './args.js';
import { openEngine } from './engines.js';
import { exitStatus } from './exit-status.js';
import { engineChoice, machineConfig, machineFlags } from './machine-flags.js';
import { stderrLog } from './stderr-log.js';
import type { Verb } from './verb.js';

const flags: FlagTable = { ...machineFlags, json: { help: 'as JSON, for programs' } };

export const inspect: Verb = {
  summary: 'show a machine’s devices, PCI functions and memory map',
  usage: () =>
    `usage: chassis inspect [flags]\n\n${describeFlags(flags)}\n` +
    'Example:\n' +
    '  chassis inspect --memory 1G --json\n',
  async run(argv) {
    const args = parseArgs(argv, flags);
    const config = machineConfig(args);
    const machine = buildMachine(config, {
      engine: await openEngine(engineChoice(args)),
      clock: new HostClock(),
      schedule: hostSchedule,
      randomU32: hostRandom(),
      log: stderrLog(false),
      serial: [noChar],
      // The files are left alone: another machine may have them.
      disks: config.devices.map(() => new MemoryDisk(0)),
      nets: config.devices.map(() => ({ offloads: true, send() {}, connect() {}, resume() {} })),
    });
    const inspection = machine.inspect();
    machine.close();
    process.stdout.write(
      args.has('json') ? `${JSON.stringify(inspection, null, 2)}\n` : describe(inspection),
    );
    return exitStatus.ok;
  },
};

const hex = (value: number, digits = 0) => value.toString(16).padStart(digits, '0');

/** First and last address of a run, as `/proc/iomem` shows them. */
const range = (base: number, sizeBytes: number, digits: number) =>
  `${hex(base, digits)}-${hex(base + sizeBytes - 1, digits)}`;

function describe(inspection: Inspection): string {
  const { machine, engine, cpus, memoryBytes, memoryMap, pci, devices } = inspection;
  const lines = [
    `machine ${machine}, engine ${engine}, ${cpus} CPU, ${memoryBytes / 2 ** 20} MiB of RAM`,
    '',
    'memory map',
  ];
  for (const { gpa, sizeBytes, what, readonly } of memoryMap) {
    lines.push(`  ${range(gpa, sizeBytes, 9)}  ${what}${readonly ? ' (read-only)' : ''}`);
  }
  lines.push('', 'PCI functions');
  for (const { address, name, vendorId, deviceId, classCode } of pci) {
    lines.push(
      `  ${address}  ${hex(vendorId, 4)}:${hex(deviceId, 4)}  class ${hex(classCode, 6)}  ${name}`,
    );
  }
  lines.push('', 'devices');
  for (const { name, regions } of devices) {
    lines.push(`  ${name}`);
    for (const region of regions) {
      const digits = region.space === 'port' ? 4 : 8;
      const where =
        region.base === undefined ? 'switched off' : range(region.base, region.sizeBytes, digits);
      lines.push(`    ${region.space.padEnd(4)}  ${where.padEnd(17)}  ${region.name}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
