/** Starts a kernel by Multiboot 1: %eax holds the magic, %ebx the information. [MB1 3] */

import { type BootImage, type DirectBoot, moduleFiles } from '../boot-image.js';
import { concat, cString, setU64, viewOf } from '../bytes.js';
import { LAYOUT } from '../direct-layout.js';
import { E820_RAM } from '../e820.js';
import { elfRanges, isElf, type LoadRange, loadRanges, parseElf } from '../elf.js';
import { checkCommandLine } from '../linux-loader/setup-header.js';
import { type GuestWrite, hex, LoadError, type NamedFile } from '../load-error.js';
import { placeInOrder } from '../place-files.js';
import { protectedStart, startGdt } from '../start-state.js';
import { type MultibootHeader, parseMultibootHeader } from './header.js';

const LOADER_MAGIC = 0x2bad_b002;
const LOADER_NAME = 'Chassis';
/** Which fields of the information are there. [MB1 3.3] */
const INFO_MEMORY = 1 << 0;
const INFO_CMDLINE = 1 << 2;
const INFO_MODULES = 1 << 3;
const INFO_MMAP = 1 << 6;
const INFO_LOADER_NAME = 1 << 9;
const INFO_SIZE = 116;
const MODULE_SIZE = 16;
const MMAP_ENTRY_SIZE = 24;

/** Throws {@link LoadError}. The initrd, if given, is the first module. */
export function loadMultiboot(boot: DirectBoot): BootImage {
  const { kernel } = boot;
  const header = parseMultibootHeader(kernel);
  const { entry, ranges } = header.flat ? flatKernel(kernel, header) : elfKernel(kernel);
  const writes: GuestWrite[] = loadRanges(kernel, ranges, boot.e820, LAYOUT.LOW_END);
  const modules = moduleFiles(boot);
  const kernelEnd = Math.max(0x10_0000, ...ranges.map(({ gpa, memSize }) => gpa + memSize));
  const places = placeInOrder(modules, kernelEnd, boot.lowRamEnd);
  for (const [i, { data }] of modules.entries()) writes.push({ gpa: places[i], data });

  const text = texts(kernel, [boot.commandLine, LOADER_NAME, ...modules.map(({ name }) => name)]);
  writes.push({ gpa: LAYOUT.CMDLINE, data: text.data });
  writes.push({ gpa: LAYOUT.GDT, data: startGdt('protected') });
  const list = modules.map(({ data }, i) => ({
    start: places[i],
    end: places[i] + data.length,
    text: text.at[i + 2],
  }));
  writes.push({ gpa: LAYOUT.START_INFO, data: information(boot, text.at, list) });
  const registers = {
    rip: entry,
    rsp: LAYOUT.STACK_TOP,
    rax: LOADER_MAGIC,
    rbx: LAYOUT.START_INFO,
  };
  return { writes, cpu: protectedStart(registers, LAYOUT.GDT) };
}

type Loadable = { entry: number; ranges: LoadRange[] };

function elfKernel(kernel: NamedFile): Loadable {
  if (!isElf(kernel.data)) {
    throw new LoadError(
      'bad-header',
      kernel.name,
      'the Multiboot flags',
      'without bit 16 (addresses)',
      'only an ELF file can be loaded without them',
    );
  }
  const elf = parseElf(kernel);
  // e_entry is a virtual address; kernels linked high mean the physical one of the same segment.
  const offsetIn = (start: bigint, memSize: number): number => {
    const offset = elf.entry - start;
    return offset >= 0n && offset < BigInt(memSize) ? Number(offset) : -1;
  };
  for (const start of ['gpa', 'gva'] as const) {
    for (const segment of elf.segments) {
      const offset = offsetIn(BigInt(segment[start]), segment.memSize);
      if (offset >= 0) return { entry: segment.gpa + offset, ranges: elfRanges(elf) };
    }
  }
  throw entryOutside(kernel, 'e_entry', `0x${elf.entry.toString(16)}`);
}

function entryOutside(kernel: NamedFile, field: string, entry: string): LoadError {
  return new LoadError('outside', kernel.name, field, entry, 'nothing of the file is loaded there');
}

