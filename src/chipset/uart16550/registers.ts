/** PC16550D universal asynchronous receiver/transmitter with FIFOs [PC16550D]. */

/** Where the PC has its four, and the inputs of the interrupt controller they drive. */
export const COM_PORTS = [
  { name: 'com1', base: 0x3f8, irq: 4 },
  { name: 'com2', base: 0x2f8, irq: 3 },
  { name: 'com3', base: 0x3e8, irq: 4 },
  { name: 'com4', base: 0x2e8, irq: 3 },
] as const;

/** Offsets; with LCR's divisor latch bit, the first two are the divisor. */
export const DATA = 0;
export const IER = 1;
/** Interrupt identification when read, FIFO control when written. */
export const IIR_FCR = 2;
export const LCR = 3;
export const MCR = 4;
export const LSR = 5;
export const MSR = 6;
export const SCR = 7;

/** Interrupt enable [PC16550D 8.5]. */
export const IER_RECEIVED = 1 << 0;
export const IER_THR_EMPTY = 1 << 1;
export const IER_LINE = 1 << 2;
export const IER_MODEM = 1 << 3;
export const IER_WRITABLE = 0x0f;

/** Interrupt identification, highest priority first [PC16550D table IV]. */
export const IIR_LINE = 0x06;
export const IIR_RECEIVED = 0x04;
export const IIR_TIMEOUT = 0x0c;
export const IIR_THR_EMPTY = 0x02;
export const IIR_MODEM = 0x00;
export const IIR_NONE = 0x01;
export const IIR_FIFOS = 0xc0;

/** FIFO control [PC16550D 8.4]. */
export const FCR_ENABLE = 1 << 0;
export const FCR_CLEAR_RECEIVE = 1 << 1;
export const FCR_TRIGGER_SHIFT = 6;
export const TRIGGER_LEVELS = [1, 4, 8, 14] as const;
export const FIFO_BYTES = 16;

/** Line control [PC16550D 8.1]. */
export const LCR_LENGTH = 0x03;
export const LCR_TWO_STOP = 1 << 2;
export const LCR_PARITY = 1 << 3;
export const LCR_DIVISOR = 1 << 7;

/** Modem control [PC16550D 8.6]. On the PC, OUT2 lets the interrupt out of the chip's card. */
export const MCR_DTR = 1 << 0;
export const MCR_RTS = 1 << 1;
export const MCR_OUT1 = 1 << 2;
export const MCR_OUT2 = 1 << 3;
export const MCR_LOOP = 1 << 4;
export const MCR_WRITABLE = 0x1f;

/** Line status [PC16550D 8.3]. */
export const LSR_DATA_READY = 1 << 0;
export const LSR_OVERRUN = 1 << 1;
export const LSR_THR_EMPTY = 1 << 5;
export const LSR_TRANSMITTER_EMPTY = 1 << 6;

/** Modem status: the inputs above, what changed since the last read below [PC16550D 8.7]. */
export const MSR_CTS = 1 << 4;
export const MSR_DSR = 1 << 5;
export const MSR_RI = 1 << 6;
export const MSR_DCD = 1 << 7;
export const MSR_INPUTS = 0xf0;
export const MSR_CHANGES = 0x0f;
export const MSR_RI_ENDED = 1 << 2;

/** The receiver is silent for this many characters before the timeout interrupt. */
export const TIMEOUT_CHARACTERS = 4;
/** One bit at divisor 1: 16 clocks of 1.8432 MHz. */
export const BIT_NS = 16e9 / 1_843_200;
