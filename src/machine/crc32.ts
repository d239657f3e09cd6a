/** CRC-32 as in ISO-HDLC (zlib, PNG): finds every error burst of up to 32 bits. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let i = 0; i < 8; i++) value = value & 1 ? (value >>> 1) ^ 0xedb8_8320 : value >>> 1;
  return value;
});

/** Of all `chunks` one after the other. */
export function crc32(...chunks: readonly Uint8Array[]): number {
  let crc = -1;
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; i++) crc = table[(crc ^ chunk[i]!) & 0xff]! ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}
