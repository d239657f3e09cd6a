/**
 * Where firmware shows how far it got. On the board it is a spare byte of the DMA page registers,
 * so it reads back what was written.
 */
export const PORT = 0x80;
