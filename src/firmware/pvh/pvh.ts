/**
 * Starts an ELF by the x86/HVM direct boot ABI (PVH): the entry is in a note, %ebx points to
 * hvm_start_info. [PVH]
 */

import { type BootImage, type DirectBoot, moduleFiles } from '../boot-image.js';
import { concat, cString, getU64, setU64, viewOf } from '../bytes.js';
import { LAYOUT } from '../direct-layout.js';
import { type Elf, elfRanges, loadRanges, parseElf } from '../elf.js';
import { checkCommandLine } from '../linux-loader/setup-header.js';
import { type GuestWrite, hex, LoadError, type NamedFile } from '../load-error.js';
import { placeInOrder } from '../place-files.js';
import { protectedStart, startGdt } from '../start-state.js';

const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_MAGIC = 0x336e_c578;
const START_INFO_SIZE = 56;
const MODULE_SIZE = 32;
const MEMMAP_ENTRY_SIZE = 24;

/** Whether the executable names a PVH entry. */
export const hasPvhEntry = (elf: Elf): boolean => entryNote(elf) !== undefined;

const entryNote = (elf: Elf) =>
  elf.notes.find((note) => note.owner === 'Xen' && note.type === XEN_ELFNOTE_PHYS32_ENTRY);

/** Throws {@link LoadError}. */
export function loadPvh(boot: DirectBoot): BootImage {
  const { kernel } = boot;
  const elf = parseElf(kernel);
  const entry = entryAddress(kernel, elf);
  const cmdline = cString(boot.commandLine);
  checkCommandLine(kernel.name, cmdline.length - 1, LAYOUT.CMDLINE_MAX - 1);
  const writes: GuestWrite[] = loadRanges(kernel, elfRanges(elf), boot.e820, LAYOUT.LOW_END);
  writes.push({ gpa: LAYOUT.CMDLINE, data: cmdline });
  writes.push({ gpa: LAYOUT.GDT, data: startGdt('protected') });
  const last = elf.segments[elf.segments.length - 1];
  const files = moduleFiles(boot);
  const places = placeInOrder(files, last.gpa + last.memSize, boot.lowRamEnd);
  const modules = files.map(({ data }, i) => ({ gpa: places[i], data }));
  writes.push(...modules, { gpa: LAYOUT.START_INFO, data: startInfo(boot, modules) });
  const registers = { rip: entry, rsp: LAYOUT.STACK_TOP, rbx: LAYOUT.START_INFO };
  return { writes, cpu: protectedStart(registers, LAYOUT.GDT) };
}

function entryAddress(kernel: NamedFile, elf: Elf): number {
  const note = entryNote(elf)?.data;
  const bad = (found: string, wanted: string) =>
    new LoadError('bad-header', kernel.name, 'the note XEN_ELFNOTE_PHYS32_ENTRY', found, wanted);
  if (!note) throw bad('absent', 'a PVH kernel needs it');
  if (note.length !== 4 && note.length !== 8)
    throw bad(`${note.length} bytes long`, '4 or 8 are right');
  const view = viewOf(note);
  const entry = note.length === 4 ? view.getUint32(0, true) : getU64(view, 0);
  if (elf.segments.some(({ gpa, memSize }) => entry >= gpa && entry < gpa + memSize)) return entry;
  throw bad(hex(entry), 'no segment of the file is loaded there');
}

/** hvm_start_info version 1 with its module list and memory map behind it. */
function startInfo(boot: DirectBoot, modules: readonly GuestWrite[]): Uint8Array {
  const modulesAt = LAYOUT.START_INFO + START_INFO_SIZE;
  const list = new Uint8Array(modules.length * MODULE_SIZE);
  for (const [i, { gpa, data }] of modules.entries()) {
    setU64(viewOf(list), i * MODULE_SIZE, gpa);
    setU64(viewOf(list), i * MODULE_SIZE + 8, data.length);
  }
  const memmap = new Uint8Array(boot.e820.length * MEMMAP_ENTRY_SIZE);
  const map = viewOf(memmap);
  for (const [i, entry] of boot.e820.entries()) {
    setU64(map, i * MEMMAP_ENTRY_SIZE, entry.gpa);
    setU64(map, i * MEMMAP_ENTRY_SIZE + 8, entry.sizeBytes);
    map.setUint32(i * MEMMAP_ENTRY_SIZE + 16, entry.type, true);
  }
  const info = new Uint8Array(START_INFO_SIZE);
  const view = viewOf(info);
  view.setUint32(0, START_MAGIC, true);
  view.setUint32(4, 1, true);
  view.setUint32(12, modules.length, true);
  setU64(view, 16, modules.length > 0 ? modulesAt : 0);
  setU64(view, 24, LAYOUT.CMDLINE);
  setU64(view, 32, boot.rsdp);
  setU64(view, 40, modulesAt + list.length);
  view.setUint32(48, boot.e820.length, true);
  return concat(info, list, memmap);
}
