import { DiskError, sectorBytes } from '../disk.js';
import type { Compression } from '../disk-file.js';

/**
 * The header of a qcow2 image and its extensions, read as foreign data. Keys in brackets are
 * sections of QEMU's `docs/interop/qcow2`, which is the format's definition.
 */

const magic = 0x514649fb;

/** [Header, incompatible_features] */
export const incompatible = { dirty: 1, corrupt: 2, dataFile: 4, compression: 8, extendedL2: 16 };
/** [Header, compatible_features] */
export const compatible = { lazyRefcounts: 1 };
/** [Header, autoclear_features] */
export const autoclear = { bitmaps: 1, rawDataFile: 2 };

const extension = {
  end: 0,
  backingFormat: 0xe2792aca,
  bitmaps: 0x23852875,
  dataFile: 0x44415441,
};

/** QEMU's own limits [Header, notes], so that no image is made that it cannot open. */
const limits = { l1Bytes: 32 << 20, reftableBytes: 8 << 20, snapshots: 65536, nameBytes: 1023 };

export interface Header {
  version: 2 | 3;
  /** Log2 of the cluster's size: 9 to 21. */
  clusterBits: number;
  sizeBytes: number;
  l1Entries: number;
  l1Offset: number;
  reftableOffset: number;
  reftableClusters: number;
  snapshotCount: number;
  snapshotsOffset: number;
  incompatible: number;
  compatible: number;
  autoclear: number;
  /** Log2 of a reference count's bits: 0 to 6. */
  refcountOrder: number;
  compression: Compression;
  backing?: { readonly name: string; readonly format?: string } | undefined;
  dataFile?: string | undefined;
  /** Fields after the known ones, and extensions of unknown type: kept as they were. */
  readonly tail: Uint8Array;
  extensions: readonly { readonly type: number; readonly data: Uint8Array }[];
}

const knownBytes = 112;

/** A rule of the format that an image breaks, as one sentence. */
export function corrupt(file: string, field: string, found: unknown, wanted: string): DiskError {
  return new DiskError('corrupt', `${file}: ${field}: found ${found}, wanted ${wanted}`);
}

export function readU64(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value >>> 0);
}

