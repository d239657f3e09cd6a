import { hex, LoadError } from './load-error.js';

const MIB = 2 ** 20;
const PAGE = 4096;
/** SeaBIOS and every loader here need room above the first MiB. */
export const MIN_MEMORY_BYTES = 2 * MIB;

/** What the engine can give one guest. */
export interface MemoryLimit {
  /** As in "the soft engine". */
  readonly engine: string;
  readonly maxBytes: number;
}

/** Throws {@link LoadError} unless a guest can have this much RAM. */
export function checkMemorySize(sizeBytes: number, limit: MemoryLimit, option = '--memory'): void {
  const bad = (found: string, wanted: string) =>
    new LoadError('bad-memory-size', option, 'the size of guest RAM', found, wanted);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < MIN_MEMORY_BYTES) {
    throw bad(exact(sizeBytes), `a PC needs at least ${describe(MIN_MEMORY_BYTES)}`);
  }
  if (sizeBytes % PAGE !== 0) {
    throw bad(`${sizeBytes} bytes (${hex(sizeBytes)})`, 'it has to be a multiple of 4 KiB pages');
  }
  if (sizeBytes > limit.maxBytes) {
    throw bad(
      exact(sizeBytes),
      `the ${limit.engine} engine gives ${describe(limit.maxBytes)} at most`,
    );
  }
}

/** A refused size is not rounded, or it would read as the limit that it is not. */
function exact(sizeBytes: number): string {
  const rounded = describe(sizeBytes);
  const units = sizeBytes / 1024 ** Math.max(0, Math.floor(Math.log2(sizeBytes) / 10));
  return Number.isInteger(units * 10) ? rounded : `${sizeBytes} bytes`;
}

/** A size in the largest binary unit that gives a short number. */
export function describe(sizeBytes: number): string {
  if (!Number.isFinite(sizeBytes) || Math.abs(sizeBytes) < 1024) return `${sizeBytes} bytes`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = sizeBytes / 1024;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(1))} ${units[unit]}`;
}
