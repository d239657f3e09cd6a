import { DiskError, sectorBytes } from '../disk.js';
import type { Compression, DiskFile } from '../disk-file.js';
import { rebuildRefcounts } from './check.js';
import { compatible, encodeHeader, type Header, incompatible, l1EntriesFor } from './header.js';

/** What a new image is like; what is left out is as `qemu-img create` has it. */
export interface Qcow2Options {
  readonly version?: 2 | 3;
  /** A power of two from 512 to 2 MiB; 64 KiB. */
  readonly clusterBytes?: number;
  /** 1, 2, 4 ... 64; 16. */
  readonly refcountBits?: number;
  readonly lazyRefcounts?: boolean;
  readonly extendedL2?: boolean;
  readonly compression?: Compression;
  readonly backing?: { readonly name: string; readonly format: string } | undefined;
  /** The name of a file for the data; it must be there. */
  readonly dataFile?: string | undefined;
}

/** Makes an empty file an image of `sizeBytes`. Throws `usage` for options that do not go together. */
export async function createQcow2(
  file: DiskFile,
  sizeBytes: number,
  options: Qcow2Options,
): Promise<void> {
  const { version = 3, clusterBytes = 65536, refcountBits = 16, compression = 'zlib' } = options;
  const refuse = (what: string, found: unknown, wanted: string): never => {
    throw new DiskError('usage', `${file.name}: ${what}: found ${found}, wanted ${wanted}`);
  };
  const clusterBits = Math.log2(clusterBytes);
  const least = options.extendedL2 ? 14 : 9;
  if (!(Number.isInteger(clusterBits) && clusterBits >= least && clusterBits <= 21)) {
    refuse('cluster size', clusterBytes, `a power of two from ${2 ** least} to 2097152`);
  }
  const refcountOrder = Math.log2(refcountBits);
  if (!(Number.isInteger(refcountOrder) && refcountOrder >= 0 && refcountOrder <= 6)) {
    refuse('reference count bits', refcountBits, '1, 2, 4, 8, 16, 32 or 64');
  }
  let features = 0;
  if (options.dataFile !== undefined) features |= incompatible.dataFile;
  if (compression === 'zstd') features |= incompatible.compression;
  if (options.extendedL2) features |= incompatible.extendedL2;
  if (version === 2 && (features !== 0 || options.lazyRefcounts || refcountOrder !== 4)) {
    refuse('version', 2, 'version 3 for extended L2, zstd, lazy or other counts, or a data file');
  }
  const header: Header = {
    version,
    clusterBits,
    sizeBytes,
    l1Entries: 0,
    l1Offset: clusterBytes,
    reftableOffset: 0,
    reftableClusters: 0,
    snapshotCount: 0,
    snapshotsOffset: 0,
    incompatible: features,
    compatible: options.lazyRefcounts ? compatible.lazyRefcounts : 0,
    autoclear: 0,
    refcountOrder,
    compression,
    backing: options.backing,
    dataFile: options.dataFile,
    tail: new Uint8Array(0),
    extensions: [],
  };
  header.l1Entries = Math.max(1, l1EntriesFor(header, sizeBytes));
  if (sizeBytes % sectorBytes !== 0 || header.l1Entries * 8 > 32 << 20) {
    refuse('size', sizeBytes, `a multiple of ${sectorBytes} that clusters of this size can map`);
  }
  const clusters = 1 + Math.ceil((header.l1Entries * 8) / clusterBytes);
  await file.truncate(clusters * clusterBytes);
  await rebuildRefcounts(file, header, new Uint32Array(clusters).fill(1));
  await file.write(0, encodeHeader(file.name, header));
  await file.flush();
}