export function utf8(text: string): Uint8Array {
  const bytes = encodeURIComponent(text).replace(/%(..)/g, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Uint8Array.from(bytes, (char) => char.charCodeAt(0));
}

/** Names that are not UTF-8 are shown byte by byte. */
export function textOf(bytes: Uint8Array): string {
  try {
    const escaped = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`);
    return decodeURIComponent(escaped.join(''));
  } catch {
    return String.fromCharCode(...bytes);
  }
}

/**
 * Reads the header out of the file's first bytes (a cluster, or all there are). Throws a
 * {@link DiskError}: `bad-format`, `unsupported` or `corrupt`.
 */
export function parseHeader(file: string, bytes: Uint8Array, fileBytes: number): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 72 || view.getUint32(0) !== magic) {
    throw new DiskError('bad-format', `${file} is not a qcow2 image; is it format=raw?`);
  }
  const bad = (field: string, found: unknown, wanted: string): never => {
    throw corrupt(file, field, found, wanted);
  };
  const unsupported = (what: string): never => {
    throw new DiskError('unsupported', `${file}: ${what}`);
  };
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) unsupported(`version: found ${version}, wanted 2 or 3`);
  const v3 = version === 3;
  if (v3 && bytes.length < 104) bad('header', `${bytes.length} bytes`, 'at least 104');
  const clusterBits = view.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) bad('cluster_bits', clusterBits, '9 to 21');
  const cluster = 2 ** clusterBits;
  const headerLength = v3 ? view.getUint32(100) : 72;
  const fits = headerLength <= Math.min(cluster, bytes.length) && headerLength % 8 === 0;
  if (v3 && (headerLength < 104 || !fits)) {
    bad('header_length', headerLength, `a multiple of 8 from 104 to ${cluster}`);
  }
  const flags = (at: number, known: number, what: string) => {
    if (!v3) return 0;
    const unknown = view.getUint32(at) !== 0 || (view.getUint32(at + 4) & ~known) !== 0;
    if (unknown && what !== '') {
      unsupported(`${what}: found 0x${readU64(view, at).toString(16)}, known are 0x${known}`);
    }
    return view.getUint32(at + 4) & known;
  };
  const features = flags(72, 31, 'incompatible_features');
  const typed = headerLength > 104 ? view.getUint8(104) : 0;
  if (typed > 1) unsupported(`compression_type: found ${typed}, wanted 0 (zlib) or 1 (zstd)`);
  if ((typed !== 0) !== ((features & incompatible.compression) !== 0)) {
    bad('compression_type', typed, 'it to go with bit 3 of incompatible_features');
  }
  if (view.getUint32(32) !== 0) unsupported('it is encrypted; wanted one that is not');
  if ((features & incompatible.extendedL2) !== 0 && clusterBits < 14) {
    bad('cluster_bits', clusterBits, 'at least 14 with extended L2 entries');
  }
  const header: Header = {
    version: version as 2 | 3,
    clusterBits,
    sizeBytes: readU64(view, 24),
    l1Entries: view.getUint32(36),
    l1Offset: readU64(view, 40),
    reftableOffset: readU64(view, 48),
    reftableClusters: view.getUint32(56),
    snapshotCount: view.getUint32(60),
    snapshotsOffset: readU64(view, 64),
    incompatible: features,
    compatible: flags(80, compatible.lazyRefcounts, ''),
    // What is not known here must be seen, to be cleared before the first write.
    autoclear: v3 ? view.getUint32(92) | (view.getUint32(88) === 0 ? 0 : 2 ** 31) : 0,
    refcountOrder: v3 ? view.getUint32(96) : 4,
    compression: typed === 1 ? 'zstd' : 'zlib',
    tail: bytes.slice(knownBytes, Math.max(knownBytes, headerLength)),
    extensions: [],
  };
  if (header.refcountOrder > 6) bad('refcount_order', header.refcountOrder, '0 to 6');
  const table = (field: string, offset: number, length: number, limit: number) => {
    if (length > limit) bad(`${field} size`, `${length} bytes`, `at most ${limit}`);
    if (offset % cluster !== 0 || (length > 0 && offset === 0)) {
      bad(`${field} offset`, offset, `a multiple of ${cluster} that is not 0`);
    }
    if (offset + length > fileBytes) {
      bad(`${field} offset`, `${offset} + ${length}`, `at most the file's ${fileBytes} bytes`);
    }
  };
  const { sizeBytes, l1Entries } = header;
  const wantedL1 = l1EntriesFor(header, sizeBytes);
  if (sizeBytes > Number.MAX_SAFE_INTEGER || wantedL1 * 8 > limits.l1Bytes) {
    bad('size', sizeBytes, `what an L1 table of ${limits.l1Bytes} bytes can map`);
  }
  if (sizeBytes % sectorBytes !== 0) bad('size', sizeBytes, `a multiple of ${sectorBytes}`);
  if (l1Entries < wantedL1)
    bad('l1_size', l1Entries, `at least ${wantedL1} for ${sizeBytes} bytes`);
  table('l1_table', header.l1Offset, l1Entries * 8, limits.l1Bytes);
  if (header.reftableClusters === 0) bad('refcount_table_clusters', 0, 'at least 1');
  const reftableBytes = header.reftableClusters * cluster;
  table('refcount_table', header.reftableOffset, reftableBytes, limits.reftableBytes);
  if (header.snapshotCount > limits.snapshots) {
    bad('nb_snapshots', header.snapshotCount, `at most ${limits.snapshots}`);
  }
  // The least entry of the snapshot table has 40 bytes.
  table('snapshots', header.snapshotsOffset, header.snapshotCount * 40, 2 ** 40);
  readExtensions(header, bytes, v3 ? headerLength : 72, bad);
  const nameOffset = readU64(view, 8);
  const nameLength = view.getUint32(16);
  if (nameOffset !== 0) {
    if (nameLength === 0 || nameLength > limits.nameBytes) {
      bad('backing_file_size', nameLength, `1 to ${limits.nameBytes}`);
    }
    if (nameOffset + nameLength > Math.min(cluster, bytes.length)) {
      bad('backing_file_offset', nameOffset, 'the name to be in the first cluster');
    }
    const name = textOf(bytes.subarray(nameOffset, nameOffset + nameLength));
    header.backing = { ...header.backing, name };
  } else header.backing = undefined;
  return header;
}

