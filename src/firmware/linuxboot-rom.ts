/**
 * The option ROM by which SeaBIOS boots the kernel that fw_cfg holds. SeaBIOS has no code of its own
 * for that: it runs every ROM it finds in a fw_cfg file `genroms/...`, and boots from the bootstrap
 * entry vector (BEV) of one whose path stands in the file `bootorder`. [SeaBIOS src/optionroms.c],
 * [PnP 3.2]
 *
 * The BEV fetches initrd, command line, kernel and setup code by fw_cfg DMA, which takes physical
 * addresses: real mode is enough. Then it enters the setup code by the 16-bit boot protocol [boot.rst
 * "Running the kernel"]. Addresses and sizes are items of fw_cfg too: whoever fills them
 * (linux-loader/fw-cfg-kernel.ts) has already patched the setup header.
 *
 * ```
 * frame at SS:BP           FWCfgDmaAccess, big-endian
 *   +0  control  +4 length  +8 address (64 bits)
 *   +16 address of the item being fetched, little-endian    +20 its size
 * ```
 */

import { assert } from '../base/assert.js';

/** fw_cfg file of the ROM, and its name in the file `bootorder`. */
export const LINUXBOOT_FILE = 'genroms/linuxboot_dma.bin';
export const LINUXBOOT_BOOT_PATH = '/rom@genroms/linuxboot_dma.bin';

/** Keys of address, size and data, in the order of fetching: setup last. [fw_cfg] */
const KEYS = [
  [0x0a, 0x0b, 0x12], // initrd
  [0x13, 0x14, 0x15], // command line
  [0x07, 0x08, 0x11], // kernel
  [0x16, 0x17, 0x18], // setup
] as const;
const CMDLINE_ADDRESS = 0x13;

const ROM_BYTES = 512;
const PNP_HEADER_BYTES = 32;
const PNP_CHECKSUM = 9;

/** A line of the listing: bytes, or a reference to a label, or where a label stands. */
type Line =
  | readonly number[]
  | { readonly label: string }
  /** 16-bit offset in the ROM. */
  | { readonly offsetOf: string }
  /** 8-bit displacement from the byte after. */
  | { readonly relative8: string }
  /** 16-bit displacement from the word after. */
  | { readonly relative16: string }
  /** Zeros up to this offset. */
  | { readonly upTo: number };

const ascii = (text: string) => Array.from(text, (c) => c.charCodeAt(0));
const word = (value: number) => [value & 0xff, value >>> 8];
const at = (label: string): Line => ({ label });
const offsetOf = (label: string): Line => ({ offsetOf: label });
const relative8 = (label: string): Line => ({ relative8: label });
const relative16 = (label: string): Line => ({ relative16: label });

const header: Line[] = [
  [0x55, 0xaa, ROM_BYTES / 512],
  [0xcb], // retf: nothing to do when the ROM is found
  { upTo: 0x18 },
  word(0), // no PCI data structure
  offsetOf('pnp'),
  at('pnp'),
  ascii('$PnP'),
  [0x01, 0x02], // revision; length in 16-byte units
  word(0), // no next header
  [0x00, 0x00], // zero; checksum, filled in at the end
  [0, 0, 0, 0], // device identifier
  offsetOf('maker'),
  offsetOf('product'),
  [0, 0, 0], // device type
  [0x00], // device indicators
  word(0), // boot connection vector
  word(0), // disconnect vector
  offsetOf('bev'),
  word(0), // reserved
  word(0), // static resource information vector
  at('maker'),
  [...ascii('Chassis'), 0],
  at('product'),
  [...ascii('Linux by fw_cfg'), 0],
];

