import { MachineError } from './machine-error.js';

/** A file of the user's by the name that messages use. */
export interface NamedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** `--device NAME[,key=value...]`. */
export interface DeviceConfig {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

export const traceKinds = ['exits', 'ints', 'io', 'mmio', 'resets'] as const;
export type TraceKind = (typeof traceKinds)[number];

/** What the user asks for; {@link createMachine} checks it against the engine's limits. */
export interface MachineConfig {
  readonly machine: 'pc';
  readonly cpus: number;
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

export interface EngineLimits {
  readonly name: string;
  readonly maxVcpus: number;
  readonly maxMemoryBytes: number;
}

const MIB = 1 << 20;
/** SeaBIOS needs room below 1 MiB and for its tables at the top; less than this boots nothing. */
export const MIN_MEMORY_BYTES = 2 * MIB;

const inMiB = (bytes: number) => `${Math.floor(bytes / MIB)} MiB`;

/** Throws {@link MachineError} naming the first flag that is wrong. */
export function checkConfig(config: MachineConfig, limits: EngineLimits): void {
  const bad = (field: string, found: string, wanted: string): never => {
    throw new MachineError('bad-config', `${field}: found ${found}, wanted ${wanted}`);
  };
  if (config.machine !== 'pc') bad('--machine', `"${config.machine}"`, '"pc"');
  const { cpus, memoryBytes } = config;
  if (!Number.isInteger(cpus) || cpus < 1) bad('--cpus', String(cpus), 'a whole number from 1');
  if (cpus > limits.maxVcpus) {
    throw new MachineError(
      'bad-config',
      `--cpus: found ${cpus}, but more than ${limits.maxVcpus} is not there yet with the ${limits.name} engine`,
    );
  }
  const range = `${inMiB(MIN_MEMORY_BYTES)} to ${inMiB(limits.maxMemoryBytes)} (the limit of the ${limits.name} engine)`;
  if (!(memoryBytes >= MIN_MEMORY_BYTES && memoryBytes <= limits.maxMemoryBytes)) {
    bad('--memory', `${memoryBytes} bytes`, range);
  }
  if (memoryBytes % 4096 !== 0) bad('--memory', `${memoryBytes} bytes`, 'a multiple of 4096');
  if (config.kernel === undefined) {
    if (config.firmware === undefined)
      bad('--kernel, --firmware', 'neither', 'one of them or both');
    if (config.initrd !== undefined) bad('--initrd', `"${config.initrd.name}"`, '--kernel with it');
    if (config.append !== undefined) bad('--append', `"${config.append}"`, '--kernel with it');
  }
  if (config.firmware !== undefined) checkFirmware(config.firmware);
  for (const kind of config.trace) {
    if (!traceKinds.includes(kind)) bad('--trace', `"${kind}"`, traceKinds.join(', '));
  }
}

/** A BIOS image ends at 4 GiB and its last 128 KiB show below 1 MiB too. */
function checkFirmware({ name, bytes }: NamedFile): void {
  const fits = bytes.length >= 64 << 10 && bytes.length <= 16 * MIB && bytes.length % 65536 === 0;
  if (fits) return;
  throw new MachineError(
    'bad-input',
    `${name}: found a firmware image of ${bytes.length} bytes, wanted a multiple of 64 KiB up to 16 MiB`,
  );
}
