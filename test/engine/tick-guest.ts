/** Firmware that counts the timer's ticks aloud, and what a listener may expect to hear. */

/*
 *        cli                         handler: push eax; push ebx; push cx; push dx
 *        xor ax, ax                           inc word [0x600]
 *        mov ds, ax                           imul eax, [0x604], 1664525
 *        mov ss, ax                           add eax, 1013904223
 *        mov sp, 0x7000                       mov [0x604], eax
 *        mov word [0x80], handler             mov bx, [0x600]
 *        mov word [0x82], 0xf000              shl ebx, 16
 *        8259: vectors from 0x20,             mov bx, [0x606]
 *              all but IRQ 0 masked           mov cx, 8
 *        8254: counter 0, mode 2,             mov dx, 0x402
 *              200 Hz                      2: rol ebx, 4
 *        mov word [0x600], 0                  al: the low digit of bl, in hexadecimal
 *        mov dword [0x604], 1                 out dx, al
 *        sti                                  loop 2b
 *     1: hlt                                  mov al, '\n'; out dx, al
 *        jmp 1b                               mov al, 0x20; out 0x20, al
 *                                             pop dx; pop cx; pop ebx; pop eax; iret
 */
const CODE = `
fa31c08ed88ed0bc0070c70680004900c706820000f0b011e620b020e621b004e621b001e621b0fee621b034e643b04ee640
b017e640c7060006000066c706040601000000fbf4ebfd665066535152ff06000666690604060d66190066055ff36e3c66a3
04068b1e000666c1e3108b1e0606b90800ba020466c1c30488d8240f04303c3976020427eee2edb00aeeb020e6205a59665b
6658cf`.replaceAll(/\s/g, '');

const ROM_BYTES = 0x2_0000;
const START = 0x1_0000;

/** Firmware that starts `code` at F000:0000. */
export function firmwareWith(code: Uint8Array): { name: string; data: Uint8Array } {
  const data = new Uint8Array(ROM_BYTES).fill(0xf4);
  data.set(code, START);
  // jmp far F000:0000
  data.set([0xea, 0x00, 0x00, 0x00, 0xf0], ROM_BYTES - 16);
  return { name: 'test.bin', data };
}

export const tickFirmware = firmwareWith(new Uint8Array(Buffer.from(CODE, 'hex')));

/** The first `count` lines: the tick's number, and the upper half of a sum that began with 1. */
export function tickLines(count: number): string[] {
  let sum = 1;
  return Array.from({ length: count }, (_, i) => {
    sum = (Math.imul(sum, 1_664_525) + 1_013_904_223) >>> 0;
    return `${(i + 1).toString(16).padStart(4, '0')}${(sum >>> 16).toString(16).padStart(4, '0')}`;
  });
}
