import type { Disk } from '../backend/disk/disk.js';
import { parseFileSpec } from '../backend/disk/file-spec.js';
import { openDisk } from '../backend/disk/open-disk.js';
import { hostDisks } from '../backend/node/host-disks.js';
import type { DeviceConfig } from '../machine/config.js';
import { usageError } from './exit-status.js';

/** What `--disk` says of the device; the rest of it names the file. */
const deviceKeys = ['serial', 'queues', 'block', 'readonly', 'ring', 'transport'];

/** `--disk FILE,format=raw|qcow2[,serial=TEXT][,queues=N][,block=512|4096][,readonly=on|off]...` */
export function diskDevice(text: string): DeviceConfig {
  const options: Record<string, string> = {};
  const file: string[] = [];
  for (const part of text.split(/(?<!,),(?!,)/)) {
    const equals = part.indexOf('=');
    const key = part.slice(0, Math.max(0, equals));
    if (!deviceKeys.includes(key)) file.push(part);
    else if (Object.hasOwn(options, key)) throw usageError(`--disk ${text}: ${key} is given twice`);
    else options[key] = part.slice(equals + 1);
  }
  options.disk = file.join(',');
  return { name: 'virtio-blk', options };
}

/** Opens what is behind the disks of a machine, in their order. Rejects with a DiskError. */
export async function openDisks(devices: readonly DeviceConfig[]): Promise<Disk[]> {
  const disks: Disk[] = [];
  try {
    for (const { name, options } of devices) {
      if (name !== 'virtio-blk') continue;
      const writable = options.readonly !== 'on';
      disks.push(await openDisk(hostDisks, parseFileSpec(options.disk ?? ''), { writable }));
    }
    return disks;
  } catch (error) {
    await closeDisks(disks);
    throw error;
  }
}

/** Flushes and lets go of all of them; throws what the first of them said. */
export async function closeDisks(disks: readonly Disk[]): Promise<void> {
  const results = await Promise.allSettled(disks.map((disk) => disk.close()));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
