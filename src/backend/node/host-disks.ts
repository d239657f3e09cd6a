import { realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { DiskHost } from '../disk/disk-file.js';
import { clusterCodec } from './cluster-codecs.js';
import { HostDiskFile } from './host-disk-file.js';

/** Disk images in the files of this host. */
export const hostDisks: DiskHost = {
  open: (path, mode) => HostDiskFile.open(path, mode),
  create: (path) => HostDiskFile.open(path, { writable: true }, true),
  resolve(from, name) {
    const path = from === '' ? resolve(name) : join(dirname(realPath(resolve(from))), name);
    return realPath(path);
  },
  relative: (from, path) => relative(dirname(realPath(resolve(from))), resolve(path)),
  isAbsolute,
  codec: clusterCodec,
};

/** Without its symbolic links; a path as it is where there is nothing. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
