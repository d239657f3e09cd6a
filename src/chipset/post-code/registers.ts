/**
 * Where firmware shows how far it got. On the board it is a spare byte of the DMA page
 * [PIIX3 2.5.1.1], so it reads back what was written.
 */
export const PORT = 0x80;
