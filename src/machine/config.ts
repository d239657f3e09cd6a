import type { CpuidEntry } from '../cpu/state/cpuid.js';
import { type CpuModel, cpuModels } from '../engine/cpu-models.js';
import { mapFirmware } from '../firmware/firmware-image.js';
import type { NamedFile } from '../firmware/load-error.js';
import { checkMemorySize } from '../firmware/memory-size.js';
import { checkDevices, type DeviceConfig } from './extra-devices.js';
import { MachineError } from './machine-error.js';

export type { DeviceConfig, NamedFile };

export const traceKinds = ['exits', 'ints', 'io', 'jit', 'mmio', 'resets'] as const;
export type TraceKind = (typeof traceKinds)[number];

/** What the user asks for; {@link createMachine} checks it against the engine's limits. */
export interface MachineConfig {
  readonly machine: 'pc';
  readonly cpus: number;
  /** What the guest's CPU has. Default: `common`, and under the `soft` engine all that it has. */
  readonly cpu?: CpuModel;
  /** What CPUID says, of a machine that was saved: goes before `cpu`. */
  readonly cpuid?: readonly CpuidEntry[];
  readonly memoryBytes: number;
  /**
   * Without firmware a kernel is started directly; with firmware it is handed over through fw_cfg.
   */
  readonly firmware?: NamedFile;
  readonly kernel?: NamedFile;
  readonly initrd?: NamedFile;
  readonly append?: string;
  /** Multiboot modules beyond the initrd, in order; the name is the module's command line. */
  readonly modules?: readonly NamedFile[];
  readonly devices: readonly DeviceConfig[];
  readonly trace: readonly TraceKind[];
  /** What a reset asked for by the guest does: restart (default), or end the run. */
  readonly reboot?: 'restart' | 'end';
}

/** What an engine can do. */
export interface EngineLimits {
  readonly name: string;
  readonly maxVcpus: number;
  readonly maxMemoryBytes: number;
}

const bad = (field: string, found: string, wanted: string): never => {
  throw new MachineError('bad-config', `${field}: found ${found}, wanted ${wanted}`);
};

/** Throws {@link MachineError} or LoadError naming the first flag or file that is wrong. */
export function checkConfig(config: MachineConfig, limits: EngineLimits): void {
  if (config.machine !== 'pc') bad('--machine', `"${config.machine}"`, '"pc"');
  const { cpus, memoryBytes } = config;
  if (!Number.isInteger(cpus) || cpus < 1) bad('--cpus', String(cpus), 'a whole number from 1');
  if (cpus > limits.maxVcpus) {
    throw new MachineError(
      'bad-config',
      `--cpus: found ${cpus}, but more than ${limits.maxVcpus} is not there yet with the ${limits.name} engine`,
    );
  }
  if (config.cpu !== undefined && !cpuModels.includes(config.cpu)) {
    bad('--cpu', `"${config.cpu}"`, cpuModels.join(', '));
  }
  checkMemorySize(memoryBytes, { engine: limits.name, maxBytes: limits.maxMemoryBytes });
  if (config.kernel === undefined) {
    if (config.initrd !== undefined) bad('--initrd', `"${config.initrd.name}"`, '--kernel with it');
    if (config.append !== undefined) bad('--append', `"${config.append}"`, '--kernel with it');
  }
  if (config.firmware !== undefined) mapFirmware(config.firmware);
  checkDevices(config.devices);
  for (const kind of config.trace) {
    if (!traceKinds.includes(kind)) bad('--trace', `"${kind}"`, traceKinds.join(', '));
  }
}

/** A machine that is to run needs a first instruction; one that is only looked at does not. */
export function checkBoots(config: MachineConfig): void {
  if (config.kernel === undefined && config.firmware === undefined) {
    bad('--kernel, --firmware', 'neither', 'one of them or both');
  }
}
