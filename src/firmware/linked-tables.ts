/**
 * Tables that point to each other, before anyone knows their addresses. Firmware links them itself
 * by QEMU's table loader; without firmware {@link placeTables} does the same.
 */
import { assert } from '../base/assert.js';
import { checksum, getU64, setU64, viewOf } from './bytes.js';
import type { GuestWrite } from './load-error.js';

export interface LinkedFile {
  readonly name: string;
  readonly data: Uint8Array;
  /** A power of two. */
  readonly align: number;
  /** Anywhere below 4 GiB, or in the segment at 0xf0000 where an operating system searches. */
  readonly zone: 'high' | 'fseg';
}

/** The field at `at` holds an offset into `targetFile`, to become an address. */
export interface PointerLink {
  readonly file: string;
  readonly at: number;
  readonly size: 4 | 8;
  readonly targetFile: string;
  readonly target: number;
}

/** The byte at `at` makes the sum of `length` bytes from `start` zero. */
export interface ChecksumLink {
  readonly file: string;
  readonly start: number;
  readonly length: number;
  readonly at: number;
}

/** Pointers are filled in before checksums, both in the order given. */
export interface LinkedTables {
  readonly files: readonly LinkedFile[];
  readonly pointers: readonly PointerLink[];
  readonly checksums: readonly ChecksumLink[];
}

/** Links the tables for the addresses in `places` (by file name) and says what to write where. */
export function placeTables(
  tables: LinkedTables,
  places: Readonly<Record<string, number>>,
): GuestWrite[] {
  const linked = new Map<string, { gpa: number; data: Uint8Array }>();
  for (const file of tables.files) {
    const gpa = places[file.name];
    assert(gpa % file.align === 0, `${file.name} has no aligned place`);
    linked.set(file.name, { gpa, data: withOffsets(tables, file) });
  }
  for (const { file, at, size, targetFile } of tables.pointers) {
    const view = viewOf(linked.get(file)!.data);
    const base = linked.get(targetFile)!.gpa;
    if (size === 4) view.setUint32(at, view.getUint32(at, true) + base, true);
    else setU64(view, at, getU64(view, at) + base);
  }
  for (const { file, start, length, at } of tables.checksums) {
    const { data } = linked.get(file)!;
    data[at] = checksum(data.subarray(start, start + length));
  }
  return [...linked.values()];
}

/** A copy of the file with each pointer field holding its offset: what fw_cfg hands out. */
export function withOffsets(tables: LinkedTables, file: LinkedFile): Uint8Array {
  const data = file.data.slice();
  const view = viewOf(data);
  for (const pointer of tables.pointers) {
    if (pointer.file !== file.name) continue;
    if (pointer.size === 4) view.setUint32(pointer.at, pointer.target, true);
    else setU64(view, pointer.at, pointer.target);
  }
  return data;
}
