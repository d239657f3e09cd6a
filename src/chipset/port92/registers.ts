/** System control port A [PS/2 TRM, "System Control Port A"]; PIIX4 has it too. */
export const PORT = 0x92;

/** A write of 1 where there was 0 resets the CPU. */
export const FAST_INIT = 1 << 0;
/** Address line 20 follows the CPU when 1, is held at 0 when 0. */
export const FAST_A20 = 1 << 1;
