import koffi from 'koffi';

/** The C library's calls that KVM needs. Negative answers are failures; {@link errorName} says which. */
export interface Libc {
  open(path: string, flags: number): number;
  close(fd: number): number;
  /** With a structure, or with a number. */
  ioctl(fd: number, request: number, argument: Uint8Array | bigint | null): number;
  ioctlNumber(fd: number, request: number, argument: number): number;
  /** Maps; throws for a failure. */
  mmap(sizeBytes: number, flags: number, fd: number): { address: bigint; bytes: Uint8Array };
  munmap(address: bigint, sizeBytes: number): void;
  madvise(address: bigint, sizeBytes: number, advice: number): number;
  eventfd(value: number, flags: number): number;
  eventfdWrite(fd: number, value: number): number;
  epollCreate(flags: number): number;
  epollControl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
  epollWait(epoll: number, events: Uint8Array, max: number, timeoutMs: number): number;
  gettid(): number;
  tgkill(pid: number, tid: number, signal: number): number;
  /** Makes `signal` do nothing but interrupt a system call. */
  ignoreGently(signal: number): void;
}

export const EINTR = 4;
export const O_RDWR = 2;
export const O_CLOEXEC = 0o2000000;
export const MAP_SHARED = 1;
/** Private, anonymous, backed when touched. */
export const MAP_MEMORY = 0x4022;
export const MADV_HUGEPAGE = 14;
export const MADV_DONTNEED = 4;
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

function load(): Libc {
  const library = koffi.load('libc.so.6');
  const mmap = library.func(
    'void *mmap(void *address, size_t size, int protection, int flags, int fd, int64 offset)',
  );
  const munmap = library.func('int munmap(void *address, size_t size)');
  const signal = library.func('void *signal(int signal, void *handler)');
  // A handler has to be C, for it runs in the middle of anything. This one takes an int and does nothing.
  const handler = library.symbol('abs');
  return {
    open: library.func('int open(str path, int flags)'),
    close: library.func('int close(int fd)'),
    ioctl: library.func('int ioctl(int fd, ulong request, void *argument)'),
    ioctlNumber: library.func('int ioctl(int fd, ulong request, uintptr_t argument)'),
    mmap(sizeBytes, flags, fd) {
      const address: bigint = mmap(null, sizeBytes, PROT_READ_WRITE, flags, fd, 0);
      if (BigInt.asUintN(64, address) === ALL_ONES) throw new Error(`mmap: ${errorName()}`);
      return { address, bytes: new Uint8Array(koffi.view(address, sizeBytes)) };
    },
    munmap: (address, sizeBytes) => munmap(address, sizeBytes),
    madvise: library.func('int madvise(void *address, size_t size, int advice)'),
    eventfd: library.func('int eventfd(uint value, int flags)'),
    eventfdWrite: library.func('int eventfd_write(int fd, uint64 value)'),
    epollCreate: library.func('int epoll_create1(int flags)'),
    epollControl: library.func('int epoll_ctl(int epoll, int operation, int fd, void *event)'),
    epollWait: library.func('int epoll_wait(int epoll, void *events, int max, int timeout)'),
    gettid: library.func('int gettid()'),
    tgkill: library.func('int tgkill(int pid, int tid, int signal)'),
    ignoreGently: (number) => signal(number, handler),
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
