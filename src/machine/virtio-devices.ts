import { type CharBackend, noChar } from '../backend/char/char.js';
import type { Disk } from '../backend/disk/disk.js';
import { virtioMmio } from '../firmware/acpi/board.js';
import { VirtioBalloon } from '../virtio/balloon/balloon.js';
import { VirtioBlk } from '../virtio/blk/blk.js';
import { VirtioConsole } from '../virtio/console/console.js';
import { feature } from '../virtio/core/registers.js';
import type { VirtioType } from '../virtio/core/virtio-type.js';
import { type NetLink, VirtioNet } from '../virtio/net/net.js';
import { VirtioRng } from '../virtio/rng/rng.js';
import type { DeviceConfig } from './extra-devices.js';
import { MachineError } from './machine-error.js';

/** What is behind virtio devices, in the order of those devices in the configuration. */
export interface VirtioBackends {
  readonly disks: readonly Disk[];
  readonly nets: readonly NetLink[];
  /** Of all consoles, port by port; a port without one drops its output. */
  readonly ports: readonly CharBackend[];
  readonly randomU32: () => number;
  /** The guest does without these pages. */
  readonly discard: (gpa: number, length: number) => void;
}

/** Slots 3 to 31. */
const PCI_SLOTS = 29;

/** What an option may be, as a pattern and in words. */
type Option = readonly [pattern: RegExp, wanted: string];
const pairs: Option = [/^([1-9]|1[0-6])$/, '1 to 16'];
const flag: Option = [/^(on|off)$/, 'on|off'];
const ring: Option = [/^(split|packed)$/, 'split|packed'];
const transport: Option = [/^(pci|mmio)$/, 'pci|mmio'];
const common = { ring, transport };

const options: Readonly<Record<string, Readonly<Record<string, Option>>>> = {
  'virtio-blk': {
    disk: [/./, 'FILE'],
    serial: [/^[ -~]{0,20}$/, 'TEXT of up to 20 characters'],
    queues: pairs,
    block: [/^(512|4096)$/, '512|4096'],
    readonly: flag,
    ...common,
  },
  'virtio-net': {
    net: [/./, 'BACKEND'],
    mac: [/^[\da-f][02468ace](:[\da-f]{2}){5}$/i, 'a unicast address such as 52:54:00:12:34:56'],
    queues: pairs,
    mtu: [/^(6[89]|[7-9]\d|[1-9]\d{2,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d)$/, '68 to 65499'],
    ...common,
  },
  // Port 0 is the console; the others are channels of these names.
  'virtio-console': { ports: [/^[^:]+(:[^:]+){0,29}$/, 'NAME:NAME...'], ...common },
  'virtio-rng': common,
  'virtio-balloon': common,
};

export const virtioNames: readonly string[] = Object.keys(options);

/** Throws {@link MachineError} `bad-config` for an option that the device does not have. */
export function checkVirtio(device: DeviceConfig): void {
  const known = options[device.name]!;
  for (const [key, value] of Object.entries(device.options)) {
    if (Object.hasOwn(known, key) && known[key]![0].test(value)) continue;
    const wanted = Object.entries(known).map(([name, [, words]]) => `${name}=${words}`);
    throw new MachineError(
      'bad-config',
      `--device ${device.name}: found ${key}=${value}, wanted ${wanted.join(', ') || 'no options'}`,
    );
  }
  if (device.name === 'virtio-blk' && device.options.disk === undefined) {
    throw new MachineError('bad-config', '--device virtio-blk: found no disk, wanted --disk');
  }
}

/** Throws {@link MachineError} `bad-config` for more devices than the board has places. */
export function checkVirtioCount(devices: readonly DeviceConfig[]): void {
  const onMmio = mmioDevices(devices);
  const onPci = devices.filter(({ name }) => virtioNames.includes(name)).length - onMmio;
  const check = (found: number, max: number, where: string) => {
    if (found <= max) return;
    const message = `--device: found ${found} virtio devices on ${where}, wanted up to ${max}`;
    throw new MachineError('bad-config', message);
  };
  check(onPci, PCI_SLOTS, 'PCI');
  check(onMmio, virtioMmio.max, 'MMIO');
}

export interface VirtioDevice {
  readonly type: VirtioType<unknown>;
  /** Feature bits that it does not offer. */
  readonly withheld: readonly number[];
  readonly isMmio: boolean;
}

const isMmio = ({ options: { transport: on } }: DeviceConfig) => on === 'mmio';

/** How many stand at addresses that the guest is told of. */
export function mmioDevices(devices: readonly DeviceConfig[]): number {
  return devices.filter((device) => virtioNames.includes(device.name) && isMmio(device)).length;
}

/** The virtio devices of a configuration, each with its backend. */
export function virtioDevices(
  devices: readonly DeviceConfig[],
  backends: VirtioBackends,
): VirtioDevice[] {
  const disks = [...backends.disks];
  const nets = [...backends.nets];
  const ports = [...backends.ports];
  const next = <T>(list: T[], flag: string): T => {
    const first = list.shift();
    if (first !== undefined) return first;
    throw new MachineError('bad-config', `${flag}: found nothing open behind it, wanted a backend`);
  };
  const make = ({ name, options }: DeviceConfig, index: number): VirtioType<unknown> => {
    const { serial, queues, block, mac, mtu } = options;
    switch (name) {
      case 'virtio-blk':
        return new VirtioBlk(next(disks, '--disk'), {
          queues: Number(queues ?? 1),
          blockBytes: Number(block ?? 512),
          ...(serial === undefined ? {} : { serial }),
        });
      case 'virtio-net':
        return new VirtioNet(next(nets, '--net'), {
          mac: macBytes(mac ?? `52:54:00:12:34:${(0x56 + index).toString(16)}`),
          pairs: Number(queues ?? 1),
          ...(mtu === undefined ? {} : { mtu: Number(mtu) }),
        });
      case 'virtio-console': {
        const names = [undefined, ...(options.ports?.split(':') ?? [])];
        return new VirtioConsole(
          names.map((label) => ({
            backend: ports.shift() ?? noChar,
            isConsole: label === undefined,
            ...(label === undefined ? {} : { name: label }),
          })),
        );
      }
    }
    return name === 'virtio-balloon'
      ? new VirtioBalloon(backends)
      : new VirtioRng(backends.randomU32);
  };
  return devices
    .filter(({ name }) => virtioNames.includes(name))
    .map((device, index) => ({
      type: make(device, index),
      withheld: device.options.ring === 'split' ? [feature.packed] : [],
      isMmio: isMmio(device),
    }));
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}
