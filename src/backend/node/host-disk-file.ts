import { close, constants, fdatasync, fstat, ftruncate, open, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { DiskError, type DiskErrorCode } from '../disk/disk.js';
import type { DiskFile, OpenMode } from '../disk/disk-file.js';
import { AlignedBlocks } from './aligned-blocks.js';
import { type FileCalls, fileCalls } from './file-calls.js';
import { TransferQueue } from './transfer-queue.js';

const openFile = promisify(open);
const closeFile = promisify(close);
const statFile: (fd: number) => Promise<Stats> = promisify(fstat);
const syncFile = promisify(fdatasync);
const cutFile = promisify(ftruncate);

const codes: Readonly<Record<string, readonly [DiskErrorCode, string]>> = {
  ENOENT: ['not-found', 'there is no such file or folder'],
  ENOTDIR: ['not-found', 'a part of its path is not a folder'],
  EACCES: ['no-access', 'its permissions do not allow it'],
  EPERM: ['no-access', 'its permissions do not allow it'],
  EISDIR: ['bad-format', 'it is a folder'],
  EROFS: ['read-only', 'the file system is read-only'],
  ENOSPC: ['no-space', 'the disk is full'],
  EDQUOT: ['no-space', 'the user’s share of the disk is full'],
  EFBIG: ['no-space', 'it would be larger than a file may be'],
};

/** Reads up to this size are done at once where the host has them in memory: a thread costs more. */
const nowBytes = 16 << 10;

function diskError(name: string, doing: string, error: unknown): DiskError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const [known, reason] = codes[code] ?? ['io', message];
  return new DiskError(known, `${name}: cannot ${doing}: ${reason}`, { cause: error });
}

/**
 * A file of this host, read and written by the threads of Node's pool, so that the event loop does
 * not wait for the medium. It is locked against other processes the way QEMU does it.
 */
export class HostDiskFile implements DiskFile {
  /** A medium that once failed to flush may have dropped what it had: no flush succeeds any more. */
  private failedFlush: DiskError | undefined;
  private closed = false;
  /** Calls under way, and who waits for their end. */
  private active = 0;
  private idle: (() => void) | undefined;
  private readonly reads: TransferQueue;
  private readonly writes: TransferQueue;

  private constructor(
    readonly name: string,
    readonly readOnly: boolean,
    private readonly fd: number,
    private size: number,
    private readonly blocks: AlignedBlocks | undefined,
    private readonly calls: FileCalls,
  ) {
    this.reads = new TransferQueue(fd, false);
    this.writes = new TransferQueue(fd, true);
  }

  static async open(name: string, mode: OpenMode, create = false): Promise<HostDiskFile> {
    const flags =
      (mode.writable ? constants.O_RDWR : constants.O_RDONLY) |
      (create ? constants.O_CREAT : 0) |
      (mode.direct ? constants.O_DIRECT : 0);
    let fd: number;
    try {
      fd = await openFile(name, flags, 0o644);
    } catch (error) {
      const direct = mode.direct && (error as NodeJS.ErrnoException).code === 'EINVAL';
      if (!direct) throw diskError(name, 'open it', error);
      throw new DiskError('unsupported', `${name}: its file system has no cache=direct`);
    }
    try {
      const stat = await statFile(fd);
      if (!stat.isFile() && !stat.isBlockDevice()) {
        throw new DiskError('bad-format', `${name} is not a file or a block device`);
      }
      const calls = await fileCalls();
      if (!mode.unlocked && !calls.lock(fd, mode.writable)) {
        const who = mode.writable ? 'used' : 'written to';
        throw new DiskError('locked', `${name} is ${who} by another process`);
      }
      const size = stat.isFile() ? stat.size : calls.end(fd);
      if (create && size > 0) await cutFile(fd, 0);
      const blocks = mode.direct ? new AlignedBlocks(fd, create ? 0 : size) : undefined;
      return new HostDiskFile(name, !mode.writable, fd, create ? 0 : size, blocks, calls);
    } catch (error) {
      await closeFile(fd);
      throw error instanceof DiskError ? error : diskError(name, 'open it', error);
    }
  }

  get sizeBytes(): number {
    return this.size;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    const { blocks, reads, calls } = this;
    const isSmall = blocks === undefined && !this.closed && into.length <= nowBytes;
    if (isSmall && calls.readNow(this.fd, offset, into) === into.length) return;
    const some = (at: number, piece: Uint8Array) =>
      blocks?.read(at, piece) ?? reads.move(at, piece);
    into.fill(0, await this.attempt('read it', () => all(offset, into, some)));
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    const end = offset + from.length;
    await this.attempt('write to it', async () => {
      if (this.blocks !== undefined) return this.blocks.write(offset, from);
      const done = await all(offset, from, (at, piece) => this.writes.move(at, piece));
      if (done < from.length) throw new Error('nothing was written');
    });
    this.size = Math.max(this.size, end);
  }

  async flush(): Promise<void> {
    if (this.failedFlush !== undefined) throw this.failedFlush;
    try {
      await this.attempt('flush it', () => syncFile(this.fd));
    } catch (error) {
      this.failedFlush = error as DiskError;
      throw error;
    }
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.attempt('resize it', () => cutFile(this.fd, sizeBytes));
    this.size = sizeBytes;
    if (this.blocks !== undefined) this.blocks.end = sizeBytes;
  }

  async punch(offset: number, length: number): Promise<boolean> {
    return this.attempt('give space back', async () => this.calls.punch(this.fd, offset, length));
  }

  async extent(offset: number, length: number): Promise<{ length: number; hole: boolean }> {
    const { nextData, nextHole } = this.calls;
    const data = await this.attempt('look for holes', () => nextData(this.fd, offset));
    if (data > offset) return { length: Math.min(data - offset, length), hole: true };
    const hole = await this.attempt('look for holes', () => nextHole(this.fd, offset));
    return { length: Math.min(hole - offset, length), hole: false };
  }

  async allocatedBytes(): Promise<number> {
    return (await this.attempt('look at it', () => statFile(this.fd))).blocks * 512;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    // A thread of the pool must not find another file under this number.
    if (this.active > 0) {
      await new Promise<void>((resolve) => {
        this.idle = resolve;
      });
    }
    await closeFile(this.fd);
  }

  private async attempt<T>(doing: string, work: () => Promise<T> | T): Promise<T> {
    if (this.closed) throw new DiskError('closed', `${this.name} is closed`);
    this.active++;
    try {
      return await work();
    } catch (error) {
      throw diskError(this.name, doing, error);
    } finally {
      if (--this.active === 0) this.idle?.();
    }
  }
}

/** Moves all of `bytes` by calls that may move less, but answer 0 only at the end: how many it was. */
async function all(
  offset: number,
  bytes: Uint8Array,
  some: (at: number, piece: Uint8Array) => Promise<number>,
): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const got = await some(offset + done, done === 0 ? bytes : bytes.subarray(done));
    if (got === 0) break;
    done += got;
  }
  return done;
}
