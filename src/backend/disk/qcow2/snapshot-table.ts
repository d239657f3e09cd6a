import type { DiskFile } from '../disk-file.js';
import { corrupt, type Header, readU64, textOf, utf8, writeU64 } from './header.js';

/** An entry of the snapshot table [Snapshots]. */
export interface Snapshot {
  readonly id: string;
  readonly name: string;
  readonly l1Offset: number;
  readonly l1Entries: number;
  /** When it was made, in seconds since the Epoch. */
  readonly dateSeconds: number;
  readonly sizeBytes: number;
  readonly vmStateBytes: number;
  /** Bytes 20 to 31 and the extra data from byte 56 on: kept as they were. */
  readonly clock: Uint8Array;
  readonly extra: Uint8Array;
}

const tableLimit = 16 << 20;

/** The snapshots of an image and the length of their table. Throws `corrupt`. */
export async function readSnapshots(
  file: DiskFile,
  header: Header,
): Promise<{ snapshots: Snapshot[]; bytes: number }> {
  const snapshots: Snapshot[] = [];
  if (header.snapshotCount === 0) return { snapshots, bytes: 0 };
  const bytes = new Uint8Array(Math.min(file.sizeBytes - header.snapshotsOffset, tableLimit));
  await file.read(header.snapshotsOffset, bytes);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (let i = 0; i < header.snapshotCount; i++) {
    const fits = at + 40 <= bytes.length;
    const [idLength, nameLength] = fits
      ? [view.getUint16(at + 12), view.getUint16(at + 14)]
      : [0, 0];
    const extraLength = fits ? view.getUint32(at + 36) : 0;
    const names = at + 40 + extraLength;
    if (!fits || extraLength > 1024 || names + idLength + nameLength > bytes.length) {
      throw corrupt(
        file.name,
        `snapshot ${i}`,
        'an entry that goes on beyond the table',
        'its end',
      );
    }
    const l1Offset = readU64(view, at);
    const l1Entries = view.getUint32(at + 8);
    if (l1Offset % 2 ** header.clusterBits !== 0 || l1Offset + l1Entries * 8 > file.sizeBytes) {
      throw corrupt(file.name, `snapshot ${i}: l1 offset`, l1Offset, 'a cluster of the file');
    }
    snapshots.push({
      id: textOf(bytes.subarray(names, names + idLength)),
      name: textOf(bytes.subarray(names + idLength, names + idLength + nameLength)),
      l1Offset,
      l1Entries,
      dateSeconds: view.getUint32(at + 16),
      vmStateBytes: extraLength >= 8 ? readU64(view, at + 40) : view.getUint32(at + 32),
      sizeBytes: extraLength >= 16 ? readU64(view, at + 48) : header.sizeBytes,
      clock: bytes.slice(at + 20, at + 32),
      extra: bytes.slice(at + 56, Math.max(at + 56, names)),
    });
    at = Math.ceil((names + idLength + nameLength) / 8) * 8;
  }
  return { snapshots, bytes: Math.min(at, bytes.length) };
}

export function encodeSnapshots(snapshots: readonly Snapshot[]): Uint8Array {
  const pieces = snapshots.map((snapshot) => {
    const [id, name] = [utf8(snapshot.id), utf8(snapshot.name)];
    const names = 56 + snapshot.extra.length;
    const bytes = new Uint8Array(Math.ceil((names + id.length + name.length) / 8) * 8);
    const view = new DataView(bytes.buffer);
    writeU64(view, 0, snapshot.l1Offset);
    view.setUint32(8, snapshot.l1Entries);
    view.setUint16(12, id.length);
    view.setUint16(14, name.length);
    view.setUint32(16, snapshot.dateSeconds);
    bytes.set(snapshot.clock, 20);
    view.setUint32(32, Math.min(snapshot.vmStateBytes, 0xffffffff));
    view.setUint32(36, names - 40);
    writeU64(view, 40, snapshot.vmStateBytes);
    writeU64(view, 48, snapshot.sizeBytes);
    bytes.set(snapshot.extra, 56);
    bytes.set(id, names);
    bytes.set(name, names + id.length);
    return bytes;
  });
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
