/**
 * What a comparison with the host CPU leaves out, and the manual's reason for each. An entry's
 * `undefined` flags come from the table; here stand only the rest.
 */
import type { Entry } from '#src/cpu/isa/table.js';

const FLAG_BIT: Readonly<Record<string, number>> = { C: 0, P: 2, A: 4, Z: 6, S: 7, O: 11 };

/** Bits in RFLAGS of flags named by their letters. */
export function flagBits(names = ''): number {
  let bits = 0;
  for (const name of names) bits |= 1 << FLAG_BIT[name]!;
  return bits;
}

/** RFLAGS bits to compare: arithmetic flags, TF, DF, NT, AC and ID. */
export const ALL_FLAGS = 0x24_4dd5;

/** The same without what the manual leaves undefined. */
export function flagsMask(entry: Entry | null): number {
  if (!entry) return ALL_FLAGS;
  let mask = ALL_FLAGS & ~flagBits(entry.options.undefined);
  if (entry.family === 'shifts') mask &= shiftMask(entry);
  return mask;
}

/** OF is defined for a count of 1 only; CF not where the count exceeds the operand. [SDM 2B SAL/SAR/SHL/SHR, SHLD] */
function shiftMask(entry: Entry): number {
  const by = entry.operands.at(-1);
  if (by === '1') return -1;
  return ~(1 << 11);
}

/**
 * Operands of 80 bits, masked stores, x87 environments and states are touched in parts. Where a part faults the host
 * has written those before it and ours nothing; which of several faults comes first (segment limit,
 * page, alignment) is a matter of the parts' order. [SDM 3A 6.9, table 6-2: faults of one class]
 */
export function inParts(entry: Entry | null): boolean {
  if (!entry) return false;
  return isImage(entry) || entry.operands.includes('Mt') || entry.mnemonic.startsWith('maskmov');
}

/** x87 environments and states, FXSAVE areas. */
export function isImage(entry: Entry | null): boolean {
  return (entry?.options.memBytes ?? 0) >= 28;
}
