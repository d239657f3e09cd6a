import { bool, type Codec, oneOf, struct, u8 } from '../../base/codec.js';
import { ELCR_MASKS } from './registers.js';

/** One 8259A. The fields are those of KVM's `kvm_pic_state`, so that either engine can hold them. */
export interface ChipState {
  /** Levels of the eight inputs, as they are now. */
  lines: number;
  /** Interrupt request register: edges latched, levels followed. */
  irr: number;
  /** In-service register. */
  isr: number;
  /** Interrupt mask register. */
  imr: number;
  /** Upper five bits of the vectors. */
  vectorBase: number;
  /** The input of highest priority; the others follow in a ring. */
  topPriority: number;
  /** Which of ICW2 to ICW4 the next write with A0 = 1 is. */
  expects: 'mask' | 'icw2' | 'icw3' | 'icw4';
  icw4Follows: boolean;
  single: boolean;
  autoEoi: boolean;
  rotateInAutoEoi: boolean;
  specialMask: boolean;
  specialFullyNested: boolean;
  /** A read with A0 = 0 gives ISR rather than IRR. */
  readIsr: boolean;
  /** The next read is a poll. */
  poll: boolean;
  /** Edge/level control register: 1 is level. */
  elcr: number;
}

export interface Pic8259State {
  master: ChipState;
  slave: ChipState;
}

/** A byte with none but these bits. */
function masked(mask: number): Codec<number> {
  const byte = u8();
  return {
    encode: byte.encode,
    decode(reader) {
      const value = byte.decode(reader);
      return value & ~mask ? reader.fail(value, `no bits outside 0x${mask.toString(16)}`) : value;
    },
  };
}

function chipCodec(elcrMask: number) {
  return struct<ChipState>({
    lines: u8(),
    irr: u8(),
    isr: u8(),
    imr: u8(),
    vectorBase: u8(),
    topPriority: u8({ max: 7 }),
    expects: oneOf('mask', 'icw2', 'icw3', 'icw4'),
    icw4Follows: bool,
    single: bool,
    autoEoi: bool,
    rotateInAutoEoi: bool,
    specialMask: bool,
    specialFullyNested: bool,
    readIsr: bool,
    poll: bool,
    elcr: masked(elcrMask),
  });
}

export const pic8259Codec = struct<Pic8259State>({
  master: chipCodec(ELCR_MASKS[0]),
  slave: chipCodec(ELCR_MASKS[1]),
});

export function freshChip(): ChipState {
  return {
    lines: 0,
    irr: 0,
    isr: 0,
    imr: 0,
    vectorBase: 0,
    topPriority: 0,
    expects: 'mask',
    icw4Follows: false,
    single: false,
    autoEoi: false,
    rotateInAutoEoi: false,
    specialMask: false,
    specialFullyNested: false,
    readIsr: false,
    poll: false,
    elcr: 0,
  };
}
