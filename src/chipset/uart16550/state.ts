import { array, bool, f64, struct, u8 } from '../../base/codec.js';
import {
  FIFO_BYTES,
  IER_WRITABLE,
  LSR_OVERRUN,
  MCR_WRITABLE,
  MSR_CTS,
  MSR_DCD,
  MSR_DSR,
} from './registers.js';

export interface Uart16550State {
  ier: number;
  lcr: number;
  mcr: number;
  /** The error bits of LSR; the others follow from the rest. */
  errors: number;
  /** Modem inputs above, changes below. */
  msr: number;
  scratch: number;
  divisorLow: number;
  divisorHigh: number;
  fifoEnabled: boolean;
  /** Index in TRIGGER_LEVELS. */
  trigger: number;
  received: number[];
  /** The transmit holding register went empty and nobody has been told. */
  thrEmptyPending: boolean;
  timeoutPending: boolean;
  /** When the receive timeout comes, or 0. */
  timeoutAtNs: number;
}

export const uart16550Codec = struct<Uart16550State>({
  ier: u8({ max: IER_WRITABLE }),
  lcr: u8(),
  mcr: u8({ max: MCR_WRITABLE }),
  errors: u8({ max: LSR_OVERRUN }),
  msr: u8(),
  scratch: u8(),
  divisorLow: u8(),
  divisorHigh: u8(),
  fifoEnabled: bool,
  trigger: u8({ max: 3 }),
  received: array(u8(), FIFO_BYTES),
  thrEmptyPending: bool,
  timeoutPending: bool,
  timeoutAtNs: f64({ min: 0 }),
});

/** After MASTER RESET [PC16550D table I]; the other end is there and ready. */
export function freshState(): Uart16550State {
  return {
    ier: 0,
    lcr: 0,
    mcr: 0,
    errors: 0,
    msr: MSR_CTS | MSR_DSR | MSR_DCD,
    scratch: 0,
    // 9600 baud, which is what a PC's firmware leaves.
    divisorLow: 12,
    divisorHigh: 0,
    fifoEnabled: false,
    trigger: 0,
    received: [],
    thrEmptyPending: false,
    timeoutPending: false,
    timeoutAtNs: 0,
  };
}
