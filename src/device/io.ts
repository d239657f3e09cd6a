/** Guest accesses are 1, 2, 4 or 8 bytes. */
export type AccessWidth = 1 | 2 | 4 | 8;

/** A run of ports or of physical addresses that a device answers. */
export interface IoRegion {
  /** Stable: in logs, `chassis inspect` and the conformance suite. */
  readonly name: string;
  readonly space: 'port' | 'mmio';
  readonly sizeBytes: number;
  /** Where it stands on the machine unless it is a BAR or the board moves it. */
  readonly base: number;
  /** What the chip's data sheet lets through; the bus splits wider accesses. Default 4. */
  readonly maxWidth?: AccessWidth;
}

/**
 * Ports, MMIO and BARs alike: a region's index and an offset in it, never an absolute address.
 * Values are unsigned numbers below 2^32; an 8-byte access comes as two of 4, low half first.
 */
export interface IoFace {
  readonly regions: readonly IoRegion[];
  /** Unclaimed offsets read as all ones. Never throws. */
  read(region: number, offset: number, width: 1 | 2 | 4): number;
  /** Bad writes are dropped and counted. Never throws. */
  write(region: number, offset: number, width: 1 | 2 | 4, value: number): void;
}

/** All ones in `width` bytes: what an unclaimed read gives. */
export function allOnes(width: 1 | 2 | 4): number {
  return width === 1 ? 0xff : width === 2 ? 0xffff : 0xffff_ffff;
}