function readExtensions(
  header: Header,
  bytes: Uint8Array,
  start: number,
  bad: (field: string, found: unknown, wanted: string) => never,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kept: { type: number; data: Uint8Array }[] = [];
  const end = Math.min(bytes.length, 2 ** header.clusterBits);
  // A name may stand where there is no room for an end mark.
  for (let at = start; at + 8 <= end; ) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === extension.end) break;
    if (at + 8 + length > end) {
      bad('header extension', `${length} bytes at ${at}`, 'it to end in the first cluster');
    }
    const data = bytes.slice(at + 8, at + 8 + length);
    if (type === extension.backingFormat) {
      header.backing = { name: '', format: textOf(data) };
    } else if (type === extension.dataFile) header.dataFile = textOf(data);
    else kept.push({ type, data });
    at += 8 + Math.ceil(length / 8) * 8;
  }
  header.extensions = kept;
}

/** An image whose bitmaps would go stale if it was written to. */
export const hasBitmaps = ({ extensions }: Header) =>
  extensions.some(({ type }) => type === extension.bitmaps);

/** The bytes of the file from 0 on; throws `usage` when they take more than a cluster. */
export function encodeHeader(file: string, header: Header): Uint8Array {
  const bytes = new Uint8Array(2 ** header.clusterBits);
  const view = new DataView(bytes.buffer);
  const v3 = header.version === 3;
  const headerLength = v3 ? knownBytes + header.tail.length : 72;
  const extensions = [...header.extensions];
  if (header.backing?.format !== undefined) {
    extensions.unshift({ type: extension.backingFormat, data: utf8(header.backing.format) });
  }
  if (header.dataFile !== undefined) {
    extensions.unshift({ type: extension.dataFile, data: utf8(header.dataFile) });
  }
  const name = utf8(header.backing?.name ?? '');
  const padded = extensions.map(({ data }) => 8 + Math.ceil(data.length / 8) * 8);
  const nameOffset = padded.reduce((sum, length) => sum + length, headerLength + 8);
  if (name.length > limits.nameBytes || nameOffset + name.length > bytes.length) {
    throw new DiskError('usage', `${file}: the backing file's name is too long for its header`);
  }
  view.setUint32(0, magic);
  view.setUint32(4, header.version);
  if (name.length > 0) {
    writeU64(view, 8, nameOffset);
    view.setUint32(16, name.length);
  }
  view.setUint32(20, header.clusterBits);
  writeU64(view, 24, header.sizeBytes);
  view.setUint32(36, header.l1Entries);
  writeU64(view, 40, header.l1Offset);
  writeU64(view, 48, header.reftableOffset);
  view.setUint32(56, header.reftableClusters);
  view.setUint32(60, header.snapshotCount);
  writeU64(view, 64, header.snapshotsOffset);
  if (v3) {
    view.setUint32(76, header.incompatible);
    view.setUint32(84, header.compatible);
    view.setUint32(92, header.autoclear);
    view.setUint32(96, header.refcountOrder);
    view.setUint32(100, headerLength);
    view.setUint8(104, header.compression === 'zstd' ? 1 : 0);
    bytes.set(header.tail, knownBytes);
  }
  let at = headerLength;
  extensions.forEach(({ type, data }, i) => {
    view.setUint32(at, type);
    view.setUint32(at + 4, data.length);
    bytes.set(data, at + 8);
    at += padded[i]!;
  });
  bytes.set(name, nameOffset);
  return bytes.subarray(0, nameOffset + name.length);
}

/** Entries that an L2 table has, which takes one cluster. */
export const l2EntriesOf = (header: Header) =>
  2 ** header.clusterBits / ((header.incompatible & incompatible.extendedL2) !== 0 ? 16 : 8);

/** Entries of the L1 table that map a disk of `sizeBytes`. */
export const l1EntriesFor = (header: Header, sizeBytes: number) =>
  Math.ceil(sizeBytes / 2 ** header.clusterBits / l2EntriesOf(header));
