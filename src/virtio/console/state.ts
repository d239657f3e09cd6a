import { array, bool, type Codec, fixedArray, struct, u16, u32 } from '../../base/codec.js';
import { MAX_WAITING } from './registers.js';

export interface ConsoleState {
  columns: number;
  rows: number;
  /** The driver was told of the ports. */
  announced: boolean;
  /** By port: the driver has set it up; a guest's process has it open. */
  ready: boolean[];
  open: boolean[];
  /** Control messages that the driver has given no buffer for. */
  waiting: { port: number; event: number; value: number }[];
}

export const consoleCodec = (ports: number): Codec<ConsoleState> =>
  struct<ConsoleState>({
    columns: u16(),
    rows: u16(),
    announced: bool,
    ready: fixedArray(bool, ports),
    open: fixedArray(bool, ports),
    waiting: array(
      struct<{ port: number; event: number; value: number }>({
        port: u32({ max: ports - 1 }),
        event: u16({ max: 7 }),
        value: u16(),
      }),
      MAX_WAITING,
    ),
  });
