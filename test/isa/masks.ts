/**
 * What a comparison with the host CPU leaves out, and the manual's reason for each. An entry's
 * `undefined` flags come from the table; here stand only the rest.
 */
import type { Entry } from '#src/cpu/isa/table.js';

const FLAG_BIT: Readonly<Record<string, number>> = { C: 0, P: 2, A: 4, Z: 6, S: 7, O: 11 };

/** RFLAGS bits to compare: arithmetic flags, TF, DF, NT, AC and ID. */
export const ALL_FLAGS = 0x24_4dd5;

/** The same without what the manual leaves undefined. */
export function flagsMask(entry: Entry | null): number {
  if (!entry) return ALL_FLAGS;
  let mask = ALL_FLAGS;
  for (const name of entry.options.undefined ?? '') mask &= ~(1 << FLAG_BIT[name]!);
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
 * Stores of 80 bits go out in two parts: where the second is absent, the host has written the first.
 * Ours commits nothing.
 */
export function storesInParts(entry: Entry | null): boolean {
  return entry?.operands[0] === 'Mt';
}
