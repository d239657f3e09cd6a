/** The host's side of a disk: a file, and where files are found. Implemented by `backend/node`. */

/** A host file. Every method rejects with a `DiskError`: `io`, `no-space` or `read-only`. */
export interface DiskFile {
  /** As the user or an image wrote it. */
  readonly name: string;
  readonly readOnly: boolean;
  /** Bytes now: grown by writes beyond the end. */
  readonly sizeBytes: number;
  /** What is beyond the end reads as zeroes. */
  read(offset: number, into: Uint8Array): Promise<void>;
  write(offset: number, from: Uint8Array): Promise<void>;
  /** All writes before are on the medium when it resolves; once it failed, it fails for ever. */
  flush(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  /** Gives space back; the range reads as zeroes then. False where the host cannot. */
  punch(offset: number, length: number): Promise<boolean>;
  /** How many bytes from `offset` on, at most `length`, are all data or all hole. */
  extent(offset: number, length: number): Promise<{ length: number; hole: boolean }>;
  /** Bytes of the host's disk that the file takes. */
  allocatedBytes(): Promise<number>;
  close(): Promise<void>;
}

/** What compresses one cluster at a time. */
export interface ClusterCodec {
  /** Answers undefined when the result is not shorter. */
  compress(cluster: Uint8Array): Promise<Uint8Array | undefined>;
  /** Fills `into`; what follows the compressed data in `from` is not looked at. Throws on garbage. */
  decompress(from: Uint8Array, into: Uint8Array): Promise<void>;
}

export type Compression = 'zlib' | 'zstd';

/** How a file is held against other processes. */
export interface OpenMode {
  readonly writable: boolean;
  /** Past the host's page cache. */
  readonly direct?: boolean;
  /** Looks at a file that another process may write to. */
  readonly unlocked?: boolean;
}

/** What opening and making images needs of the host. */
export interface DiskHost {
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  /** Makes the file, or empties the one that is there. */
  create(path: string): Promise<DiskFile>;
  /**
   * The one path of a file, whatever links lead to it; a relative `name` is seen from the folder of the
   * file `from`, or from where the process runs when that is empty.
   */
  resolve(from: string, name: string): string;
  /** `path` as seen from the folder of the file `from`. */
  relative(from: string, path: string): string;
  isAbsolute(name: string): boolean;
  codec(compression: Compression): Promise<ClusterCodec>;
}
