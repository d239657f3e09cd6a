/** ELF executables as boot loaders read them: program headers and notes. [ELF 5] */
import { alignUp, getU64, viewOf } from './bytes.js';
import type { E820Entry } from './e820.js';
import { E820_RAM } from './e820.js';
import { type GuestWrite, hex, LoadError, type NamedFile } from './load-error.js';

const CLASS_32 = 1;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const ET_EXEC = 2;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;

export interface ElfSegment {
  /** Index in the program header table. */
  readonly index: number;
  readonly gpa: number;
  readonly gva: bigint;
  readonly memSize: number;
  /** The bytes the file has for it; the rest of `memSize` is zeros. */
  readonly data: Uint8Array;
}

export interface ElfNote {
  readonly owner: string;
  readonly type: number;
  readonly data: Uint8Array;
}

export interface Elf {
  /** A virtual address, by the specification; those of kernels pass 2^53. */
  readonly entry: bigint;
  /** In ascending order of address, none empty. */
  readonly segments: readonly ElfSegment[];
  readonly notes: readonly ElfNote[];
}

export function isElf(data: Uint8Array): boolean {
  return data.length >= 4 && viewOf(data).getUint32(0, false) === 0x7f45_4c46;
}

/** Throws {@link LoadError} unless the file is a complete x86 executable without overlaps. */
export function parseElf(file: NamedFile): Elf {
  const { name, data } = file;
  const bad = (field: string, found: string, wanted: string) =>
    new LoadError('bad-header', name, field, found, wanted);
  if (!isElf(data)) throw bad('the magic at 0', 'not that of ELF', 'it has to be 7f 45 4c 46');
  const elfClass = data[4];
  if (elfClass !== CLASS_32 && elfClass !== CLASS_64) {
    throw machineError(
      name,
      'e_ident[EI_CLASS]',
      `${elfClass}`,
      'it has to be 1 (32-bit) or 2 (64-bit)',
    );
  }
  const wide = elfClass === CLASS_64;
  const headerSize = wide ? 64 : 52;
  if (data.length < headerSize) throw truncated(name, 'the ELF header', headerSize, data.length);
  if (data[5] !== LITTLE_ENDIAN) {
    throw machineError(name, 'e_ident[EI_DATA]', `${data[5]}`, 'it has to be 1 (little-endian)');
  }
  const view = viewOf(data);
  const word = (at: number) => (wide ? getU64(view, at) : view.getUint32(at, true));
  const address = (at: number) =>
    wide ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
  const machine = view.getUint16(18, true);
  if (machine !== EM_386 && machine !== EM_X86_64) {
    throw machineError(name, 'e_machine', `${machine}`, 'it has to be 3 (i386) or 62 (x86-64)');
  }
  if (machine === EM_386 && wide) {
    throw machineError(
      name,
      'e_ident[EI_CLASS]',
      '2 (64-bit)',
      'e_machine 3 (i386) needs 1 (32-bit)',
    );
  }
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC) throw bad('e_type', `${type}`, 'it has to be 2 (an executable)');
  const phoff = word(wide ? 32 : 28);
  const phentsize = view.getUint16(wide ? 54 : 42, true);
  const phnum = view.getUint16(wide ? 56 : 44, true);
  const wantedSize = wide ? 56 : 32;
  if (phentsize !== wantedSize)
    throw bad('e_phentsize', `${phentsize}`, `it has to be ${wantedSize}`);
  if (phoff + phnum * phentsize > data.length) {
    throw truncated(name, 'the program header table', phoff + phnum * phentsize, data.length);
  }

  const segments: ElfSegment[] = [];
  const notes: ElfNote[] = [];
  for (let index = 0; index < phnum; index++) {
    const at = phoff + index * phentsize;
    const kind = view.getUint32(at, true);
    if (kind !== PT_LOAD && kind !== PT_NOTE) continue;
    const offset = word(at + (wide ? 8 : 4));
    const gva = address(at + (wide ? 16 : 8));
    const gpa = word(at + (wide ? 24 : 12));
    const fileSize = word(at + (wide ? 32 : 16));
    const memSize = word(at + (wide ? 40 : 20));
    if (offset + fileSize > data.length) {
      throw truncated(name, `program header ${index}`, offset + fileSize, data.length);
    }
    const bytes = data.subarray(offset, offset + fileSize);
    if (kind === PT_NOTE) {
      readNotes(bytes, notes);
      continue;
    }
    if (memSize < fileSize) {
      throw bad(`p_memsz of segment ${index}`, hex(memSize), `p_filesz is ${hex(fileSize)}`);
    }
    if (memSize > 0) segments.push({ index, gpa, gva, memSize, data: bytes });
  }
  if (segments.length === 0)
    throw bad('the number of segments to load', '0', 'one is needed at least');
  segments.sort((a, b) => a.gpa - b.gpa);
  checkOverlaps(name, segments);
  return { entry: address(24), segments, notes };
}

