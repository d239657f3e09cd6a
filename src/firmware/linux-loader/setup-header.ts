/**
 * The setup header of a Linux bzImage. [boot.rst] is Documentation/arch/x86/boot.rst of the kernel;
 * field names are its own.
 */
import { getU64, viewOf } from '../bytes.js';
import { hex, LoadError, type NamedFile } from '../load-error.js';

const HDRS = 0x5372_6448;
const SECTOR = 512;
/** "relocatable" and the 64-bit fields exist from here on; older kernels are from before 2012. */
const MIN_PROTOCOL = 0x20c;
const LOADED_HIGH = 1 << 0;
const XLF_KERNEL_64 = 1 << 0;
const XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1;
/** Where a bzImage's protected-mode part goes unless `pref_address` says better. */
const DEFAULT_CODE32_START = 0x10_0000;

export interface SetupHeader {
  readonly protocol: number;
  /** Bytes of boot sector and real-mode setup code, ahead of the protected-mode kernel. */
  readonly setupSize: number;
  /** The protected-mode kernel is this long by the header; the file may end up to 15 bytes earlier. */
  readonly payloadSize: number;
  /** File offset of the first byte after the header. */
  readonly headerEnd: number;
  readonly has64BitEntry: boolean;
  readonly aboveFourGib: boolean;
  readonly initrdAddrMax: number;
  readonly cmdlineSize: number;
  readonly prefAddress: number;
  readonly initSize: number;
  /** Steps in which the kernel can be moved, in bytes; 0: it cannot. */
  readonly alignment: number;
}

/** Offsets of header fields, the same in the file and in `struct boot_params`. [boot.rst] */
export const FIELD = {
  SETUP_SECTS: 0x1f1,
  SYSSIZE: 0x1f4,
  BOOT_FLAG: 0x1fe,
  JUMP_LENGTH: 0x201,
  HEADER: 0x202,
  VERSION: 0x206,
  TYPE_OF_LOADER: 0x210,
  LOADFLAGS: 0x211,
  CODE32_START: 0x214,
  RAMDISK_IMAGE: 0x218,
  RAMDISK_SIZE: 0x21c,
  HEAP_END_PTR: 0x224,
  CMD_LINE_PTR: 0x228,
  INITRD_ADDR_MAX: 0x22c,
  ALIGNMENT: 0x230,
  RELOCATABLE: 0x234,
  XLOADFLAGS: 0x236,
  CMDLINE_SIZE: 0x238,
  PAYLOAD_OFFSET: 0x248,
  PAYLOAD_LENGTH: 0x24c,
  PREF_ADDRESS: 0x258,
  INIT_SIZE: 0x260,
} as const;

/** The header up to and including `init_size`, which protocol 2.12 has. */
const MIN_HEADER_END = FIELD.INIT_SIZE + 4;

/** Whether the file claims to be a Linux kernel at all. */
export function isLinuxKernel(data: Uint8Array): boolean {
  return data.length >= FIELD.HEADER + 4 && viewOf(data).getUint32(FIELD.HEADER, true) === HDRS;
}

/** Throws {@link LoadError} unless the file is a bzImage of protocol 2.12 or later, complete. */
export function parseSetupHeader(file: NamedFile): SetupHeader {
  const { name, data } = file;
  const size = data.length;
  const view = viewOf(data);
  if (size < MIN_HEADER_END) {
    throw new LoadError(
      'bad-header',
      name,
      'the file',
      `${size} bytes long`,
      `a Linux setup header alone ends at byte ${MIN_HEADER_END}`,
    );
  }
  const bad = (field: string, found: string, wanted: string) =>
    new LoadError('bad-header', name, field, found, wanted);
  const magic = view.getUint32(FIELD.HEADER, true);
  if (magic !== HDRS) {
    throw bad(
      'the setup header’s magic at 0x202',
      hex(magic),
      `a bzImage has ${hex(HDRS)} ("HdrS")`,
    );
  }
  const bootFlag = view.getUint16(FIELD.BOOT_FLAG, true);
  if (bootFlag !== 0xaa55) throw bad('boot_flag at 0x1fe', hex(bootFlag), 'it has to be 0xaa55');
  const protocol = view.getUint16(FIELD.VERSION, true);
  if (protocol < MIN_PROTOCOL) {
    throw new LoadError(
      'old-protocol',
      name,
      'the boot protocol version at 0x206',
      `${protocol >> 8}.${String(protocol & 0xff).padStart(2, '0')}`,
      '2.12 or later is needed (Linux 3.8 of 2013)',
    );
  }
  const loadflags = data[FIELD.LOADFLAGS];
  if ((loadflags & LOADED_HIGH) === 0) {
    throw bad('loadflags at 0x211', hex(loadflags), 'bit 0 (LOADED_HIGH) has to be set: a bzImage');
  }
  const setupSize = ((data[FIELD.SETUP_SECTS] || 4) + 1) * SECTOR;
  const payloadSize = view.getUint32(FIELD.SYSSIZE, true) * 16;
  const headerEnd = FIELD.HEADER + data[FIELD.JUMP_LENGTH];
  if (headerEnd < MIN_HEADER_END) {
    throw bad(
      'the header’s end by the jump at 0x200',
      hex(headerEnd),
      `it has to be ${hex(MIN_HEADER_END)} or more`,
    );
  }
  if (payloadSize === 0) throw bad('syssize at 0x1f4', '0', 'a kernel has a protected-mode part');
  // syssize counts paragraphs of 16 bytes, rounded up: memtest86+ 6.10 ends 8 bytes before its last.
  if (size < setupSize + payloadSize - 15) {
    throw truncated(file, setupSize + payloadSize, size);
  }
  const payload = view.getUint32(FIELD.PAYLOAD_OFFSET, true);
  const payloadEnd = payload + view.getUint32(FIELD.PAYLOAD_LENGTH, true);
  if (payloadEnd > payloadSize) {
    throw bad(
      'the end of the payload by payload_offset and payload_length at 0x248',
      hex(payloadEnd),
      `the protected-mode part is only ${hex(payloadSize)} bytes long`,
    );
  }
  const xloadflags = view.getUint16(FIELD.XLOADFLAGS, true);
  return {
    protocol,
    setupSize,
    payloadSize,
    headerEnd,
    has64BitEntry: (xloadflags & XLF_KERNEL_64) !== 0,
    aboveFourGib: (xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) !== 0,
    initrdAddrMax: view.getUint32(FIELD.INITRD_ADDR_MAX, true),
    cmdlineSize: view.getUint32(FIELD.CMDLINE_SIZE, true),
    prefAddress: getU64(view, FIELD.PREF_ADDRESS) || DEFAULT_CODE32_START,
    initSize: view.getUint32(FIELD.INIT_SIZE, true),
    alignment: data[FIELD.RELOCATABLE] ? view.getUint32(FIELD.ALIGNMENT, true) : 0,
  };
}

function truncated({ name }: NamedFile, wanted: number, found: number): LoadError {
  return new LoadError(
    'truncated',
    name,
    'the file',
    `${found} bytes long`,
    `its header says ${wanted}: setup_sects and syssize count the setup part and the kernel`,
  );
}

/** The command line as the kernel gets it; throws {@link LoadError} when it is too long. */
export function checkCommandLine(kernel: string, length: number, max: number): void {
  if (length <= max) return;
  throw new LoadError(
    'command-line-too-long',
    '--append',
    'the kernel’s command line',
    `${length} bytes long`,
    `${kernel} takes ${max} at most`,
  );
}
