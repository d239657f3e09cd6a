import koffi from 'koffi';

/** The C library's calls that KVM needs. Negative answers are failures; {@link errorName} says which. */
export type Libc = ReturnType<typeof load>;

export const EINTR = 4;
export const O_RDWR = 2;
export const O_CLOEXEC = 0o2000000;
export const MAP_SHARED = 1;
const MAP_FIXED = 0x10;
/** Private, anonymous, backed when touched. */
export const MAP_MEMORY = 0x4022;
export const MADV_HUGEPAGE = 14;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;
const PROT_READ_WRITE = 3;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;

let loaded: Libc | undefined;

/** Throws what koffi throws where it has no binary for this host, or there is no glibc. */
export function libc(): Libc {
  loaded ??= load();
  return loaded;
}

function load() {
  const library = koffi.load('libc.so.6');
  const f = <F extends (...args: never[]) => unknown>(declaration: string) =>
    library.func(declaration) as unknown as F;
  type OfFd = (fd: number) => number;
  const mmap = f<
    (at: bigint | null, size: number, prot: number, flags: number, fd: number, n: 0) => bigint
  >('void *mmap(void *address, size_t size, int protection, int flags, int fd, int64 offset)');
  const signal = f<(number: number, handler: unknown) => unknown>(
    'void *signal(int signal, void *handler)',
  );
  // A handler has to be C, for it runs in the middle of anything. This one takes an int and does nothing.
  const handler = library.symbol('abs');
  return {
    open: f<(path: string, flags: number) => number>('int open(str path, int flags)'),
    close: f<OfFd>('int close(int fd)'),
    /** With a structure. */
    ioctl: f<(fd: number, request: number, argument: Uint8Array) => number>(
      'int ioctl(int fd, ulong request, void *argument)',
    ),
    ioctlNumber: f<(fd: number, request: number, argument: number) => number>(
      'int ioctl(int fd, ulong request, uintptr_t argument)',
    ),
    /** Maps; throws for a failure. */
    mmap(sizeBytes: number, flags: number, fd: number): { address: bigint; bytes: Uint8Array } {
      const address = mmap(null, sizeBytes, PROT_READ_WRITE, flags, fd, 0);
      if (BigInt.asUintN(64, address) === ALL_ONES) throw new Error(`mmap: ${errorName()}`);
      return { address, bytes: new Uint8Array(koffi.view(address, sizeBytes)) };
    },
    /** Puts zeroes in the place of a mapping, so that a view that somebody kept is no crash. */
    unmap(address: bigint, sizeBytes: number): void {
      mmap(address, sizeBytes, PROT_READ_WRITE, MAP_MEMORY | MAP_FIXED, -1, 0);
    },
    madvise: f<(at: bigint, size: number, advice: number) => number>(
      'int madvise(void *address, size_t size, int advice)',
    ),
    eventfd: f<(value: number, flags: number) => number>('int eventfd(uint value, int flags)'),
    eventfdWrite: f<(fd: number, n: number) => number>('int eventfd_write(int fd, uint64 value)'),
    epollCreate: f<OfFd>('int epoll_create1(int flags)'),
    epollControl: f<(epoll: number, operation: number, fd: number, event: Uint8Array) => number>(
      'int epoll_ctl(int epoll, int operation, int fd, void *event)',
    ),
    epollWait: f<(epoll: number, events: Uint8Array, max: number, timeoutMs: number) => number>(
      'int epoll_wait(int epoll, void *events, int max, int timeout)',
    ),
    gettid: f<() => number>('int gettid()'),
    tgkill: f<(pid: number, tid: number, signal: number) => number>(
      'int tgkill(int pid, int tid, int signal)',
    ),
    /** Makes `signal` do nothing but interrupt a system call. */
    ignoreGently: (number: number): unknown => signal(number, handler),
  };
}

/** Where an array's bytes are, for structures that point to others. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

/** Of the call just made. */
export function lastError(): number {
  return koffi.errno();
}

/** `EINTR`. */
export function errorName(number = lastError()): string {
  const known = Object.entries(koffi.os.errno).find(([, value]) => value === number);
  return known?.[0] ?? `error ${number}`;
}
