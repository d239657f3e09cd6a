/**
 * A guest of 70 bytes that sends back on COM1 what it reads there; `q` ends it by isa-debug-exit with
 * value 5, `t` by a triple fault. A flat Multiboot 1 kernel of 32-bit code:
 *
 *   start: mov dx,0x3fd; in al,dx; test al,1; jz start        ; a byte is there [16550 8.6.2]
 *          mov dx,0x3f8; in al,dx; out dx,al
 *          cmp al,'q'; je quit; cmp al,'t'; jne start
 *          lidt [none]; int3                                   ; no handler, no double fault handler
 *   quit:  mov al,5; out 0xf4,al; hlt
 */
export const echoGuest = Uint8Array.from(
  Buffer.from(
    '02b0ad1b00000100fe4f51e400001000000010004a0010004a00100020001000' +
      '66bafd03eca80174f766baf803ecee3c71740c3c7475e90f011d44001000ccb0' +
      '05e6f4f4000000000000',
    'hex',
  ),
);
