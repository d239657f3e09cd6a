import { type Codec, fixedArray, struct, u8, u32, u64 } from '../../base/codec.js';
import { DEST_MASK, entry, ID_MASK, PIN_COUNT } from './registers.js';

/** The IOAPIC's state as words, which may be shared by all threads of a VM. */
export const IOAPIC_WORDS = 64;
export const word = {
  /** Not 0 once reset. */
  ready: 0,
  select: 1,
  id: 2,
  /** Level of each input. */
  lines: 3,
  /** Low and high word of each pin. */
  redirection: 8,
} as const;

export interface IoapicState {
  id: number;
  /** IOREGSEL. */
  select: number;
  /** 24 entries of 64 bits. */
  redirection: bigint[];
  /** Level of each input, by bit. */
  lines: number;
}

const validBits = (BigInt(DEST_MASK >>> 0) << 32n) | BigInt(entry.valid);

const redirectionEntry: Codec<bigint> = {
  encode: u64.encode,
  decode(reader) {
    const value = u64.decode(reader);
    return (value & ~validBits) === 0n
      ? value
      : reader.fail(`0x${value.toString(16)}`, 'reserved bits zero');
  },
};

export const ioapicCodec: Codec<IoapicState> = struct({
  id: u8({ max: ID_MASK }),
  select: u8(),
  redirection: fixedArray(redirectionEntry, PIN_COUNT),
  lines: u32({ max: 2 ** PIN_COUNT - 1 }),
});
