import type { Disk } from '../backend/disk/disk.js';
import { VirtioBlk } from '../virtio/blk/blk.js';
import type { VirtioType } from '../virtio/core/virtio-type.js';
import { VirtioRng } from '../virtio/rng/rng.js';
import type { DeviceConfig } from './extra-devices.js';
import { MachineError } from './machine-error.js';

/** What is behind virtio devices, in the order of those devices in the configuration. */
export interface VirtioBackends {
  readonly disks: readonly Disk[];
  readonly randomU32: () => number;
}

/** What an option may be, as a pattern and in words. */
type Option = readonly [pattern: RegExp, wanted: string];
const pairs: Option = [/^([1-9]|1[0-6])$/, '1 to 16'];
const flag: Option = [/^(on|off)$/, 'on|off'];

const options: Readonly<Record<string, Readonly<Record<string, Option>>>> = {
  'virtio-blk': {
    disk: [/./, 'FILE'],
    serial: [/^[ -~]{0,20}$/, 'TEXT of up to 20 characters'],
    queues: pairs,
    block: [/^(512|4096)$/, '512|4096'],
    readonly: flag,
  },
  'virtio-rng': {},
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

/** The virtio devices of a configuration, each with its backend. */
export function virtioDevices(
  devices: readonly DeviceConfig[],
  backends: VirtioBackends,
): VirtioType<unknown>[] {
  const disks = [...backends.disks];
  return devices
    .filter(({ name }) => virtioNames.includes(name))
    .map(({ name, options: { serial, queues, block } }): VirtioType<unknown> => {
      if (name === 'virtio-rng') return new VirtioRng(backends.randomU32);
      const disk = disks.shift();
      if (disk === undefined) {
        throw new MachineError('bad-config', '--disk: found no open image for it, wanted one');
      }
      return new VirtioBlk(disk, {
        queues: Number(queues ?? 1),
        blockBytes: Number(block ?? 512),
        ...(serial === undefined ? {} : { serial }),
      });
    });
}
