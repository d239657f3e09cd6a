/** Calls of the host's C library on files that Node does not have; without them files have no holes. */
export interface FileCalls {
  /** False when another process holds the file in a way that does not go with this. */
  lock(fd: number, writable: boolean): boolean;
  punch(fd: number, offset: number, length: number): Promise<boolean>;
  /** What of a read can be had without waiting for the medium: bytes, or a negative number for none. */
  readNow(fd: number, offset: number, into: Uint8Array): number;
  /** Where the next data, or the next hole, begins; infinity where there is none. */
  nextData(fd: number, offset: number): number;
  nextHole(fd: number, offset: number): number;
  /** The size of what has no size in its `stat`, such as a block device. */
  end(fd: number): number;
}

const without: FileCalls = {
  lock: () => true,
  punch: async () => false,
  readNow: () => -1,
  nextData: (_, offset) => offset,
  nextHole: () => Number.POSITIVE_INFINITY,
  end: () => 0,
};

/** [fcntl(2), lseek(2), fallocate(2), preadv2(2)] on Linux, which alone has these values. */
const linux = {
  F_OFD_GETLK: 36,
  F_OFD_SETLK: 37,
  F_RDLCK: 0,
  F_WRLCK: 1,
  F_UNLCK: 2,
  SEEK_END: 2,
  SEEK_DATA: 3,
  SEEK_HOLE: 4,
  KEEP_SIZE_PUNCH_HOLE: 3,
  RWF_NOWAIT: 8,
};

/**
 * QEMU's locks: a byte for each thing a process does with a file, and one for each that it lets
 * nobody else do; here of reading (0), writing (1) and resizing (3).
 */
const lockBytes = { doing: 100, refusing: 200, read: 0, write: 1, resize: 3 };

let loaded: Promise<FileCalls> | undefined;

/** Loaded when the first file is opened. */
export function fileCalls(): Promise<FileCalls> {
  loaded ??= process.platform === 'linux' ? load().catch(() => without) : Promise.resolve(without);
  return loaded;
}

async function load(): Promise<FileCalls> {
  const { default: koffi } = await import('koffi');
  const libc = koffi.load('libc.so.6');
  koffi.struct('chassis_flock', {
    type: 'int16',
    whence: 'int16',
    start: 'int64',
    len: 'int64',
    pid: 'int32',
  });
  const fcntl = libc.func('int fcntl(int, int, _Inout_ chassis_flock *)');
  const lseek = libc.func('int64_t lseek(int, int64_t, int)');
  const fallocate = libc.func('int fallocate(int, int, int64_t, int64_t)');
  const preadv2 = libc.func('int64_t preadv2(int, uint64_t *, int, int64_t, int)');
  const vector = new BigUint64Array(2);
  const piece = (type: number, start: number) => ({ type, whence: 0, start, len: 1, pid: 0 });
  const { read, write, resize, doing, refusing } = lockBytes;
  const seek = (fd: number, offset: number, whence: number) => {
    const found = Number(lseek(fd, offset, whence));
    return found < 0 ? Number.POSITIVE_INFINITY : found;
  };
  return {
    lock(fd, writable) {
      const does = writable ? [read, write, resize] : [read];
      const refuses = [write, resize];
      const taken = [
        ...does.map((what) => doing + what),
        ...refuses.map((what) => refusing + what),
      ];
      for (const at of taken) {
        if (fcntl(fd, linux.F_OFD_SETLK, piece(linux.F_RDLCK, at)) !== 0) return false;
      }
      const against = [
        ...does.map((what) => refusing + what),
        ...refuses.map((what) => doing + what),
      ];
      return against.every((at) => {
        const found = piece(linux.F_WRLCK, at);
        return fcntl(fd, linux.F_OFD_GETLK, found) === 0 && found.type === linux.F_UNLCK;
      });
    },
    punch: (fd, offset, length) =>
      new Promise((resolve) => {
        fallocate.async(
          fd,
          linux.KEEP_SIZE_PUNCH_HOLE,
          offset,
          length,
          (_: unknown, result: number) => resolve(result === 0),
        );
      }),
    readNow(fd, offset, into) {
      vector[0] = koffi.address(into);
      vector[1] = BigInt(into.length);
      return Number(preadv2(fd, vector, 1, offset, linux.RWF_NOWAIT));
    },
    nextData: (fd, offset) => seek(fd, offset, linux.SEEK_DATA),
    nextHole: (fd, offset) => seek(fd, offset, linux.SEEK_HOLE),
    end: (fd) => seek(fd, 0, linux.SEEK_END),
  };
}
