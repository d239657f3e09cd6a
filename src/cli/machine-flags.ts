import { type CpuModel, cpuModels } from '../engine/cpu-models.js';
import type { SoftOptions } from '../engine/soft/soft-engine.js';
import {
  type DeviceConfig,
  type MachineConfig,
  type NamedFile,
  type TraceKind,
  traceKinds,
} from '../machine/config.js';
import { type FlagTable, type ParsedArgs, parseNumber, parseSize, parseWord } from './args.js';
import { diskDevice } from './disk-flags.js';
import { usageError } from './exit-status.js';
import { readInput } from './host-files.js';
import { netDevice } from './net-flags.js';
import { withPayload } from './unpack/unpack-kernel.js';

/** The flags that say what a machine is: those of `run` and `inspect` alike. */
export const machineFlags: FlagTable = {
  engine: {
    value: 'auto|soft|kvm',
    help: 'what runs the instructions (auto: kvm where it works in hardware, else soft)',
  },
  jit: {
    value: 'on|off',
    help: 'translate code that is run often to WebAssembly (on), on the soft engine',
  },
  'check-jit': {
    help: 'runs what was translated by the interpreter too, and stops at the first difference',
  },
  machine: { value: 'pc', help: 'the board' },
  cpus: { value: 'N', help: 'virtual CPUs (1)' },
  cpu: {
    value: 'MODEL',
    help: 'common (what both engines have: a guest that is to move), host, x86-64-v1, -v2 or -v3',
  },
  memory: { value: 'SIZE', help: 'guest RAM, such as 512M (the default) or 1G' },
  kernel: { value: 'FILE', help: 'a Linux bzImage, a PVH or a Multiboot kernel' },
  unpack: {
    value: 'on|off',
    help: 'the host unpacks a bzImage, faster than the guest would (on); off: it does so itself',
  },
  initrd: { value: 'FILE', help: 'its initramfs, or first Multiboot module' },
  append: { value: 'TEXT', help: 'its command line' },
  firmware: { value: 'FILE', help: 'a BIOS, such as SeaBIOS’s bios-256k.bin' },
  disk: {
    value: 'FILE,format=raw|qcow2[,...]',
    repeatable: true,
    help: 'a disk; also serial=, queues=, block= and readonly=on',
  },
  net: {
    value: 'none|user|switch|tap[,...]',
    repeatable: true,
    help: 'a network card, and what its cable goes to: see below',
  },
  console: { value: 'stdio|none|file:PATH', help: 'a virtio console, hvc0, and what is behind it' },
  port: {
    value: 'NAME=file:PATH',
    repeatable: true,
    help: 'one more port of that console, /dev/virtio-ports/NAME, and where its output goes',
  },
  balloon: { help: 'the guest gives memory that it has free back to the host' },
  rng: { help: 'random numbers for the guest' },
  device: {
    value: 'NAME[,key=value...]',
    repeatable: true,
    help: 'one more device, such as isa-debug-exit',
  },
};

export type EngineChoice = 'auto' | 'soft' | 'kvm';

export function engineChoice(args: ParsedArgs): EngineChoice {
  return parseWord('--engine', args.one('engine') ?? 'auto', ['auto', 'soft', 'kvm']);
}

/** What the flags say of the soft engine. */
export function softOptions(args: ParsedArgs): SoftOptions {
  const jit = parseWord('--jit', args.one('jit') ?? 'on', ['on', 'off']);
  const trace = {
    print: (line: string) => void process.stderr.write(`${line}\n`),
    onAsk: (show: () => void) => void process.on('SIGUSR2', show),
  };
  const traced = traceWords(args).includes('jit') ? { trace } : {};
  return { jit, check: args.has('check-jit'), ...traced };
}

/** What the flags ask for; the machine itself checks that it can be had. */
export function machineConfig(args: ParsedArgs): MachineConfig {
  if (args.positional.length > 0) {
    throw usageError(`found "${args.positional[0]}", wanted flags only; a kernel goes to --kernel`);
  }
  const file = (flag: 'initrd' | 'firmware') => {
    const path = args.one(flag);
    return path === undefined ? {} : { [flag]: readInput(`--${flag}`, path) };
  };
  const append = args.one('append');
  return {
    machine: parseWord('--machine', args.one('machine') ?? 'pc', ['pc']),
    cpus: parseNumber('--cpus', args.one('cpus') ?? '1', 1, 255),
    ...cpuModel(args),
    memoryBytes: parseSize('--memory', args.one('memory') ?? '512M'),
    ...kernelFile(args),
    ...file('initrd'),
    ...file('firmware'),
    ...(append === undefined ? {} : { append }),
    devices: [
      ...args.all('disk').map(diskDevice),
      ...args.all('net').flatMap((text) => netDevice(text) ?? []),
      ...consoleDevice(args),
      ...['balloon', 'rng']
        .filter((flag) => args.has(flag))
        .map((flag) => ({ name: `virtio-${flag}`, options: {} })),
      ...args.all('device').map(parseDevice),
    ],
    trace: traceWords(args),
  };
}

/** Firmware hands a kernel over as it is. */
function kernelFile(args: ParsedArgs): { kernel?: NamedFile } {
  const path = args.one('kernel');
  const unpack = parseWord('--unpack', args.one('unpack') ?? 'on', ['on', 'off']);
  if (path === undefined) return {};
  const kernel = readInput('--kernel', path);
  return { kernel: unpack === 'on' && !args.has('firmware') ? withPayload(kernel) : kernel };
}

function cpuModel(args: ParsedArgs): { cpu?: CpuModel } {
  const model = args.one('cpu');
  return model === undefined ? {} : { cpu: parseWord('--cpu', model, [...cpuModels]) };
}

/** What `--port` says, in order. */
export function consolePorts(args: ParsedArgs): { name: string; path: string }[] {
  return args.all('port').map((text) => {
    const [, name, path] = /^([^=:]+)=file:(.+)$/.exec(text) ?? [];
    if (name !== undefined && path !== undefined) return { name, path };
    throw usageError(`--port: found "${text}", wanted NAME=file:PATH`);
  });
}

/** Port 0 is the console itself. */
function consoleDevice(args: ParsedArgs): DeviceConfig[] {
  const ports = consolePorts(args).map(({ name }) => name);
  if (!args.has('console') && ports.length === 0) return [];
  const options = ports.length === 0 ? {} : { ports: ports.join(':') };
  return [{ name: 'virtio-console', options }];
}

/** `NAME[,key=value...]`. */
function parseDevice(text: string): DeviceConfig {
  const [name, ...settings] = text.split(',');
  if (name === undefined || name === '') {
    throw usageError(`--device: found "${text}", wanted NAME[,key=value...]`);
  }
  const options: Record<string, string> = Object.create(null);
  for (const setting of settings) {
    const equals = setting.indexOf('=');
    const key = setting.slice(0, Math.max(0, equals));
    if (key === '') throw usageError(`--device ${name}: found "${setting}", wanted key=value`);
    if (key in options) throw usageError(`--device ${name}: ${key} is given twice`);
    options[key] = setting.slice(equals + 1);
  }
  return { name, options };
}

/** `--trace` may be repeated, and may list several kinds. */
export function traceWords(args: ParsedArgs): TraceKind[] {
  const words = args.all('trace').flatMap((text) => text.split(','));
  return words.map((word) => parseWord('--trace', word, [...traceKinds]));
}
