import { ByteWriter } from '../base/codec.js';
import { crc32 } from './crc32.js';
import { MachineError } from './machine-error.js';

/*
 * A snapshot file, little-endian:
 *
 *   8  magic "CHASSIS" 0x1a
 *   4  version of this container
 *   then parts, until one with the name "end":
 *   1  length of the name     n  name, ASCII
 *   4  version of the part    4  length of its data
 *   d  data                   4  CRC-32 of all the part's bytes before
 */
const MAGIC = Uint8Array.of(0x43, 0x48, 0x41, 0x53, 0x53, 0x49, 0x53, 0x1a);
export const FILE_VERSION = 1;
const HEADER_BYTES = MAGIC.length + 4;
const END = 'end';

export interface Part {
  readonly name: string;
  readonly version: number;
  readonly data: Uint8Array;
}

export function encodeFile(parts: readonly Part[]): Uint8Array {
  const chunks: Uint8Array[] = [];
  const head = new ByteWriter();
  head.bytes(MAGIC);
  head.u32(FILE_VERSION);
  chunks.push(head.take());
  for (const { name, version, data } of [...parts, { name: END, version: 0, data: nothing }]) {
    const front = new ByteWriter();
    front.u8(name.length);
    for (let i = 0; i < name.length; i++) front.u8(name.charCodeAt(i));
    front.u32(version);
    front.u32(data.length);
    const bytes = front.take();
    const check = new ByteWriter();
    check.u32(crc32(bytes, data));
    chunks.push(bytes, data, check.take());
  }
  const file = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    file.set(chunk, at);
    at += chunk.length;
  }
  return file;
}

const nothing = new Uint8Array(0);

/** Throws {@link MachineError} `bad-input` for anything that {@link encodeFile} did not write. */
export function decodeFile(fileName: string, bytes: Uint8Array): Part[] {
  const bad = (field: string, found: string, wanted: string): never => {
    throw new MachineError('bad-input', `${fileName}: ${field}: found ${found}, wanted ${wanted}`);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES) bad('header', `${bytes.length} bytes`, `${HEADER_BYTES}`);
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) {
    bad('magic', 'something else', '"CHASSIS": this is no saved machine');
  }
  const version = view.getUint32(MAGIC.length, true);
  if (version !== FILE_VERSION) bad('version', `${version}`, versionWanted(version, FILE_VERSION));
  const parts: Part[] = [];
  for (let at = HEADER_BYTES; ; ) {
    const left = () => bytes.length - at;
    const start = at;
    const cut = (what: string): never =>
      bad(what, `the end of the file at ${bytes.length}`, 'more: the file is truncated');
    if (left() < 1) cut('next part');
    const nameLength = bytes[at++]!;
    if (left() < nameLength + 8) cut('next part');
    let name = '';
    for (let i = 0; i < nameLength; i++) name += String.fromCharCode(bytes[at++]!);
    const partVersion = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    at += 8;
    // A damaged name must not reach the terminal.
    const label = /^[\w .-]+$/.test(name) ? name : 'a part with a damaged name';
    if (left() < length + 4) cut(label);
    const end = at + length;
    if (crc32(bytes.subarray(start, end)) !== view.getUint32(end, true)) {
      bad(label, 'bytes that do not match their check sum', 'an undamaged file');
    }
    at = end + 4;
    if (name === END) {
      if (left() > 0) bad('end', `${left()} bytes after it`, 'none');
      return parts;
    }
    parts.push({ name, version: partVersion, data: bytes.subarray(end - length, end) });
  }
}

/** Why a version cannot be read. */
export function versionWanted(found: number, known: number): string {
  return found > known ? `${known} or older: it was saved by a newer chassis` : `${known}`;
}
