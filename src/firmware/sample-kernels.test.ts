/** Small kernels of every kind for the loaders' tests, and what every loaded image has to keep to. */
import assert from 'node:assert/strict';
import type { BootImage, DirectBoot } from './boot-image.js';
import { alignUp, concat, cString, setU64, viewOf } from './bytes.js';
import { e820Map, ramLayout } from './e820.js';
import { LoadError, type LoadErrorCode, type NamedFile } from './load-error.js';

const MIB = 2 ** 20;

export function sampleBoot(kernel: Uint8Array, more: Partial<DirectBoot> = {}): DirectBoot {
  const ram = ramLayout(64 * MIB);
  const reserved = 0x1_0000;
  return {
    kernel: { name: 'kernel', data: kernel },
    commandLine: 'console=ttyS0',
    e820: e820Map(ram, reserved),
    lowRamEnd: ram.below4G - reserved,
    rsdp: 0x9_fc10,
    ...more,
  };
}

/** A bzImage of protocol 2.15 with a 64-bit entry that asks for 16 MiB at 16 MiB. */
export function sampleBzImage(): Uint8Array {
  const setupSectors = 3;
  const paragraphs = 0x400;
  const data = new Uint8Array((setupSectors + 1) * 512 + paragraphs * 16);
  const view = viewOf(data);
  data[0x1f1] = setupSectors;
  view.setUint32(0x1f4, paragraphs, true);
  view.setUint16(0x1fe, 0xaa55, true);
  data.set([0xeb, 0x6a], 0x200);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x20f, true);
  data[0x211] = 1;
  view.setUint32(0x214, 0x10_0000, true);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x248, 0x100, true);
  view.setUint32(0x24c, 0x3000, true);
  setU64(view, 0x258, 16 * MIB);
  view.setUint32(0x260, 16 * MIB, true);
  data.fill(0x90, (setupSectors + 1) * 512);
  return data;
}

export interface SampleSegment {
  type?: number;
  offset?: number;
  gpa: number;
  gva?: bigint;
  data: Uint8Array;
  memSize?: number;
}

/** An ELF with its segments' bytes after the headers; 32 or 64 bits wide. */
export function sampleElf(
  segments: readonly SampleSegment[],
  options: { wide?: boolean; entry?: bigint | number; prefix?: Uint8Array } = {},
): Uint8Array {
  const { wide = false, entry = segments[0]?.gpa ?? 0, prefix = new Uint8Array(0) } = options;
  const headerSize = wide ? 64 : 52;
  const entrySize = wide ? 56 : 32;
  const headers = new Uint8Array(headerSize + segments.length * entrySize);
  const view = viewOf(headers);
  const word = (at: number, value: number) =>
    wide ? setU64(view, at, value) : view.setUint32(at, value, true);
  const address = (at: number, value: bigint) =>
    wide ? view.setBigUint64(at, value, true) : view.setUint32(at, Number(value), true);
  headers.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, wide ? 62 : 3, true);
  view.setUint32(20, 1, true);
  address(24, BigInt(entry));
  word(wide ? 32 : 28, headerSize);
  view.setUint16(wide ? 54 : 42, entrySize, true);
  view.setUint16(wide ? 56 : 44, segments.length, true);
  const body: Uint8Array[] = [headers, prefix];
  let offset = headers.length + prefix.length;
  for (const [i, segment] of segments.entries()) {
    const at = headerSize + i * entrySize;
    view.setUint32(at, segment.type ?? 1, true);
    word(at + (wide ? 8 : 4), segment.offset ?? offset);
    address(at + (wide ? 16 : 8), segment.gva ?? BigInt(segment.gpa));
    word(at + (wide ? 24 : 12), segment.gpa);
    word(at + (wide ? 32 : 16), segment.data.length);
    word(at + (wide ? 40 : 20), segment.memSize ?? segment.data.length);
    body.push(segment.data);
    offset += segment.data.length;
  }
  return concat(...body);
}

