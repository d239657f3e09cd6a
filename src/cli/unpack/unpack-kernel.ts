/**
 * A bzImage unpacks itself, by the guest's CPU: the host does it many times faster. Kernels packed in
 * another way than these, or damaged, are left to themselves.
 */
import { gunzipSync } from 'node:zlib';
import type { NamedFile } from '../../machine/config.js';
import { unpackLz4 } from './lz4.js';
import { unpackXz } from './xz.js';

/** Offsets in a bzImage. [Linux, Documentation/arch/x86/boot.rst] */
const SETUP_SECTS = 0x1f1;
const HEADER = 0x202;
const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const HDRS = 0x5372_6448;
/** The fields about the payload exist from here on. */
const MIN_PROTOCOL = 0x208;
/** No kernel is larger. */
const MOST_BYTES = 512 << 20;
const ELF = 0x7f45_4c46;

const unpackers: readonly (readonly [magic: string, unpack: typeof unpackXz])[] = [
  ['fd377a585a00', unpackXz],
  ['02214c18', unpackLz4],
  ['1f8b', (packed, limit) => gunzipSync(packed, { maxOutputLength: limit })],
];

/** The kernel, with a way to its payload. */
export function withPayload(kernel: NamedFile): NamedFile {
  return { ...kernel, unpack: () => payloadOf(kernel.data) };
}

function payloadOf(data: Uint8Array): Uint8Array | undefined {
  if (data.length < PAYLOAD_OFFSET + 8) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (view.getUint32(HEADER, true) !== HDRS || view.getUint16(VERSION, true) < MIN_PROTOCOL) {
    return undefined;
  }
  const from = ((data[SETUP_SECTS] || 4) + 1) * 512 + view.getUint32(PAYLOAD_OFFSET, true);
  const end = from + view.getUint32(PAYLOAD_OFFSET + 4, true);
  if (end > data.length || end - from < 8) return undefined;
  const packed = data.subarray(from, end);
  const magic = Buffer.from(packed.subarray(0, 6)).toString('hex');
  const unpack = unpackers.find(([start]) => magic.startsWith(start))?.[1];
  // Its last four bytes say how large it is unpacked.
  const size = view.getUint32(end - 4, true);
  if (!unpack || size > MOST_BYTES) return undefined;
  try {
    const unpacked = unpack(packed.subarray(0, -4), size);
    const isKernel =
      unpacked.length === size && Buffer.from(unpacked.subarray(0, 4)).readUInt32BE() === ELF;
    return isKernel ? unpacked : undefined;
  } catch (error) {
    // What is damaged says so itself, when it finds out.
    if (error instanceof RangeError || (error as NodeJS.ErrnoException).code?.startsWith('Z_')) {
      return undefined;
    }
    throw error;
  }
}
