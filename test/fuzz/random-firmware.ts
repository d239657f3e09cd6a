/** Firmware images that are nothing but chance, for a whole machine to run. */
import type { Random } from '../isa/random.js';
import { instructionStarts } from './random-guest.js';

const SIZE = 0x1_0000;
// Offsets in the image.
const TABLE = 0xf000;
const TABLE_REGISTER = 0xf800;
const HANDLER = 0xf810;
const GDTR = 0xf830;
const GDT = 0xf840;
const START = 0xf880;
const RESET = 0xfff0;
/** Segment and linear address of the image below 1 MiB. */
const SEGMENT = 0xf000;
const LINEAR = 0xf_0000;

/** What a run is made of. */
export const kinds = ['bytes', 'instructions', 'ports', 'memory'] as const;
export type Kind = (typeof kinds)[number];

const word = (n: number): number[] => [n, n >> 8, n >> 16, n >> 24].map((b) => b & 0xff);
const half = (n: number): number[] => word(n).slice(0, 2);

/** Ports and registers of the board's devices, and the neighbourhood of each. */
const PORTS = [
  ...[0x00, 0x20, 0x21, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xa0, 0xb2, 0xf0],
  ...[0x2f8, 0x3f8, 0x3fa, 0x3fc, 0x402, 0x4d0, 0x510, 0x511, 0x514, 0x518, 0x600, 0x604, 0x608],
  ...[0xae00, 0xcf8, 0xcf9, 0xcfc, 0xcfe],
];
const PLACES = [
  0, 0x400, 0x7c00, 0x9_fc00, 0xa_0000, 0xc_0000, 0xf_0000, 0x10_0000, 0x40_0000, 0xe000_0000,
  0xfec0_0000, 0xfec0_0010, 0xfed0_0000, 0xfee0_0000, 0xfee0_0300, 0xffff_0000, 0xffff_ffff,
];

const near = (random: Random, list: readonly number[], spread: number): number =>
  random.chance(4)
    ? random.u32()
    : random.pick(list) + (random.chance(2) ? 0 : random.below(spread));

/** mov dx,port; mov eax,value; out or in of some size; with 66 where the code is 16-bit. */
function portAccess(random: Random, wide: number[]): number[] {
  const port = [...(wide.length ? [] : [0x66]), 0xba, ...half(near(random, PORTS, 8))];
  const value = random.chance(2) ? random.u32() : random.below(256);
  const access = random.pick([[0xee], [0xef], [0x66, 0xef], [0xec], [0xed], [0x66, 0xed]]);
  const string = random.pick([[0xf3, 0x6e], [0xf3, 0x6f], [0xf3, 0x6c], [0x6d]]);
  const count = [...wide, 0xb9, ...word(random.below(64))];
  return [
    ...port,
    ...[...wide, 0xb8, ...word(value)],
    ...(random.chance(12) ? [...count, ...string] : access),
  ];
}

/** Loads, stores and read-modify-writes of 32-bit code. */
function memoryAccess(random: Random): number[] {
  const place = word(near(random, PLACES, 0x400));
  const value = word(random.chance(2) ? random.u32() : random.below(256));
  const access = random.pick([
    [0xa3, ...place],
    [0xa2, ...place],
    [0x66, 0xa3, ...place],
    [0xa1, ...place],
    [0xa0, ...place],
    [0xf0, 0x0f, 0xc1, 0x05, ...place],
    [0x87, 0x05, ...place],
    [0x0f, 0x7f, 0x05, ...place],
    [0xff, 0x35, ...place],
    [0xbf, ...place, 0xb9, ...word(random.below(0x2000)), 0xf3, random.pick([0xaa, 0xab, 0xa5])],
  ]);
  return [0xb8, ...value, ...access];
}

const MSRS = [
  0x10, 0x1b, 0x3a, 0xfe, 0x174, 0x1a0, 0x200, 0x250, 0x277, 0x2ff, 0x6e0, 0x800, 0x830,
];

