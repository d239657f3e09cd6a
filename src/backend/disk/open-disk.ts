import { type Disk, DiskError } from './disk.js';
import type { DiskFile, DiskHost } from './disk-file.js';
import type { DiskFormat, FileSpec } from './file-spec.js';
import { checkImage } from './qcow2/check.js';
import { createQcow2, type Qcow2Options } from './qcow2/create-qcow2.js';
import { autoclear, type Header, incompatible } from './qcow2/header.js';
import { Image, readHeader } from './qcow2/image.js';
import { Qcow2Disk } from './qcow2/qcow2-disk.js';
import { RawDisk } from './raw-disk.js';

/** How a disk is opened. */
export interface OpenOptions {
  readonly writable: boolean;
  /** Without what backs it: unallocated parts read as zeroes. */
  readonly alone?: boolean;
}

const deepestChain = 64;

/**
 * Opens a disk with all its backing files. An image that was not closed is repaired first when it
 * is to be written. Rejects with a {@link DiskError} that names the file.
 */
export function openDisk(host: DiskHost, spec: FileSpec, options: OpenOptions): Promise<Disk> {
  return openLink(host, spec, options, []);
}

/** The same, for what only qcow2 images have. */
export async function openQcow2(
  host: DiskHost,
  spec: FileSpec,
  options: OpenOptions,
): Promise<Qcow2Disk> {
  const disk = await openDisk(host, spec, options);
  if (disk instanceof Qcow2Disk) return disk;
  await disk.close();
  throw new DiskError('usage', `${spec.path} is raw; wanted format=qcow2 for this`);
}

async function openLink(
  host: DiskHost,
  spec: FileSpec,
  options: OpenOptions,
  chain: readonly string[],
): Promise<Disk> {
  const { path } = spec;
  const place = host.resolve('', path);
  if (chain.includes(place)) {
    throw new DiskError('backing', `${path} is its own backing file, by way of ${chain.at(-1)}`);
  }
  if (chain.length > deepestChain) {
    throw new DiskError('backing', `${path}: found over ${deepestChain} files backing each other`);
  }
  const mode = { writable: options.writable, direct: spec.direct, unlocked: spec.unlocked };
  const file = await host.open(path, mode);
  const opened: { close(): Promise<void> }[] = [file];
  try {
    if (spec.format === 'raw') {
      if (spec.backing === undefined) return new RawDisk(file);
      throw new DiskError('usage', `${path}: backing is for qcow2 images, found format=raw`);
    }
    const header = await readHeader(file);
    const dirty = (header.incompatible & incompatible.dirty) !== 0;
    const corrupt = (header.incompatible & incompatible.corrupt) !== 0;
    if (options.writable && dirty && !corrupt) await checkImage(file, header, true);
    const dataFile = await openDataFile(host, spec, header, mode);
    if (dataFile !== undefined) opened.push(dataFile);
    const image = await Image.open(file, header, dataFile);
    const link = options.alone ? undefined : backingOf(host, spec, header);
    const backing =
      link === undefined
        ? undefined
        : await openLink(host, link, { writable: false }, [...chain, place]).catch((error) => {
            throw namedLink(path, error);
          });
    if (backing !== undefined) opened.push(backing);
    return new Qcow2Disk(image, backing, dataFile, await host.codec(header.compression));
  } catch (error) {
    await Promise.allSettled(opened.map((each) => each.close()));
    throw error;
  }
}

function namedLink(path: string, error: unknown): unknown {
  if (!(error instanceof DiskError) || error.code === 'locked') return error;
  const message = `${path}: its backing file: ${error.message}`;
  return new DiskError(error.code === 'not-found' ? 'backing' : error.code, message, {
    cause: error,
  });
}

/** A name out of an image is foreign: it leads nowhere but where the image's own folder leads. */
function placeOfName(host: DiskHost, path: string, key: string, name: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(name)) {
    throw new DiskError(
      'unsupported',
      `${path}: its ${key} is "${name}", wanted the name of a file`,
    );
  }
  if (host.isAbsolute(name)) {
    const mend = `wanted a relative one, or ${key}=${name} to allow it`;
    throw new DiskError('backing', `${path}: its ${key} has the absolute name ${name}, ${mend}`);
  }
  return host.resolve(path, name);
}

/** The backing file of an image, as a disk of its own; undefined where it has none. */
export function backingOf(host: DiskHost, spec: FileSpec, header: Header): FileSpec | undefined {
  const { path } = spec;
  const { backing } = header;
  if (backing === undefined && spec.backing === undefined) return undefined;
  const format = spec.backingFormat ?? backing?.format;
  if (format !== 'raw' && format !== 'qcow2') {
    const found = format === undefined ? 'none' : `"${format}"`;
    const wanted = 'raw or qcow2; backing-format=... says it';
    throw new DiskError(
      'backing',
      `${path}: format of its backing file: found ${found}, wanted ${wanted}`,
    );
  }
  if (backing !== undefined && (header.autoclear & autoclear.rawDataFile) !== 0) {
    throw new DiskError('corrupt', `${path}: found a backing file and a raw data file, wanted one`);
  }
  const place = spec.backing ?? placeOfName(host, path, 'backing', backing!.name);
  return { path: place, format, direct: spec.direct, unlocked: spec.unlocked };
}

async function openDataFile(
  host: DiskHost,
  spec: FileSpec,
  header: Header,
  mode: { writable: boolean },
): Promise<DiskFile | undefined> {
  if ((header.incompatible & incompatible.dataFile) === 0) return undefined;
  if (spec.dataFile === undefined && header.dataFile === undefined) {
    throw new DiskError('usage', `${spec.path}: it names no data file; wanted data-file=FILE`);
  }
  const place = spec.dataFile ?? placeOfName(host, spec.path, 'data-file', header.dataFile!);
  return host.open(place, mode);
}

/** What {@link createDisk} makes. */
export interface CreateOptions extends Omit<Qcow2Options, 'backing' | 'dataFile'> {
  /** The backing file's size if absent. */
  readonly sizeBytes?: number | undefined;
}

/** Makes the file that `spec` names, with its backing file and data file, and opens it. */
export async function createDisk(
  host: DiskHost,
  spec: FileSpec,
  options: CreateOptions,
): Promise<Disk> {
  const { path } = spec;
  let { sizeBytes } = options;
  let backing: { name: string; format: DiskFormat } | undefined;
  if (spec.backing !== undefined) {
    const format = spec.backingFormat;
    if (spec.format === 'raw' || format === undefined) {
      const wanted = 'format=qcow2 and backing-format=raw or qcow2 with it';
      throw new DiskError('usage', `${path}: found backing=${spec.backing}, wanted ${wanted}`);
    }
    const link = { path: spec.backing, format, direct: false, unlocked: spec.unlocked };
    const base = await openDisk(host, link, { writable: false });
    sizeBytes ??= base.sizeBytes;
    await base.close();
    backing = { name: host.relative(path, spec.backing), format };
  }
  if (sizeBytes === undefined) throw new DiskError('usage', `${path}: found no size, wanted one`);
  const file = await host.create(path);
  try {
    if (spec.format === 'raw') await file.truncate(sizeBytes);
    else {
      const name = spec.dataFile === undefined ? undefined : host.relative(path, spec.dataFile);
      await createQcow2(file, sizeBytes, { ...options, backing, dataFile: name });
      if (spec.dataFile !== undefined) {
        const data = await host.create(spec.dataFile);
        await data.truncate(sizeBytes);
        await data.close();
      }
    }
  } finally {
    await file.close();
  }
  return openDisk(host, spec, { writable: true });
}