const code: Line[] = [
  at('bev'),
  [0xfa], // cli
  [0xfc], // cld
  [0x0e, 0x1f], // push cs; pop ds
  [0x83, 0xec, 24], // sub sp, 24
  [0x89, 0xe5], // mov bp, sp
  // EBX: physical address of the frame.
  [0x66, 0x31, 0xdb], // xor ebx, ebx
  [0x8c, 0xd3], // mov bx, ss
  [0x66, 0xc1, 0xe3, 0x04], // shl ebx, 4
  [0x66, 0x0f, 0xb7, 0xc5], // movzx eax, bp
  [0x66, 0x01, 0xc3], // add ebx, eax
  [0xbe], // mov si, keys
  offsetOf('keys'),

  at('next'),
  [0x66, 0x67, 0x8d, 0x7b, 16], // lea edi, [ebx+16]
  [0xe8], // call number: address
  relative16('number'),
  [0x66, 0x67, 0x8d, 0x7b, 20], // lea edi, [ebx+20]
  [0xe8], // call number: size
  relative16('number'),
  [0xad], // lodsw: key of the data
  [0x66, 0x8b, 0x7e, 16], // mov edi, [bp+16]
  [0x66, 0x8b, 0x4e, 20], // mov ecx, [bp+20]
  [0xe8], // call fetch
  relative16('fetch'),
  [0x81, 0xfe], // cmp si, keys-end
  offsetOf('keys-end'),
  [0x75], // jne next
  relative8('next'),

  // The last item was the setup code: its address is in the frame.
  [0x66, 0x67, 0x8d, 0x7b, 20], // lea edi, [ebx+20]
  [0xe8], // call number: the command line's address, again
  relative16('number'),
  [0x66, 0x8b, 0x56, 16], // mov edx, [bp+16]
  [0x66, 0x8b, 0x4e, 20], // mov ecx, [bp+20]
  [0x66, 0x29, 0xd1], // sub ecx, edx
  [0x66, 0x83, 0xe9, 16], // sub ecx, 16: the stack ends below the command line
  [0x66, 0xc1, 0xea, 0x04], // shr edx, 4
  [0x8e, 0xd2], // mov ss, dx
  [0x66, 0x89, 0xcc], // mov esp, ecx
  [0x8e, 0xda], // mov ds, dx
  [0x8e, 0xc2], // mov es, dx
  [0x8e, 0xe2], // mov fs, dx
  [0x8e, 0xea], // mov gs, dx
  [0x83, 0xc2, 0x20], // add dx, 0x20: the entry is the second sector
  [0x52], // push dx
  [0x6a, 0x00], // push 0
  [0xcb], // retf

  // Fetches the 4-byte item whose key is next at DS:SI to physical EDI.
  at('number'),
  [0xad], // lodsw
  [0x66, 0xb9, 4, 0, 0, 0], // mov ecx, 4

  // Fetches item AX, ECX bytes, to physical EDI.
  at('fetch'),
  [0x66, 0xc1, 0xe0, 0x10], // shl eax, 16
  [0xb0, 0x0a], // mov al, select | read
  [0x66, 0x0f, 0xc8], // bswap eax
  [0x66, 0x89, 0x46, 0], // mov [bp], eax
  [0x66, 0x0f, 0xc9], // bswap ecx
  [0x66, 0x89, 0x4e, 4], // mov [bp+4], ecx
  [0x66, 0xc7, 0x46, 8, 0, 0, 0, 0], // mov dword [bp+8], 0
  [0x66, 0x0f, 0xcf], // bswap edi
  [0x66, 0x89, 0x7e, 12], // mov [bp+12], edi
  [0x66, 0x31, 0xc0], // xor eax, eax
  [0xba, 0x14, 0x05], // mov dx, 0x514
  [0x66, 0xef], // out dx, eax
  [0x66, 0x89, 0xd8], // mov eax, ebx
  [0x66, 0x0f, 0xc8], // bswap eax
  [0xb2, 0x18], // mov dl, 0x18
  [0x66, 0xef], // out dx, eax: starts it
  at('wait'),
  [0x66, 0x8b, 0x46, 0], // mov eax, [bp]
  [0x66, 0xa9, 0xff, 0xff, 0xff, 0xfe], // test eax, all but the error bit
  [0x75], // jnz wait
  relative8('wait'),
  [0x66, 0x85, 0xc0], // test eax, eax
  [0x75], // jnz failed
  relative8('failed'),
  [0xc3], // ret

  // Back to SeaBIOS, which tries the next boot device.
  at('failed'),
  [0x8d, 0x66, 24], // lea sp, [bp+24]
  [0xfb], // sti
  [0xcb], // retf

  at('keys'),
  KEYS.flat().flatMap(word),
  at('keys-end'),
  word(CMDLINE_ADDRESS),
];

/** Two passes: where labels stand, then bytes. */
function assemble(lines: readonly Line[]): Uint8Array {
  const rom = new Uint8Array(ROM_BYTES);
  const labels = new Map<string, number>();
  for (const final of [false, true]) {
    const place = (label: string) => {
      const found = labels.get(label);
      assert(found !== undefined || !final, `no label ${label}`);
      return found ?? 0;
    };
    let offset = 0;
    for (const line of lines) {
      if ('label' in line) labels.set(line.label, offset);
      else if ('upTo' in line) offset = line.upTo;
      else {
        const bytes = bytesOf(line, offset, place);
        assert(offset + bytes.length < ROM_BYTES, 'the ROM is full');
        rom.set(bytes, offset);
        offset += bytes.length;
      }
    }
  }
  const pnp = labels.get('pnp')!;
  const pnpEnd = pnp + PNP_HEADER_BYTES;
  rom[pnp + PNP_CHECKSUM] = -sum(rom.subarray(pnp, pnpEnd));
  rom[ROM_BYTES - 1] = -sum(rom);
  return rom;
}

function bytesOf(
  line: Exclude<Line, { label: string } | { upTo: number }>,
  offset: number,
  place: (label: string) => number,
): readonly number[] {
  if ('offsetOf' in line) return word(place(line.offsetOf));
  if ('relative16' in line) return word((place(line.relative16) - offset - 2) & 0xffff);
  if ('relative8' in line) return [(place(line.relative8) - offset - 1) & 0xff];
  return line;
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0);
}

/** The ROM: 512 bytes that sum to zero. */
export function linuxbootRom(): Uint8Array {
  return assemble([...header, ...code]);
}