/** The note that makes an ELF a PVH kernel. */
export function pvhNote(entry: number, size: 4 | 8 = 4): Uint8Array {
  const desc = new Uint8Array(size);
  viewOf(desc).setUint32(0, entry, true);
  const head = new Uint8Array(12);
  for (const [i, value] of [4, size, 18].entries()) viewOf(head).setUint32(i * 4, value, true);
  return concat(head, cString('Xen'), desc);
}

export function multibootHeader(flags: number, ...addresses: number[]): Uint8Array {
  const words = [0x1bad_b002, flags, -(0x1bad_b002 + flags) >>> 0, ...addresses];
  const data = new Uint8Array(words.length * 4);
  for (const [i, value] of words.entries()) viewOf(data).setUint32(i * 4, value, true);
  return data;
}

/** Writes lie in RAM below 4 GiB, over nothing that another write holds, and contain the entry. */
export function checkImage(image: BootImage, boot: DirectBoot): void {
  const writes = image.writes.filter(({ data }) => data.length > 0);
  const sorted = [...writes].sort((a, b) => a.gpa - b.gpa);
  for (const [i, { gpa, data }] of sorted.entries()) {
    assert.ok(Number.isInteger(gpa) && gpa >= 0x1000 && gpa + data.length <= boot.lowRamEnd);
    assert.ok(gpa + data.length <= 0x9_fc00 || gpa >= 0x10_0000, 'nothing in the hole');
    if (i > 0) assert.ok(gpa >= sorted[i - 1].gpa + sorted[i - 1].data.length, 'no overlap');
  }
  assert.ok(Number.isInteger(image.cpu.rip) && image.cpu.rip < boot.lowRamEnd);
}

/** The bytes of guest memory from `gpa` on, as far as one write holds them. */
export function written(image: BootImage, gpa: number): Uint8Array {
  const write = image.writes.find((one) => gpa >= one.gpa && gpa < one.gpa + one.data.length);
  assert.ok(write, `nothing was written at ${gpa.toString(16)}`);
  return write.data.subarray(gpa - write.gpa);
}

export function textAt(image: BootImage, gpa: number): string {
  const data = written(image, gpa);
  return Buffer.from(data.subarray(0, data.indexOf(0))).toString();
}

/** The {@link LoadError} that `load` ends with, of this code and with a sentence that matches. */
export function refused(load: () => unknown, code: LoadErrorCode, sentence: RegExp): void {
  assert.throws(load, (error) => {
    assert.ok(error instanceof LoadError, `${error}`);
    assert.equal(error.code, code);
    assert.match(error.message, sentence);
    assert.doesNotMatch(error.message, /\n|undefined|NaN/);
    return true;
  });
}

/**
 * Flips bits in the first `length` bytes, many times: each file loads as it should or is refused by
 * a {@link LoadError}. Prints its seed.
 */
export function fuzzHeader(
  sample: Uint8Array,
  length: number,
  load: (file: NamedFile) => void,
  rounds = 4000,
): void {
  const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() % 2 ** 31);
  console.log(`fuzz seed ${seed} (CHASSIS_FUZZ_SEED repeats it)`);
  let state = seed | 0;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.floor(((state >>> 8) / 2 ** 24) * below);
  };
  for (let round = 0; round < rounds; round++) {
    const data = sample.slice(0, random(8) === 0 ? random(sample.length + 1) : sample.length);
    const limit = Math.min(length, data.length);
    for (let flips = 1 + random(4); flips > 0 && limit > 0; flips--) {
      const at = random(limit);
      data[at] = random(2) ? data[at] ^ (1 << random(8)) : [0, 0xff, 0x7f, 0x80][random(4)];
    }
    try {
      load({ name: 'kernel', data });
    } catch (error) {
      if (!(error instanceof LoadError)) throw error;
    }
  }
}

export const page = (fill: number, size = 4096): Uint8Array =>
  new Uint8Array(alignUp(size, 4)).fill(fill);