function machineError(name: string, field: string, found: string, wanted: string): LoadError {
  return new LoadError('wrong-machine', name, field, found, wanted);
}

function truncated(name: string, what: string, end: number, size: number): LoadError {
  return new LoadError(
    'truncated',
    name,
    'the file',
    `${size} bytes long`,
    `${what} ends at ${end}`,
  );
}

function checkOverlaps(name: string, segments: readonly ElfSegment[]): void {
  for (let i = 1; i < segments.length; i++) {
    const [before, after] = [segments[i - 1], segments[i]];
    const end = before.gpa + before.memSize;
    if (after.gpa >= end) continue;
    throw new LoadError(
      'overlap',
      name,
      `p_paddr of segment ${after.index}`,
      hex(after.gpa),
      `segment ${before.index} fills memory up to ${hex(end)}`,
    );
  }
}

/** Entries {namesz, descsz, type, name, desc}, each part padded to 4 bytes; broken ones end the list. */
function readNotes(data: Uint8Array, notes: ElfNote[]): void {
  const view = viewOf(data);
  let at = 0;
  while (at + 12 <= data.length) {
    const nameSize = view.getUint32(at, true);
    const dataSize = view.getUint32(at + 4, true);
    const dataAt = at + 12 + alignUp(nameSize, 4);
    if (nameSize > 64 || dataAt + dataSize > data.length) return;
    const owner = data.subarray(at + 12, at + 12 + Math.max(0, nameSize - 1));
    notes.push({
      owner: String.fromCharCode(...owner),
      type: view.getUint32(at + 8, true),
      data: data.subarray(dataAt, dataAt + dataSize),
    });
    at = dataAt + alignUp(dataSize, 4);
  }
}

/** A piece of memory that a loader is to fill; the bytes after `data` are zeros. */
export interface LoadRange {
  readonly label: string;
  readonly gpa: number;
  readonly memSize: number;
  readonly data: Uint8Array;
}

/**
 * What to write for the ranges. Guest RAM starts as zeros, so zeros are not written. Throws
 * {@link LoadError} for a range outside RAM, or below `lowest`, which the loader uses itself.
 */
export function loadRanges(
  file: NamedFile,
  ranges: readonly LoadRange[],
  e820: readonly E820Entry[],
  lowest: number,
): GuestWrite[] {
  const ram = e820.filter((entry) => entry.type === E820_RAM && entry.gpa < 2 ** 32);
  for (const { label, gpa, memSize } of ranges) {
    const end = gpa + memSize;
    const home = ram.find((entry) => gpa >= entry.gpa && gpa < entry.gpa + entry.sizeBytes);
    if (home && gpa >= lowest && end <= home.gpa + home.sizeBytes) continue;
    const room = ram
      .map((entry) => [Math.max(entry.gpa, lowest), entry.gpa + entry.sizeBytes] as const)
      .filter(([from, to]) => from < to)
      .map(([from, to]) => `${hex(from)} to ${hex(to)}`);
    throw new LoadError(
      home && gpa >= lowest ? 'larger-than-ram' : 'outside',
      file.name,
      `the memory of ${label}`,
      `${hex(gpa)} to ${hex(end)}`,
      `guest RAM for it is ${room.join(' and ')}`,
    );
  }
  return ranges.filter(({ data }) => data.length > 0).map(({ gpa, data }) => ({ gpa, data }));
}

/** {@link LoadRange}s of an executable's segments. */
export const elfRanges = (elf: Elf): LoadRange[] =>
  elf.segments.map((segment) => ({ ...segment, label: `segment ${segment.index}` }));
