import koffi from 'koffi';

/** [socket(2), icmp(7), netdevice(7)] on Linux, which alone has these values. */
const linux = {
  AF_INET: 2,
  AF_INET6: 10,
  /** SOCK_DGRAM, close-on-exec, non-blocking. */
  DATAGRAMS: 0o2004002,
  IPPROTO_ICMP: 1,
  IPPROTO_ICMPV6: 58,
};

function load() {
  const libc = koffi.load('libc.so.6');
  type Numbers = (...args: number[]) => number;
  type WithBytes = (fd: number, request: number, argument: Uint8Array) => number;
  return {
    socket: libc.func('int socket(int domain, int type, int protocol)') as Numbers,
    ioctl: libc.func('int ioctl(int fd, ulong request, void *argument)') as WithBytes,
    ioctlNumber: libc.func('int ioctl(int fd, ulong request, ulong argument)') as Numbers,
    poll: libc.func('int poll(void *entries, ulong count, int timeoutMs)') as (
      entries: Uint8Array,
      count: number,
      timeoutMs: number,
    ) => number,
    read: libc.func('intptr_t read(int fd, void *bytes, size_t count)') as (
      fd: number,
      bytes: Uint8Array,
      count: number,
    ) => number,
  };
}

let loaded: ReturnType<typeof load> | undefined;

/** Throws what koffi throws where it has no binary for this host. */
export function netCalls(): ReturnType<typeof load> {
  loaded ??= load();
  return loaded;
}

/** A socket for echo requests; undefined where this user, or this host, has none. */
export function pingDescriptor(isV6: boolean): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const { AF_INET, AF_INET6, DATAGRAMS, IPPROTO_ICMP, IPPROTO_ICMPV6 } = linux;
  try {
    const { socket } = netCalls();
    const fd = isV6
      ? socket(AF_INET6, DATAGRAMS, IPPROTO_ICMPV6)
      : socket(AF_INET, DATAGRAMS, IPPROTO_ICMP);
    return fd < 0 ? undefined : fd;
  } catch {
    return undefined;
  }
}

/** `EPERM`, of the call just made. */
export function netErrorName(): string {
  const number = koffi.errno();
  return Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0] ?? `${number}`;
}
