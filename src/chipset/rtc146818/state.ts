import { bool, bytes, type Codec, f64, struct, u8 } from '../../base/codec.js';
import { A, A_RESET, B, B_RESET, BANK_BYTES, C_FLAGS } from './registers.js';

export interface Rtc146818State {
  /** Both banks. While the clock runs, its own bytes in here are stale. */
  ram: Uint8Array;
  index: number;
  upperIndex: number;
  nmiMasked: boolean;
  /** Register C without its sum bit. */
  flags: number;
  /** What the guest's clock is ahead of the host's. */
  offsetMs: number;
  /** The clock's second and the crystal's tick up to which the flags account for everything. */
  seenSecond: number;
  /** -1 before the first access, when nothing can have been missed. */
  seenTick: number;
  /** When the timer comes, or 0. */
  deadlineNs: number;
}

/** Thirty thousand years both ways, which no date in the clock's bytes can leave. */
const MOST_MS = 1e15;

const flags: Codec<number> = {
  encode: (writer, value) => writer.u8(value),
  decode(reader) {
    const value = reader.u8();
    return value & ~C_FLAGS ? reader.fail(value, 'flags of register C') : value;
  },
};

export const rtc146818Codec = struct<Rtc146818State>({
  ram: bytes(2 * BANK_BYTES),
  index: u8({ max: BANK_BYTES - 1 }),
  upperIndex: u8({ max: BANK_BYTES - 1 }),
  nmiMasked: bool,
  flags,
  offsetMs: f64({ min: -MOST_MS, max: MOST_MS }),
  seenSecond: f64({ min: -MOST_MS, max: MOST_MS }),
  seenTick: f64({ min: -1, max: 2 ** 52 }),
  deadlineNs: f64({ min: 0 }),
});

export function freshState(cmos: Uint8Array): Rtc146818State {
  const ram = new Uint8Array(2 * BANK_BYTES);
  ram.set(cmos.subarray(0, ram.length));
  ram[A] = A_RESET;
  ram[B] = B_RESET;
  return {
    ram,
    index: 0,
    upperIndex: 0,
    nmiMasked: false,
    flags: 0,
    offsetMs: 0,
    seenSecond: 0,
    seenTick: -1,
    deadlineNs: 0,
  };
}
