/** The Multiboot 1 header in a kernel file. [MB1 3.1] */
import { viewOf } from '../bytes.js';
import { hex, LoadError, type NamedFile } from '../load-error.js';

const HEADER_MAGIC = 0x1bad_b002;
/** The header is 4-aligned within this many bytes of the file's start. */
const SEARCH_LENGTH = 8192;
const FLAG_ADDRESSES = 1 << 16;
/** Flags 0 page-aligned modules, 1 memory map, 2 video mode; others of 0 to 15 must be refused. */
const UNKNOWN_FLAGS = 0xfff8;

export interface MultibootHeader {
  /** File offset. */
  readonly at: number;
  /** The addresses of the "a.out kludge", for files that are no ELF. [MB1 3.1.3] */
  readonly flat?: {
    readonly headerAddr: number;
    readonly loadAddr: number;
    readonly loadEndAddr: number;
    readonly bssEndAddr: number;
    readonly entryAddr: number;
  };
}

/** The offset of the first header whose checksum is right, or -1. */
export function findMultibootHeader(data: Uint8Array): number {
  const view = viewOf(data);
  const end = Math.min(data.length, SEARCH_LENGTH) - 12;
  for (let at = 0; at <= end; at += 4) {
    if (view.getUint32(at, true) !== HEADER_MAGIC) continue;
    const flags = view.getUint32(at + 4, true);
    if (((HEADER_MAGIC + flags + view.getUint32(at + 8, true)) | 0) === 0) return at;
  }
  return -1;
}

/** Throws {@link LoadError}. */
export function parseMultibootHeader(file: NamedFile): MultibootHeader {
  const { name, data } = file;
  const bad = (code: 'bad-header' | 'truncated', field: string, found: string, wanted: string) =>
    new LoadError(code, name, field, found, wanted);
  const at = findMultibootHeader(data);
  if (at < 0) {
    throw bad(
      'bad-header',
      'the Multiboot header',
      'not in the first 8 KiB',
      `the magic ${hex(HEADER_MAGIC)} with a right checksum has to be there`,
    );
  }
  const view = viewOf(data);
  const flags = view.getUint32(at + 4, true);
  if (flags & UNKNOWN_FLAGS) {
    throw bad(
      'bad-header',
      'the Multiboot flags',
      hex(flags),
      'bits 3 to 15 ask for unknown features',
    );
  }
  if ((flags & FLAG_ADDRESSES) === 0) return { at };
  if (at + 32 > data.length) {
    throw bad(
      'truncated',
      'the file',
      `${data.length} bytes long`,
      `its header ends at ${at + 32}`,
    );
  }
  const address = (index: number) => view.getUint32(at + 12 + index * 4, true);
  return {
    at,
    flat: {
      headerAddr: address(0),
      loadAddr: address(1),
      loadEndAddr: address(2),
      bssEndAddr: address(3),
      entryAddr: address(4),
    },
  };
}
