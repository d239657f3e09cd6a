import { array, bool, type Codec, f64, struct, u16, u32 } from '../../base/codec.js';
import type { Span } from './chain.js';
import { MAX_CHAIN, MAX_QUEUE_SIZE } from './registers.js';

export interface HeldChain {
  id: number;
  slots: number;
  readable: Span[];
  writable: Span[];
  /** Done but not shown to the driver, because it wants them in order; -1: not done. */
  written: number;
}

/** Where device and driver are in a ring. */
export interface RingState {
  /** Split ring: free-running indices. Packed ring: places. */
  taken: number;
  used: number;
  takenWrap: boolean;
  usedWrap: boolean;
  unsignalled: number;
  broken: boolean;
  held: HeldChain[];
}

const span = struct<Span>({
  gpa: f64({ min: 0, max: 2 ** 52 }),
  length: u32(),
});
const fields = struct<RingState>({
  taken: u16(),
  used: u16(),
  takenWrap: bool,
  usedWrap: bool,
  unsignalled: u16(),
  broken: bool,
  held: array(
    struct<HeldChain>({
      id: u16(),
      slots: u16({ min: 1, max: MAX_QUEUE_SIZE }),
      readable: array(span, MAX_CHAIN),
      writable: array(span, MAX_CHAIN),
      written: f64({ min: -1, max: 2 ** 32 }),
    }),
    MAX_QUEUE_SIZE,
  ),
});

/** State of a ring; {@link checkRing} compares it with the queue's set-up. */
export const ringCodec: Codec<RingState> = {
  encode: fields.encode,
  decode(reader) {
    const state = fields.decode(reader);
    for (const { readable, writable, written } of state.held) {
      for (const { gpa } of [...readable, ...writable]) {
        if (!Number.isInteger(gpa) || gpa < 0) reader.fail(gpa, 'an address');
      }
      const room = writable.reduce((sum, { length }) => sum + length, 0);
      if (!Number.isInteger(written) || written > room) reader.fail(written, `at most ${room}`);
      if (readable.length + writable.length > MAX_CHAIN) reader.fail('a long chain', 'a shorter');
    }
    return state;
  },
};

/** Why `state` cannot be that of a ring of `size` entries, or undefined. */
export function ringFault(
  { taken, used, takenWrap, usedWrap, held }: RingState,
  size: number,
  isPacked: boolean,
): string | undefined {
  const slots = held.reduce((sum, chain) => sum + chain.slots, 0);
  if (slots > size) return `buffers in flight in ${slots} of ${size} places`;
  if (!isPacked) {
    if (takenWrap || usedWrap) return 'a wrap counter in a split ring';
    if (((taken - used) & 0xffff) !== held.length) return `${held.length} buffers in flight`;
    return held.some(({ id, slots: n }) => id >= size || n !== 1)
      ? 'a head that is none'
      : undefined;
  }
  if (taken >= size || used >= size) return `place ${Math.max(taken, used)} of ${size}`;
  const ahead = taken - used + (takenWrap === usedWrap ? 0 : size);
  return ahead === slots ? undefined : `${slots} places in flight, wanted ${ahead}`;
}
