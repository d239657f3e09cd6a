/** MC146818A real-time clock with the PC's 128 bytes, and PIIX4's second 128 [MC146818A]. */
export const PORT = 0x70;
export const BANK_BYTES = 128;

/** Offsets of the four ports. */
export const INDEX = 0;
export const DATA = 1;
export const UPPER_INDEX = 2;
export const UPPER_DATA = 3;

/** Bit 7 of the index port keeps NMI from the CPU. */
export const NMI_MASKED = 1 << 7;

/** Bytes of the clock. */
export const SECONDS = 0x00;
export const SECONDS_ALARM = 0x01;
export const MINUTES = 0x02;
export const MINUTES_ALARM = 0x03;
export const HOURS = 0x04;
export const HOURS_ALARM = 0x05;
export const DAY_OF_WEEK = 0x06;
export const DAY_OF_MONTH = 0x07;
export const MONTH = 0x08;
export const YEAR = 0x09;
export const A = 0x0a;
export const B = 0x0b;
export const C = 0x0c;
export const D = 0x0d;
/** Not the chip's: where a PC's firmware and FADT's CENTURY field agree it is. */
export const CENTURY = 0x32;

/** Register A. */
export const A_UPDATE_IN_PROGRESS = 1 << 7;
/** The divider chain is held in reset when both are set. */
export const A_DIVIDER_RESET = 0x60;
export const A_RATE = 0x0f;
/** 32,768 Hz crystal, periodic rate 1,024 Hz. */
export const A_RESET = 0x26;

/** Register B. */
export const B_SET = 1 << 7;
export const B_PERIODIC_IRQ = 1 << 6;
export const B_ALARM_IRQ = 1 << 5;
export const B_UPDATE_IRQ = 1 << 4;
export const B_BINARY = 1 << 2;
export const B_24_HOURS = 1 << 1;
/** Twenty-four hours, BCD. */
export const B_RESET = 0x02;

/** Register C: what register B's bits enable, and their sum. Reading clears it. */
export const C_IRQ = 1 << 7;
export const C_PERIODIC = 1 << 6;
export const C_ALARM = 1 << 5;
export const C_UPDATE = 1 << 4;
export const C_FLAGS = C_PERIODIC | C_ALARM | C_UPDATE;

/** Register D: RAM and time are valid. */
export const D_VALID = 1 << 7;

/** Twelve-hour mode: afternoon. */
export const HOURS_PM = 1 << 7;
/** An alarm byte with both of these matches every value. */
export const ALARM_ANY = 0xc0;

/** UIP goes up 244 us before an update that takes 1,984 us [MC146818A, "Update cycle"]. */
export const UPDATE_MS = 2.228;
/** The first update comes half a second after the divider is let go. */
export const DIVIDER_RELEASE_MS = 500;
export const CRYSTAL_HZ = 32_768;
