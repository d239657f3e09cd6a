/**
 * A guest that counts down from a million in 32-bit code, then ends by isa-debug-exit with value 5. A flat
 * Multiboot 1 kernel:
 *
 *   100020  mov ecx,1000000
 *   100025  sub eax,3; dec ecx; jnz 100025
 *   10002b  mov al,5; out 0xf4,al; hlt
 */
export const loopGuest = Uint8Array.from(
  Buffer.from(
    '02b0ad1b00000100fe4f51e40000100000001000300010003000100020001000' +
      'b940420f0083e8034975fab005e6f4f4',
    'hex',
  ),
);
/** What `chassis run` ends with: (5 << 1) | 1. */
export const loopGuestStatus = 11;
