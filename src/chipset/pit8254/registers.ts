/** The 8254 programmable interval timer [8254] and the speaker port beside it [PIIX3 2.5.5]. */
export const PORT = 0x40;
export const PORT_B = 0x61;

/** The PC's timer clock: a third of the colour burst, rounded to whole hertz. */
export const TICKS_PER_SECOND = 1_193_182;

/** Offset 3: the control word. Offsets 0 to 2 are the counters. */
export const CONTROL = 3;

/** Control word bits 7 to 6: the counter, or the read-back command. */
export const SELECT_SHIFT = 6;
export const SELECT_READ_BACK = 3;
/** Control word bits 5 to 4: 0 latches the count, else which bytes are read and written. */
export const ACCESS_SHIFT = 4;
export const ACCESS_LATCH = 0;
export const ACCESS_LOW = 1;
export const ACCESS_HIGH = 2;
export const ACCESS_BOTH = 3;
/** Control word bits 3 to 1; 6 and 7 mean 2 and 3. */
export const MODE_SHIFT = 1;
export const BCD = 1 << 0;

/** Read-back command: both bits are active low [8254, "Read-back command"]. */
export const READ_BACK_NO_COUNT = 1 << 5;
export const READ_BACK_NO_STATUS = 1 << 4;

/** Status byte, above the control word's own bits. */
export const STATUS_OUT = 1 << 7;
export const STATUS_NULL_COUNT = 1 << 6;

/** Counting modes by what the data sheet calls them. */
export const Mode = {
  interruptOnTerminalCount: 0,
  oneShot: 1,
  rateGenerator: 2,
  squareWave: 3,
  softwareStrobe: 4,
  hardwareStrobe: 5,
} as const;

/** Port B: gate of counter 2, speaker data, and two parity enables that only read back. */
export const PORT_B_GATE2 = 1 << 0;
export const PORT_B_WRITABLE = 0x0f;
/** Port B: toggles with each DRAM refresh, which counter 1 used to ask for. */
export const PORT_B_REFRESH = 1 << 4;
export const PORT_B_OUT2 = 1 << 5;

/** Every 15.085 us, as the BIOS programs counter 1. */
export const REFRESH_TICKS = 18;
