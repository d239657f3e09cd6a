import {
  bool,
  type Codec,
  f64,
  fixedArray,
  oneOf,
  struct,
  u8,
  u16,
  u32,
} from '../../base/codec.js';
import { Mode, PORT_B_WRITABLE } from './registers.js';

export interface ChannelState {
  mode: number;
  bcd: boolean;
  /** Which bytes go through the data port: ACCESS_LOW, ACCESS_HIGH or ACCESS_BOTH. */
  access: number;
  /** The count register: what the guest wrote, not yet decoded. */
  reload: number;
  /** The low byte, while the high one is awaited. */
  lowByte: number;
  awaitsHighByte: boolean;
  /** The next read gives the high byte. */
  readsHighByte: boolean;
  countLatched: boolean;
  latchedCount: number;
  statusLatched: boolean;
  latchedStatus: number;
  gate: boolean;
  /** `idle`: no count since the control word; `armed`: waits for its gate; else the counter ran. */
  phase: 'idle' | 'armed' | 'counting';
  /** The count in the counting element, 1 to 65,536. */
  period: number;
  /** Ticks counted at `since`; grows from there while `running`. */
  elapsed: number;
  /** In ticks of the timer's clock. */
  since: number;
  running: boolean;
}

export interface Pit8254State {
  channels: ChannelState[];
  /** Port B as written. */
  portB: number;
  /** OUT of counter 0 as last put on its line, and the tick at which that was. */
  irqHigh: boolean;
  irqTick: number;
}

/** Whole ticks: a century of them is below 2^52. */
const wholeTicks: Codec<number> = {
  encode: (writer, value) => writer.f64(value),
  decode(reader) {
    const value = f64({ min: 0, max: 2 ** 52 }).decode(reader);
    return Number.isInteger(value) ? value : reader.fail(value, 'a whole number');
  },
};

const channel = struct<ChannelState>({
  mode: u8({ max: Mode.hardwareStrobe }),
  bcd: bool,
  access: u8({ min: 1, max: 3 }),
  reload: u16(),
  lowByte: u8(),
  awaitsHighByte: bool,
  readsHighByte: bool,
  countLatched: bool,
  latchedCount: u16(),
  statusLatched: bool,
  latchedStatus: u8(),
  gate: bool,
  phase: oneOf('idle', 'armed', 'counting'),
  period: u32({ min: 1, max: 0x1_0000 }),
  elapsed: wholeTicks,
  since: wholeTicks,
  running: bool,
});

export const pit8254Codec = struct<Pit8254State>({
  channels: fixedArray(channel, 3),
  portB: u8({ max: PORT_B_WRITABLE }),
  irqHigh: bool,
  irqTick: wholeTicks,
});

/**
 * Undefined by the data sheet until a control word is written; here mode 0 without a count, whose
 * output is low, so that power-on is no interrupt.
 */
export function freshChannel(gate: boolean): ChannelState {
  return {
    mode: Mode.interruptOnTerminalCount,
    bcd: false,
    access: 3,
    reload: 0,
    lowByte: 0,
    awaitsHighByte: false,
    readsHighByte: false,
    countLatched: false,
    latchedCount: 0,
    statusLatched: false,
    latchedStatus: 0,
    gate,
    phase: 'idle',
    period: 0x1_0000,
    elapsed: 0,
    since: 0,
    running: false,
  };
}
