/** Where SeaBIOS and OVMF write their log [SeaBIOS src/hw/serialio.c, QEMU docs "debugcon"]. */
export const PORT = 0x402;

/** What firmware reads to learn that somebody listens. */
export const PRESENT = 0xe9;
