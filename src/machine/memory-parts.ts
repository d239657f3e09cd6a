import { PAGE_BYTES } from '../memory/slot.js';
import { MachineError } from './machine-error.js';
import type { Part } from './snapshot-file.js';

export const MEMORY_PART = 'memory';
const MEMORY_VERSION = 1;
/** Pages in one part: 16 MiB. */
const RUN_PAGES = 4096;

/** RAM as runs of pages that are not all zero: u32 index of the first page, then the pages. */
export function memoryParts(ram: Uint8Array): Part[] {
  const words = new Int32Array(ram.buffer, ram.byteOffset, ram.length / 4);
  const pages = ram.length / PAGE_BYTES;
  const parts: Part[] = [];
  for (let page = 0; page < pages; ) {
    if (isZero(words, page)) {
      page++;
      continue;
    }
    const first = page;
    while (page < pages && page - first < RUN_PAGES && !isZero(words, page)) page++;
    const data = new Uint8Array(4 + (page - first) * PAGE_BYTES);
    new DataView(data.buffer).setUint32(0, first, true);
    data.set(ram.subarray(first * PAGE_BYTES, page * PAGE_BYTES), 4);
    parts.push({ name: MEMORY_PART, version: MEMORY_VERSION, data });
  }
  return parts;
}

function isZero(words: Int32Array, page: number): boolean {
  const start = page * (PAGE_BYTES / 4);
  for (let i = start; i < start + PAGE_BYTES / 4; i++) if (words[i] !== 0) return false;
  return true;
}

/** Fills zeroed RAM. Throws {@link MachineError}. */
export function restoreMemory(fileName: string, parts: readonly Part[], ram: Uint8Array): void {
  for (const { data, version } of parts) {
    const bytes = data.length - 4;
    const first =
      bytes >= 0 ? new DataView(data.buffer, data.byteOffset).getUint32(0, true) : ram.length;
    const fits = bytes % PAGE_BYTES === 0 && first * PAGE_BYTES + bytes <= ram.length;
    if (!fits || version !== MEMORY_VERSION) {
      throw new MachineError(
        'bad-input',
        `${fileName}: ${MEMORY_PART}: found version ${version}, ${data.length} bytes for page ${first}, wanted version ${MEMORY_VERSION} and whole pages inside the guest's RAM`,
      );
    }
    ram.set(data.subarray(4), first * PAGE_BYTES);
  }
}
