/**
 * A device's view of guest-physical memory. Out-of-range parts read as all ones and drop writes;
 * both say `false`, and nothing throws.
 */
export interface Dma {
  read(gpa: number, into: Uint8Array): boolean;
  write(gpa: number, from: Uint8Array): boolean;
}
