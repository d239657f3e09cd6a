import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { DiskFormat } from '../../backend/disk/file-spec.js';
import { suggestion } from '../args.js';
import { CliError, exitStatus, usageError } from '../exit-status.js';

/** What is known of an image; `image.json` in its folder. */
export interface ImageRecord {
  readonly name: string;
  readonly distribution: 'debian';
  readonly suite: string;
  readonly architecture: 'amd64';
  /** Every package in it, `name=version`. */
  readonly packages: readonly string[];
  readonly kernelRelease: string;
  readonly format: DiskFormat;
  /** What the guest sees. */
  readonly sizeBytes: number;
  /** Of the disk's file. */
  readonly sha256: string;
  /** Of the time it was made, ISO 8601. */
  readonly date: string;
  readonly boot: 'direct' | 'grub';
}

export const imageFiles = { record: 'image.json', kernel: 'vmlinuz', initrd: 'initrd' } as const;
export const diskName = (format: DiskFormat) => `disk.${format}`;

/** Where images stand, a folder each. */
export function imagesFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'chassis', 'images');
}

/** Where each VM's own disk stands, a folder each. */
export function vmsFolder(): string {
  const data = process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share');
  return join(data, 'chassis', 'vms');
}

/** A name of an image or a VM becomes a folder's, a host's and a file's. */
export function checkName(flag: string, name: string): string {
  if (/^[a-z\d]([a-z\d.-]{0,61}[a-z\d])?$/.test(name)) return name;
  const wanted = 'up to 63 lower-case letters, digits, dots and hyphens';
  throw usageError(`${flag}: found "${name}", wanted ${wanted}`);
}

/** Undefined where there is none; a folder without a record is one that was never finished. */
export function findImage(name: string): ImageRecord | undefined {
  const path = join(imagesFolder(), name, imageFiles.record);
  return existsSync(path) ? readRecord<ImageRecord>(path, ['name', 'suite', 'format']) : undefined;
}

/** The image of this name, which a verb was told. */
export function imageNamed(name: string): ImageRecord {
  const found = findImage(checkName('NAME', name));
  if (found !== undefined) return found;
  const near = suggestion(name, listFolders(imagesFolder()));
  const lists = 'chassis image list shows those that are there';
  throw new CliError(exitStatus.badInput, `found no image "${name}"${near}; ${lists}`);
}

export function listImages(): ImageRecord[] {
  return listFolders(imagesFolder()).flatMap((name) => findImage(name) ?? []);
}

/** Bytes that a folder's files take on the host. */
export function folderBytes(folder: string): number {
  const sizes = readdirSync(folder).map((file) => statSync(join(folder, file)).blocks * 512);
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

/** What is known of a VM of `chassis run debian`; `vm.json` in its folder. */
export interface VmRecord {
  readonly image: string;
  /** Its own, from when it was made. */
  readonly id: string;
  /** Whether the guest has taken its seed: it powered off by itself since. */
  readonly seeded: boolean;
}

export const vmFiles = {
  record: 'vm.json',
  disk: 'disk.qcow2',
  seed: 'seed.iso',
  serial: 'serial.log',
} as const;

export function findVm(name: string): VmRecord | undefined {
  const path = join(vmsFolder(), name, vmFiles.record);
  return existsSync(path) ? readRecord<VmRecord>(path, ['image', 'id']) : undefined;
}

/** Names of the VMs whose disk stands on an image. */
export function vmsOf(image: string): string[] {
  return listFolders(vmsFolder()).filter((name) => findVm(name)?.image === image);
}

function listFolders(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'));
  return folders.map((entry) => entry.name).sort();
}

/** A record of ours, which somebody may have edited. */
function readRecord<T>(path: string, keys: readonly (keyof T & string)[]): T {
  let found: Record<string, unknown>;
  try {
    found = Object(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    const { message } = error as Error;
    throw new CliError(exitStatus.badInput, `${path}: no record of ours: ${message}`);
  }
  const missing = keys.find((key) => typeof found[key] !== 'string');
  if (missing === undefined) return found as T;
  const text = JSON.stringify(found[missing]) ?? 'nothing';
  throw new CliError(exitStatus.badInput, `${path}: ${missing}: found ${text}, wanted a text`);
}
