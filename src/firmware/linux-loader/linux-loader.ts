/** Starts a bzImage by the 64-bit boot protocol, or the 32-bit one where there is no 64-bit entry. */

import type { BootImage, DirectBoot } from '../boot-image.js';
import { cString, setU64, viewOf } from '../bytes.js';
import { LAYOUT } from '../direct-layout.js';
import { encodeE820 } from '../e820.js';
import { type GuestWrite, LoadError } from '../load-error.js';
import { describe } from '../memory-size.js';
import { placeHigh } from '../place-files.js';
import { identityPageTables, longStart, protectedStart, startGdt } from '../start-state.js';
import { checkCommandLine, FIELD, parseSetupHeader, type SetupHeader } from './setup-header.js';
import { type PlacedKernel, placeUnpacked } from './unpacked-kernel.js';

/** Offset of the 64-bit entry in the protected-mode kernel. [boot.rst "64-bit boot protocol"] */
const ENTRY_64 = 0x200;
const LOADER_UNDEFINED = 0xff;
/** Of loadflags: virtual addresses were moved; the kernel moves more of its own then. */
const KASLR_FLAG = 1 << 1;

/** Throws {@link LoadError}. */
export function loadLinux(boot: DirectBoot): BootImage {
  const { kernel, initrd } = boot;
  const header = parseSetupHeader(kernel);
  for (const { name } of boot.modules ?? []) {
    throw new LoadError('bad-header', name, 'the boot protocol', 'Linux', 'it knows no modules');
  }
  const cmdline = cString(boot.commandLine);
  checkCommandLine(
    kernel.name,
    cmdline.length - 1,
    Math.min(header.cmdlineSize, LAYOUT.CMDLINE_MAX - 1),
  );
  const loadAt = header.prefAddress;
  const payload = kernel.data.subarray(header.setupSize);
  // The kernel decompresses itself within init_size bytes from where it is. [boot.rst "init_size"]
  const kernelEnd = loadAt + Math.max(header.initSize, payload.length);
  if (loadAt < 0x10_0000 || kernelEnd > boot.lowRamEnd) {
    throw new LoadError(
      'larger-than-ram',
      kernel.name,
      'the memory the kernel asks for by pref_address and init_size',
      `${describe(kernelEnd - loadAt)} at ${describe(loadAt)}`,
      `guest RAM below 4 GiB has room from 1 MiB to ${describe(boot.lowRamEnd)}`,
    );
  }
  const placed = unpackedKernel(boot, header);
  const writes: GuestWrite[] = [
    ...(placed?.writes ?? [{ gpa: loadAt, data: payload }]),
    { gpa: LAYOUT.CMDLINE, data: cmdline },
  ];
  let initrdAt = 0;
  if (initrd && initrd.data.length > 0) {
    const end = Math.min(boot.lowRamEnd, header.initrdAddrMax + 1);
    initrdAt = placeHigh(initrd, kernelEnd, end);
    writes.push({ gpa: initrdAt, data: initrd.data });
  }
  const params = bootParams(boot, header, loadAt, initrdAt);
  if (placed?.isRandom) params[FIELD.LOADFLAGS]! |= KASLR_FLAG;
  writes.push({ gpa: LAYOUT.START_INFO, data: params });
  return handOver(header, placed?.entry ?? loadAt + (header.has64BitEntry ? ENTRY_64 : 0), writes);
}

/** What the decompressor would have made of the payload, if the host has done its work. */
function unpackedKernel(boot: DirectBoot, header: SetupHeader): PlacedKernel | undefined {
  const { name } = boot.kernel;
  const unpacked = boot.kernel.unpack?.();
  if (unpacked === undefined) return undefined;
  const stays = boot.randomU32 === undefined || /(^| )nokaslr( |$)/.test(boot.commandLine);
  const align = stays || !header.has64BitEntry ? 0 : header.alignment;
  const placed = placeUnpacked(name, unpacked, align, boot.randomU32 ?? (() => 0));
  // Of another kind than the decompressor's memory is meant for: it shall find out itself.
  const fits = placed.gpa >= 0x10_0000 && placed.end <= header.prefAddress + header.initSize;
  return fits ? placed : undefined;
}

function handOver(header: SetupHeader, entry: number, writes: GuestWrite[]): BootImage {
  const registers = { rsp: LAYOUT.STACK_TOP, rsi: LAYOUT.START_INFO };
  if (!header.has64BitEntry) {
    writes.push({ gpa: LAYOUT.GDT, data: startGdt('protected') });
    return { writes, cpu: protectedStart({ ...registers, rip: entry }, LAYOUT.GDT) };
  }
  writes.push({ gpa: LAYOUT.GDT, data: startGdt('long') });
  writes.push({ gpa: LAYOUT.PAGE_TABLES, data: identityPageTables(LAYOUT.PAGE_TABLES) });
  return { writes, cpu: longStart({ ...registers, rip: entry }, LAYOUT.GDT, LAYOUT.PAGE_TABLES) };
}

/** Offsets of `struct boot_params` outside the setup header. [zero-page.rst] */
const ZERO_PAGE = {
  EXT_MEM_K: 0x002,
  ACPI_RSDP_ADDR: 0x070,
  ALT_MEM_K: 0x1e0,
  E820_ENTRIES: 0x1e8,
  SETUP_HEADER: 0x1f1,
  E820_TABLE: 0x2d0,
  SIZE: 0x1000,
} as const;

function bootParams(
  boot: DirectBoot,
  header: SetupHeader,
  loadAt: number,
  initrdAt: number,
): Uint8Array {
  const page = new Uint8Array(ZERO_PAGE.SIZE);
  const view = viewOf(page);
  page.set(
    boot.kernel.data.subarray(
      ZERO_PAGE.SETUP_HEADER,
      Math.min(header.headerEnd, ZERO_PAGE.E820_TABLE),
    ),
    ZERO_PAGE.SETUP_HEADER,
  );
  page[FIELD.TYPE_OF_LOADER] = LOADER_UNDEFINED;
  view.setUint32(FIELD.CODE32_START, loadAt, true);
  view.setUint32(FIELD.CMD_LINE_PTR, LAYOUT.CMDLINE, true);
  view.setUint32(FIELD.RAMDISK_IMAGE, initrdAt, true);
  view.setUint32(FIELD.RAMDISK_SIZE, initrdAt ? boot.initrd!.data.length : 0, true);
  setU64(view, ZERO_PAGE.ACPI_RSDP_ADDR, boot.rsdp);

  page[ZERO_PAGE.E820_ENTRIES] = boot.e820.length;
  page.set(encodeE820(boot.e820), ZERO_PAGE.E820_TABLE);
  // What INT 15h would have said before e820; memtest86+ and old code read it.
  const extendedKib = (boot.lowRamEnd - 0x10_0000) / 1024;
  view.setUint16(ZERO_PAGE.EXT_MEM_K, Math.min(extendedKib, 0xffff), true);
  view.setUint32(ZERO_PAGE.ALT_MEM_K, extendedKib, true);
  return page;
}
