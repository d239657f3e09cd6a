/** Starts a kernel without firmware: loader, ACPI, SMBIOS and memory map put together. */

import type { AcpiBoard } from './acpi/board.js';
import { acpiTables, RSDP_FILE, TABLES_FILE } from './acpi/tables.js';
import type { BootImage } from './boot-image.js';
import { alignUp } from './bytes.js';
import { LAYOUT } from './direct-layout.js';
import { EBDA_START, e820Map } from './e820.js';
import { isElf, parseElf } from './elf.js';
import { placeTables } from './linked-tables.js';
import { loadLinux } from './linux-loader/linux-loader.js';
import { isLinuxKernel } from './linux-loader/setup-header.js';
import { type GuestWrite, LoadError, type NamedFile } from './load-error.js';
import { findMultibootHeader } from './multiboot/header.js';
import { loadMultiboot } from './multiboot/multiboot.js';
import { hasPvhEntry, loadPvh } from './pvh/pvh.js';
import { placeSmbios, type SmbiosBoard, smbiosTables } from './smbios/smbios.js';

export interface DirectBootRequest {
  readonly board: AcpiBoard & SmbiosBoard;
  readonly kernel: NamedFile;
  readonly initrd?: NamedFile;
  readonly modules?: readonly NamedFile[];
  readonly commandLine: string;
  readonly randomU32?: () => number;
}

type Loader = typeof loadLinux;

/** The loader for the file, by what it says it is; throws {@link LoadError} if it says nothing. */
export function loaderFor(kernel: NamedFile): Loader {
  if (isLinuxKernel(kernel.data)) return loadLinux;
  if (findMultibootHeader(kernel.data) >= 0) return loadMultiboot;
  if (isElf(kernel.data)) {
    // An x86 executable with a PVH note, or the error that says what else it is.
    if (hasPvhEntry(parseElf(kernel))) return loadPvh;
    throw unknown(kernel, 'an ELF file without a PVH note or a Multiboot header');
  }
  throw unknown(kernel, 'of no known kind');
}

function unknown({ name }: NamedFile, found: string): LoadError {
  return new LoadError(
    'bad-header',
    name,
    'the kernel',
    found,
    'a Linux bzImage ("HdrS" at 0x202), an ELF with a PVH note or a Multiboot kernel is needed',
  );
}

/** Throws {@link LoadError}. */
export function directBoot(request: DirectBootRequest): BootImage {
  const { board } = request;
  const acpi = acpiTables(board);
  const tables = acpi.files.find(({ name }) => name === TABLES_FILE)!;
  const reservedTop = alignUp(tables.data.length, 0x1_0000);
  const lowRamEnd = board.ram.below4G - reservedTop;
  const load = loaderFor(request.kernel);
  const image = load({
    ...request,
    e820: e820Map(board.ram, reservedTop),
    lowRamEnd,
    rsdp: LAYOUT.RSDP,
  });
  const ebdaSegment: GuestWrite = {
    gpa: LAYOUT.BDA_EBDA_SEGMENT,
    data: Uint8Array.of((EBDA_START >> 4) & 0xff, EBDA_START >> 12),
  };
  const smbios = smbiosTables(board);
  return {
    cpu: image.cpu,
    writes: [
      ...image.writes,
      ...placeTables(acpi, { [TABLES_FILE]: lowRamEnd, [RSDP_FILE]: LAYOUT.RSDP }),
      ...placeSmbios(smbios, LAYOUT.SMBIOS),
      ebdaSegment,
    ],
  };
}
