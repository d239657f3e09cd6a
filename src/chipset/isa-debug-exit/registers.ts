/** Where test programs end their machine, by agreement with QEMU's device of this name. */
export const PORT = 0xf4;
export const SIZE_BYTES = 4;
