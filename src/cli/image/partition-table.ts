const sectorBytes = 512;

/**
 * The first sector of a PC's disk with one bootable Linux partition, from `offset` to the disk's end,
 * both in bytes. Cylinders and heads say that only the sector's number counts.
 */
export function partitionTable(
  offset: number,
  sizeBytes: number,
  signature: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(sectorBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(signature, 440);
  bytes.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff], 446);
  view.setUint32(454, offset / sectorBytes, true);
  view.setUint32(458, (sizeBytes - offset) / sectorBytes, true);
  view.setUint16(510, 0xaa55, true);
  return bytes;
}
