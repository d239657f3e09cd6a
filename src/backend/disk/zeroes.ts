import type { DiskFile } from './disk-file.js';

const chunkBytes = 1 << 20;

/** Whether all bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  const words = bytes.byteOffset % 4 === 0 ? bytes.length >> 2 : 0;
  const view = new Int32Array(bytes.buffer, words === 0 ? 0 : bytes.byteOffset, words);
  for (let i = 0; i < words; i++) if (view[i] !== 0) return false;
  for (let i = words * 4; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** Zeroes in a file: a hole where one may be and the host can make it. */
export async function zeroFile(
  file: DiskFile,
  offset: number,
  length: number,
  mayPunch: boolean,
): Promise<void> {
  if (mayPunch && offset + length <= file.sizeBytes && (await file.punch(offset, length))) return;
  const zeroes = new Uint8Array(Math.min(length, chunkBytes));
  for (let at = 0; at < length; at += zeroes.length) {
    await file.write(offset + at, zeroes.subarray(0, length - at));
  }
}
