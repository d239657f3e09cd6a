/**
 * What a disk is to a device model: a run of bytes that is read, written, flushed and shrunk in
 * place. Offsets and lengths are bytes; those of a guest are multiples of {@link sectorBytes}.
 */

export const sectorBytes = 512;

export type DiskErrorCode =
  /** The host could not read or write. */
  | 'io'
  /** The host's disk is full. */
  | 'no-space'
  | 'read-only'
  /** Beyond the disk's end, or a size that the format cannot have. */
  | 'out-of-range'
  /** What is in the image contradicts itself or the format. */
  | 'corrupt'
  /** The image is of a kind, or asks for a feature, that Chassis does not have. */
  | 'unsupported'
  /** The file is not of the format that was named. */
  | 'bad-format'
  /** A file specification is wrong, or what was asked does not go with this image. */
  | 'usage'
  | 'not-found'
  | 'no-access'
  /** Another process holds the file. */
  | 'locked'
  /** A backing file is not there, leads back to its overlay, or is one that an image may not choose. */
  | 'backing'
  | 'closed';

/** A request that failed, or an image that cannot be used: one sentence that names the file. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  constructor(
    readonly code: DiskErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A run of bytes of one kind. */
export interface Extent {
  readonly length: number;
  /** `hole`: nothing here; an overlay shows what its backing file has, others zeroes. */
  readonly kind: 'data' | 'zero' | 'hole' | 'compressed';
  /** Where in the file the bytes are, of `data` only. */
  readonly hostOffset?: number;
}

/**
 * Any number of requests may be under way at once; those whose ranges overlap have no order among
 * them. Every method rejects with a {@link DiskError} and leaves the disk usable. A request's bytes
 * must not change while it is under way.
 */
export interface Disk {
  /** Bytes that the guest sees, a multiple of {@link sectorBytes}. */
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** What discards should be multiples of to free anything; {@link sectorBytes} if absent. */
  readonly discardUnitBytes?: number;
  read(offset: number, into: Uint8Array): Promise<void>;
  write(offset: number, from: Uint8Array): Promise<void>;
  /** All writes that were completed before the call survive a power cut when this resolves. */
  flush(): Promise<void>;
  /** The contents are of no use any more: afterwards they read as what they were or as zeroes. */
  discard(offset: number, length: number): Promise<void>;
  /** `mayUnmap`: the host's space may be given back. */
  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void>;
  /** Grows with zeroes, or cuts off. */
  resize?(sizeBytes: number): Promise<void>;
  /** Set by who wants to hear that the size changed. */
  onResize?: ((sizeBytes: number) => void) | undefined;
  /** What is at `offset`, for at most `length` bytes. */
  extent?(offset: number, length: number): Promise<Extent>;
  /** Flushes and lets go of the files. */
  close(): Promise<void>;
}

/** Rejects a request outside the disk; every {@link Disk} asks it first. */
export function checkRange(name: string, sizeBytes: number, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= sizeBytes) return;
  throw new DiskError(
    'out-of-range',
    `${name}: found a request for ${length} bytes at ${offset}, wanted it within ${sizeBytes} bytes`,
  );
}
