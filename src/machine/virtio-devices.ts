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

/** Options of each device; those with a pattern have to match it. */
const options: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  'virtio-blk': {
    disk: /./,
    serial: /^[ -~]{0,20}$/,
    queues: /^([1-9]|1[0-6])$/,
    block: /^(512|4096)$/,
  },
  'virtio-rng': {},
};

export const virtioNames: readonly string[] = Object.keys(options);

/** Throws {@link MachineError} `bad-config` for an option that the device does not have. */
export function checkVirtio(device: DeviceConfig): void {
  const known = options[device.name]!;
  for (const [key, value] of Object.entries(device.options)) {
    if (Object.hasOwn(known, key) && known[key]!.test(value)) continue;
    const wanted = Object.entries(known).map(([name, { source }]) => `${name}=${source}`);
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