function registerAccess(random: Random): number[] {
  const msr = random.chance(2) ? random.pick(MSRS) : 0xc000_0080 + random.below(8);
  const value = [0xb8, ...word(random.u32()), 0xba, ...word(random.chance(2) ? 0 : random.u32())];
  return [0xb9, ...word(msr), ...value, 0x0f, random.chance(2) ? 0x30 : 0x32];
}

export function randomFirmware(random: Random, kind: Kind): Uint8Array {
  const image = new Uint8Array(SIZE);
  if (kind === 'bytes') {
    for (let i = 0; i < SIZE; i++) image[i] = random.u32();
    if (random.chance(2)) return image;
  }
  let at = 0;
  const put = (bytes: readonly number[]): void => {
    image.set(bytes, at);
    at += bytes.length;
  };
  while (kind !== 'bytes' && at < TABLE - 64) {
    if (kind === 'instructions') {
      put(random.pick(instructionStarts));
      for (let n = random.below(4); n > 0; n--) put([random.u32()]);
    } else if (kind === 'ports') put(portAccess(random, [0x66]));
    else {
      const what = random.below(8);
      const access = what === 0 ? registerAccess : what < 3 ? null : memoryAccess;
      put(access ? access(random) : portAccess(random, []));
    }
  }
  if (kind !== 'bytes') put([0xeb, 0xfe]);
  at = RESET;
  if (kind === 'bytes') {
    put([0xea, ...half(random.u32()), ...half(SEGMENT)]);
    return image;
  }
  put([0xea, ...half(START), ...half(SEGMENT)]);
  const flat = kind === 'memory';
  // Interrupts and exceptions go on anywhere in the image.
  for (let vector = 0; vector < 256; vector++) {
    at = TABLE + vector * (flat ? 8 : 4);
    if (flat) put([...half(HANDLER), 8, 0, 0, 0x8e, ...half(LINEAR >>> 16)]);
    else put([...half(HANDLER), ...half(SEGMENT)]);
  }
  at = TABLE_REGISTER;
  put([0xff, 0x07, ...word(LINEAR + TABLE)]);
  at = HANDLER;
  put([0x0f, 0x31]); // rdtsc
  // and eax,7FFF; add eax,LINEAR; mov esp,8000; jmp eax -- in 16-bit code without the base
  if (flat) put([0x25, ...word(0x7fff), 5, ...word(LINEAR), 0xbc, ...word(0x8000), 0xff, 0xe0]);
  else put([0x25, ...half(0x7fff), 0xbc, ...half(0x8000), 0xff, 0xe0]);
  at = START;
  put([0x66, 0x2e, 0x0f, 0x01, 0x1e, ...half(TABLE_REGISTER)]); // lidt cs:[TABLE_REGISTER]
  if (flat) enterFlat(image, at);
  else put([0xe9, ...half(-(at + 3))]);
  return image;
}

/** Firmware that runs `code` in protected mode with flat segments, without interrupts. */
export function flatFirmware(code: readonly number[]): Uint8Array {
  const image = new Uint8Array(SIZE);
  image.set(code);
  enterFlat(image, START);
  image.set([0xea, ...half(START), ...half(SEGMENT)], RESET);
  return image;
}

/** Protected mode with flat 32-bit segments, from `start` on; then to offset 0. */
function enterFlat(image: Uint8Array, start: number): void {
  const segment = [0xff, 0xff, 0, 0, 0];
  image.set([23, 0, ...word(LINEAR + GDT)], GDTR);
  image.set([...segment, 0x9b, 0xcf, 0, ...segment, 0x93, 0xcf, 0], GDT + 8);
  const real = [
    ...[0x66, 0x2e, 0x0f, 0x01, 0x16, ...half(GDTR)], // lgdt cs:[GDTR]
    ...[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // mov eax,cr0; or al,1; mov cr0,eax
  ];
  const there = start + real.length + 8;
  const flat = [
    ...[0x66, 0xb8, 16, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0], // ds, es, ss
    ...[0xbc, ...word(0x8000)],
  ];
  const back = [0xe9, ...word(-(there + flat.length + 5))];
  image.set([...real, 0x66, 0xea, ...word(LINEAR + there), 8, 0, ...flat, ...back], start);
}
