/** What kind of bad input a {@link LoadError} is about. */
export type LoadErrorCode =
  | 'bad-header'
  | 'old-protocol'
  | 'truncated'
  | 'larger-than-ram'
  | 'wrong-machine'
  | 'overlap'
  | 'outside'
  | 'initrd-does-not-fit'
  | 'command-line-too-long'
  | 'bad-firmware-size'
  | 'bad-memory-size';

/**
 * A file or option the user gave cannot be used: one sentence that names the file (or option), the
 * field, what was found and what would be right. The command ends with status 65.
 */
export class LoadError extends Error {
  override readonly name = 'LoadError';
  constructor(
    readonly code: LoadErrorCode,
    /** The file's name as the user gave it, or the option. */
    readonly file: string,
    /** Name of the field, in the words of its specification. */
    readonly field: string,
    found: string,
    wanted: string,
  ) {
    super(`${file}: ${field} is ${found}, but ${wanted}`);
  }
}

/** A file's bytes with the name to call it by in errors. */
export interface NamedFile {
  readonly name: string;
  readonly data: Uint8Array;
  /** Of a Linux bzImage: its payload as the host unpacks it; undefined where it cannot. */
  unpack?(): Uint8Array | undefined;
}

/** Bytes to put at a guest physical address before the guest starts. */
export interface GuestWrite {
  readonly gpa: number;
  readonly data: Uint8Array;
}

export const hex = (value: number): string => `0x${value.toString(16)}`;
