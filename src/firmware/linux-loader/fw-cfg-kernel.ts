/**
 * The kernel as fw_cfg hands it to the `linuxboot` option ROM, which runs the kernel's real-mode
 * setup code. Addresses and patches are those of QEMU's load_linux. [QEMU hw/i386/x86.c]
 */
import { cString, viewOf } from '../bytes.js';
import { LoadError, type NamedFile } from '../load-error.js';
import { describe } from '../memory-size.js';
import { placeHigh } from '../place-files.js';
import { checkCommandLine, FIELD, parseSetupHeader } from './setup-header.js';

/** Selectors of fw_cfg's legacy items. [fw_cfg] */
export const FW_CFG_KERNEL_KEY = {
  KERNEL_ADDR: 0x07,
  KERNEL_SIZE: 0x08,
  INITRD_ADDR: 0x0a,
  INITRD_SIZE: 0x0b,
  KERNEL_ENTRY: 0x10,
  KERNEL_DATA: 0x11,
  INITRD_DATA: 0x12,
  CMDLINE_ADDR: 0x13,
  CMDLINE_SIZE: 0x14,
  CMDLINE_DATA: 0x15,
  SETUP_ADDR: 0x16,
  SETUP_SIZE: 0x17,
  SETUP_DATA: 0x18,
} as const;

export interface FwCfgItem {
  readonly key: number;
  readonly data: Uint8Array;
}

const REAL_ADDR = 0x1_0000;
const CMDLINE_ADDR = 0x2_0000;
const PROTECTED_ADDR = 0x10_0000;
/** SeaBIOS puts its tables at the top of RAM: room for them that the initrd must leave. */
const FIRMWARE_RESERVE = 0x2_8000;
const LOADER_QEMU = 0xb0;
const CAN_USE_HEAP = 1 << 7;

/** Throws {@link LoadError}. `lowRamEnd` is the end of RAM below 4 GiB. */
export function fwCfgKernel(boot: {
  kernel: NamedFile;
  initrd?: NamedFile;
  commandLine: string;
  lowRamEnd: number;
}): FwCfgItem[] {
  const { kernel, initrd, lowRamEnd } = boot;
  const header = parseSetupHeader(kernel);
  const cmdline = cString(boot.commandLine);
  checkCommandLine(kernel.name, cmdline.length - 1, Math.min(header.cmdlineSize, 0xffff));
  const payload = kernel.data.subarray(header.setupSize);
  const usableEnd = lowRamEnd - FIRMWARE_RESERVE;
  const loadEnd = PROTECTED_ADDR + payload.length;
  const runEnd = Math.max(loadEnd, header.prefAddress + header.initSize);
  if (runEnd > usableEnd) {
    throw new LoadError(
      'larger-than-ram',
      kernel.name,
      'the memory the kernel asks for by pref_address and init_size',
      `up to ${describe(runEnd)}`,
      `guest RAM below 4 GiB has room up to ${describe(usableEnd)}`,
    );
  }
  const setup = kernel.data.slice(0, header.setupSize);
  const view = viewOf(setup);
  setup[FIELD.TYPE_OF_LOADER] = LOADER_QEMU;
  setup[FIELD.LOADFLAGS] |= CAN_USE_HEAP;
  view.setUint16(FIELD.HEAP_END_PTR, CMDLINE_ADDR - REAL_ADDR - 0x200, true);
  view.setUint32(FIELD.CMD_LINE_PTR, CMDLINE_ADDR, true);
  const key = FW_CFG_KERNEL_KEY;
  const items: FwCfgItem[] = [
    { key: key.KERNEL_ADDR, data: u32(PROTECTED_ADDR) },
    { key: key.KERNEL_SIZE, data: u32(payload.length) },
    { key: key.KERNEL_ENTRY, data: u32(PROTECTED_ADDR) },
    { key: key.KERNEL_DATA, data: payload },
    { key: key.CMDLINE_ADDR, data: u32(CMDLINE_ADDR) },
    { key: key.CMDLINE_SIZE, data: u32(cmdline.length) },
    { key: key.CMDLINE_DATA, data: cmdline },
    { key: key.SETUP_ADDR, data: u32(REAL_ADDR) },
    { key: key.SETUP_SIZE, data: u32(setup.length) },
    { key: key.SETUP_DATA, data: setup },
  ];
  if (initrd && initrd.data.length > 0) {
    const top = header.aboveFourGib ? 0xffff_ffff : header.initrdAddrMax;
    const initrdAt = placeHigh(initrd, runEnd, Math.min(top, usableEnd - 1));
    view.setUint32(FIELD.RAMDISK_IMAGE, initrdAt, true);
    view.setUint32(FIELD.RAMDISK_SIZE, initrd.data.length, true);
    items.push(
      { key: key.INITRD_ADDR, data: u32(initrdAt) },
      { key: key.INITRD_SIZE, data: u32(initrd.data.length) },
      { key: key.INITRD_DATA, data: initrd.data },
    );
  }
  return items;
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  viewOf(out).setUint32(0, value, true);
  return out;
}