/** [MB1 3.1.3] */
function flatKernel(kernel: NamedFile, header: MultibootHeader): Loadable {
  const { headerAddr, loadAddr, loadEndAddr, bssEndAddr, entryAddr } = header.flat!;
  const size = kernel.data.length;
  const bad = (field: string, found: number, wanted: string) =>
    new LoadError('bad-header', kernel.name, field, hex(found), wanted);
  const skipped = header.at - (headerAddr - loadAddr);
  if (headerAddr < loadAddr || skipped < 0) {
    throw bad(
      'load_addr',
      loadAddr,
      `header_addr ${hex(headerAddr)} is at ${hex(header.at)} in the file`,
    );
  }
  if (loadEndAddr !== 0 && loadEndAddr <= loadAddr) {
    throw bad('load_end_addr', loadEndAddr, `load_addr is ${hex(loadAddr)}`);
  }
  const length = loadEndAddr === 0 ? size - skipped : loadEndAddr - loadAddr;
  if (skipped + length > size) {
    const wanted = `load_end_addr asks for ${skipped + length}`;
    throw new LoadError('truncated', kernel.name, 'the file', `${size} bytes long`, wanted);
  }
  if (bssEndAddr !== 0 && bssEndAddr < loadAddr + length) {
    throw bad('bss_end_addr', bssEndAddr, `the loaded part ends at ${hex(loadAddr + length)}`);
  }
  const memSize = bssEndAddr === 0 ? length : bssEndAddr - loadAddr;
  if (entryAddr < loadAddr || entryAddr >= loadAddr + memSize) {
    throw entryOutside(kernel, 'entry_addr', hex(entryAddr));
  }
  const data = kernel.data.subarray(skipped, skipped + length);
  return { entry: entryAddr, ranges: [{ label: 'the image', gpa: loadAddr, memSize, data }] };
}

/** All strings of the information, one after the other at LAYOUT.CMDLINE. */
function texts(kernel: NamedFile, strings: readonly string[]): { data: Uint8Array; at: number[] } {
  const parts = strings.map(cString);
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  const others = total - parts[0].length;
  checkCommandLine(kernel.name, parts[0].length - 1, LAYOUT.CMDLINE_MAX - others - 1);
  let next: number = LAYOUT.CMDLINE;
  const at = parts.map((part) => {
    const here = next;
    next += part.length;
    return here;
  });
  return { data: concat(...parts), at };
}

function information(
  boot: DirectBoot,
  [commandLineAt, loaderNameAt]: readonly number[],
  modules: readonly { start: number; end: number; text: number }[],
): Uint8Array {
  const info = new Uint8Array(INFO_SIZE);
  const view = viewOf(info);
  const modulesAt = LAYOUT.START_INFO + INFO_SIZE;
  const list = new Uint8Array(modules.length * MODULE_SIZE);
  for (const [i, { start, end, text }] of modules.entries()) {
    for (const [j, value] of [start, end, text].entries()) {
      viewOf(list).setUint32(i * MODULE_SIZE + j * 4, value, true);
    }
  }
  const mmap = new Uint8Array(boot.e820.length * MMAP_ENTRY_SIZE);
  const map = viewOf(mmap);
  for (const [i, entry] of boot.e820.entries()) {
    const at = i * MMAP_ENTRY_SIZE;
    // `size` does not count itself.
    map.setUint32(at, MMAP_ENTRY_SIZE - 4, true);
    setU64(map, at + 4, entry.gpa);
    setU64(map, at + 12, entry.sizeBytes);
    map.setUint32(at + 20, entry.type, true);
  }
  view.setUint32(0, INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MMAP | INFO_LOADER_NAME, true);
  const low = boot.e820.find((entry) => entry.gpa === 0 && entry.type === E820_RAM);
  view.setUint32(4, (low?.sizeBytes ?? 0) / 1024, true);
  view.setUint32(8, (boot.lowRamEnd - 0x10_0000) / 1024, true);
  view.setUint32(16, commandLineAt, true);
  view.setUint32(20, modules.length, true);
  view.setUint32(24, modulesAt, true);
  view.setUint32(44, mmap.length, true);
  view.setUint32(48, modulesAt + list.length, true);
  view.setUint32(64, loaderNameAt, true);
  return concat(info, list, mmap);
}
