import { array, bool, type Codec, fixedArray, struct, u8, u16, u32 } from '../../base/codec.js';
import { type RingState, ringCodec, ringFault } from '../queue/state.js';
import { Features } from './features.js';
import { DRIVER_STATUS, deviceStatus, feature } from './registers.js';
import type { VirtioType } from './virtio-type.js';

export interface QueueState {
  size: number;
  enabled: boolean;
  /** Reset by itself: may be set up again while the device runs. */
  wasReset: boolean;
  /** Low and high word of descriptor, driver and device area. */
  areas: number[];
  /** A live ring, or none. */
  ring: RingState[];
}

export interface CoreState<S> {
  status: number;
  features: number[];
  generation: number;
  stale: boolean;
  early: boolean;
  interrupts: number;
  queues: QueueState[];
  type: S;
}

/** Saved state of what all transports share; every field is checked against `type`. */
export function coreCodec<S>(type: VirtioType<S>, offered: Features): Codec<CoreState<S>> {
  const count = type.queueSizes.length;
  const fields = struct<CoreState<S>>({
    status: u8(),
    features: fixedArray(u32(), 2),
    generation: u32(),
    stale: bool,
    early: bool,
    interrupts: u8({ max: 3 }),
    queues: fixedArray(
      struct<QueueState>({
        size: u16({ min: 1 }),
        enabled: bool,
        wasReset: bool,
        areas: fixedArray(u32(), 6),
        ring: array(ringCodec, 1),
      }),
      count,
    ),
    type: type.stateCodec,
  });
  return {
    encode: fields.encode,
    decode(reader) {
      const state = fields.decode(reader);
      if ((state.status & ~(DRIVER_STATUS | deviceStatus.needsReset)) !== 0) {
        reader.fail(state.status, 'known status bits');
      }
      const features = new Features(state.features[0]!, state.features[1]!);
      const isPacked = features.has(feature.packed);
      const runs = state.early || (state.status & deviceStatus.driverOk) !== 0;
      const isAgreed = runs || (state.status & deviceStatus.featuresOk) !== 0;
      if (isAgreed && !features.isWithin(offered)) {
        reader.fail(state.features, 'features that were offered');
      }
      state.queues.forEach(({ size, enabled, ring }, index) => {
        const wanted = (what: string) =>
          reader.fail(`queue ${index} with ${what}`, 'a possible one');
        if (size > type.queueSizes[index]! || !validSize(size, isPacked)) wanted(`${size} entries`);
        if ((ring.length === 1) !== (runs && enabled)) wanted(`${ring.length} rings`);
        const fault = ring[0] && ringFault(ring[0], size, isPacked);
        if (fault !== undefined) wanted(fault);
      });
      return state;
    },
  };
}

/** Split rings have a power of two of entries. [VIRTIO 2.7] */
export function validSize(size: number, isPacked: boolean): boolean {
  return size > 0 && (isPacked || (size & (size - 1)) === 0);
}
