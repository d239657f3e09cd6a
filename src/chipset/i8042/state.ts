import { array, bool, bytes, oneOf, struct, u8 } from '../../base/codec.js';
import { CONTROL_RESET, KEY_BYTES, OUTPUT_RESET, RAM_BYTES, TYPEMATIC_RESET } from './registers.js';

export interface KeyboardState {
  /** Answers to commands; they go before keys. */
  replies: number[];
  keys: number[];
  scanning: boolean;
  scanCodeSet: number;
  /** The command whose parameter comes next, or 0. */
  command: number;
  leds: number;
  typematic: number;
  lastSent: number;
}

/** Who put a byte into the output buffer; `no-aux` is a byte for a mouse that is not there. */
export type Source = 'keyboard' | 'aux' | 'no-aux';

export interface Reply {
  value: number;
  source: Source;
}

export interface I8042State {
  /** The controller's RAM; byte 0 is the command byte. */
  ram: Uint8Array;
  outputPort: number;
  /** The last write was a command. */
  commandWritten: boolean;
  /** The command whose data byte comes next, or 0. */
  command: number;
  /** The byte at the data port; stays readable when it is no longer new. */
  output: Reply;
  outputFull: boolean;
  /** Answers of the controller that wait for the output buffer. */
  replies: Reply[];
  /** The translator has seen a break prefix. */
  breakSeen: boolean;
  keyboard: KeyboardState;
}

/** More than any guest leaves unread; what comes on top is dropped. */
export const MOST_REPLIES = 8;

const reply = struct<Reply>({ value: u8(), source: oneOf('keyboard', 'aux', 'no-aux') });

export const i8042Codec = struct<I8042State>({
  ram: bytes(RAM_BYTES),
  outputPort: u8(),
  commandWritten: bool,
  command: u8(),
  output: reply,
  outputFull: bool,
  replies: array(reply, MOST_REPLIES),
  breakSeen: bool,
  keyboard: struct<KeyboardState>({
    replies: array(u8(), MOST_REPLIES),
    keys: array(u8(), KEY_BYTES),
    scanning: bool,
    scanCodeSet: u8({ min: 1, max: 2 }),
    command: u8(),
    leds: u8(),
    typematic: u8(),
    lastSent: u8(),
  }),
});

export function freshKeyboard(): KeyboardState {
  return {
    replies: [],
    keys: [],
    scanning: true,
    scanCodeSet: 2,
    command: 0,
    leds: 0,
    typematic: TYPEMATIC_RESET,
    lastSent: 0,
  };
}

export function freshState(): I8042State {
  const ram = new Uint8Array(RAM_BYTES);
  ram[0] = CONTROL_RESET;
  return {
    ram,
    outputPort: OUTPUT_RESET,
    commandWritten: false,
    command: 0,
    output: { value: 0, source: 'keyboard' },
    outputFull: false,
    replies: [],
    breakSeen: false,
    keyboard: freshKeyboard(),
  };
}
