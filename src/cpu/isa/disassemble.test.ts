import assert from 'node:assert/strict';
import test from 'node:test';
import { type CodeMode, Decoder } from './decode.js';
import { disassemble } from './disassemble.js';
import { instructionTable } from './index.js';

const decoder = new Decoder(instructionTable);

/** Bytes in hexadecimal, at 0x1000, as text. */
const samples: readonly [mode: 16 | 32 | 64, bytes: string, text: string][] = [
  [64, '48 89 c3', 'mov rbx,rax'],
  [64, '41 0f 94 c3', 'sete r11b'],
  [64, '40 88 f4', 'mov spl,sil'],
  [64, '88 f4', 'mov ah,dh'],
  [64, '48 8d 54 42 07', 'lea rdx,[rdx+rax*2+0x7]'],
  [64, '4c 8b 05 10 00 00 00', 'mov r8,QWORD PTR [rip+0x10]'],
  [64, '64 8b 45 f8', 'mov eax,DWORD PTR fs:[rbp-0x8]'],
  [64, '48 81 c4 00 ff ff ff', 'add rsp,0xffffffffffffff00'],
  [64, '48 b8 88 77 66 55 44 33 22 11', 'mov rax,0x1122334455667788'],
  [64, 'f0 0f c1 03', 'lock xadd DWORD PTR [rbx],eax'],
  [64, '75 fe', 'jne 0x1000'],
  [64, 'e8 fb ef ff ff', 'call 0x0'],
  [64, '97', 'xchg edi,eax'],
  [64, '41 90', 'xchg r8d,eax'],
  [64, 'ee', 'out dx,al'],
  [64, '04 7f', 'add al,0x7f'],
  [64, '66 05 34 12', 'add ax,0x1234'],
  [64, '48 98', 'cdqe'],
  [64, '0f 22 d8', 'mov cr3,rax'],
  [64, 'f3 48 a5', 'rep movsq'],
  [64, 'f2 ae', 'repnz scasb'],
  [64, '66 ab', 'stosw'],
  [32, 'ea 78 56 34 12 08 00', 'jmp far 0x8:0x12345678'],
  [32, '8b 04 8d 00 00 10 00', 'mov eax,DWORD PTR [ecx*4+0x100000]'],
  [32, '8e d8', 'mov ds,ax'],
  [16, '8b 42 02', 'mov ax,WORD PTR [bp+si+0x2]'],
  [16, '26 a1 34 12', 'mov ax,es:0x1234'],
  [16, '66 31 c0', 'xor eax,eax'],
];

test('machine code reads as in the manual', () => {
  const wrong: string[] = [];
  for (const [bits, hex, text] of samples) {
    const bytes = Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16));
    const mode = [16, 32, 64].indexOf(bits) as CodeMode;
    const found = disassemble(decoder, bytes, 0, mode, 0x1000n);
    const words = found.text.replace(/\s+/g, ' ');
    if (words !== text || found.length !== bytes.length) {
      wrong.push(`${hex}: ${words} (${found.length} bytes), wanted ${text}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('bytes that are no instruction are one byte long and bad', () => {
  assert.deepEqual(disassemble(decoder, Uint8Array.of(0x06, 0x90), 0, 2, 0n), {
    length: 1,
    text: '(bad)',
  });
  assert.deepEqual(disassemble(decoder, Uint8Array.of(0x48), 0, 2, 0n), {
    length: 1,
    text: '(bad)',
  });
});
