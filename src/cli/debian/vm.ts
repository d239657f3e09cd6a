import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createDisk } from '../../backend/disk/open-disk.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { CliError, exitStatus } from '../exit-status.js';
import { writeWhole } from '../host-files.js';
import {
  diskName,
  findVm,
  type ImageRecord,
  imagesFolder,
  type VmRecord,
  vmFiles,
  vmsFolder,
} from '../image/store.js';
import { type Seed, seedVolume } from './seed.js';

/** A file of a VM. */
export const vmFile = (name: string, file: keyof typeof vmFiles) =>
  join(vmsFolder(), name, vmFiles[file]);

/** Makes a VM whose disk is empty over the image's. */
export async function createVm(name: string, image: ImageRecord): Promise<VmRecord> {
  const folder = join(vmsFolder(), name);
  mkdirSync(folder, { recursive: true });
  const spec = {
    path: vmFile(name, 'disk'),
    format: 'qcow2',
    backing: join(imagesFolder(), image.name, diskName(image.format)),
    backingFormat: image.format,
    direct: false,
    unlocked: false,
  } as const;
  rmSync(spec.path, { force: true });
  const disk = await createDisk(hostDisks, spec, {});
  await disk.close();
  const record = { image: image.name, id: randomUUID(), seeded: false };
  writeVm(name, record);
  return record;
}

export function writeVm(name: string, record: VmRecord): void {
  const text = `${JSON.stringify(record, null, 2)}\n`;
  writeWhole('--name', vmFile(name, 'record'), new TextEncoder().encode(text));
}

/** Gives a VM what cloud-init takes at its next start. */
export function writeSeed(name: string, record: VmRecord, seed: Seed): VmRecord {
  const volume = seedVolume(seed, record.id, new Date());
  writeWhole('--name', vmFile(name, 'seed'), volume, 0o600);
  const told = { ...record, seeded: false };
  writeVm(name, told);
  return told;
}

/** Takes a VM away, unless it runs: then its disk is locked. */
export async function removeVm(name: string): Promise<void> {
  const disk = vmFile(name, 'disk');
  if (findVm(name) === undefined) {
    throw new CliError(exitStatus.badInput, `--remove: found no VM ${name} in ${vmsFolder()}`);
  }
  if (existsSync(disk)) await (await hostDisks.open(disk, { writable: true })).close();
  rmSync(join(vmsFolder(), name), { recursive: true });
}
