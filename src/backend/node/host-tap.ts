import { closeSync, openSync, writevSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { NetGuest } from '../../virtio/net/net.js';
import { decodeHeader, encodeHeader, type PacketHeader } from '../../virtio/net/packets.js';
import { GuestPort, type NetBackend } from '../net/guest-port.js';
import { NetError } from '../net/net-host.js';
import { netCalls, netErrorName } from './net-calls.js';

const DEVICE = '/dev/net/tun';
const O_RDWR_NONBLOCK = 0o4002;
/** [Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h] */
const linux = {
  IFREQ_BYTES: 40,
  NAME_BYTES: 16,
  TUNSETIFF: 0x4004_54ca,
  /** A TAP without the protocol before each frame, but with virtio's header. */
  TAP_NO_PI_VNET_HDR: 0x5002,
  TUNSETOFFLOAD: 0x4004_54d0,
  /** Checksums, TSO for both versions and with ECN; and USO, which kernels before 6.2 do not have. */
  offloads: [0x6f, 0x0f],
};
const HEADER_BYTES = 10;

/** What the reading thread is told. */
export interface TapStart {
  readonly fd: number;
  readonly words: Int32Array;
}

/** Words that both threads see: frames that were sent on, frames that were taken; and the end. */
export const tapWord = { sent: 0, taken: 1, isOver: 2 } as const;

const reasons: Readonly<Record<string, readonly [NetError['code'], string]>> = {
  ENOENT: ['missing', 'this host has none; modprobe tun may load it'],
  EACCES: [
    'no-permission',
    'this user may not; root may, and so may a group that root gives it to',
  ],
  EPERM: [
    'no-permission',
    'this user may not; root gives one by ip tuntap add NAME mode tap vnet_hdr user USER',
  ],
  EBUSY: ['in-use', 'another process has it; another name would do'],
  EINVAL: ['usage', 'it is not a TAP made for virtio headers; vnet_hdr makes one'],
};

function refuse(doing: string, code: string): NetError {
  const [kind, reason] = reasons[code] ?? ['no-host', code];
  return new NetError(kind, `--net tap: cannot ${doing}: ${reason}`);
}

/** An interface of the host's as the guest's cable. */
class TapNet implements NetBackend {
  readonly offloads = true;
  private readonly port = new GuestPort();
  private readonly words = new Int32Array(new SharedArrayBuffer(12));
  private readonly reader: Worker;
  /** The number is somebody else's once the interface is gone or let go of. */
  private isOpen = true;

  constructor(private readonly fd: number) {
    const workerData: TapStart = { fd, words: this.words };
    this.reader = new Worker(new URL('./tap-worker.js', import.meta.url), { workerData });
    this.reader.on('message', (bytes: Uint8Array) => {
      Atomics.add(this.words, tapWord.taken, 1);
      Atomics.notify(this.words, tapWord.taken);
      this.port.post(bytes.subarray(HEADER_BYTES), decodeHeader(bytes));
    });
    this.reader.on('exit', () => {
      this.isOpen = false;
      closeSync(fd);
    });
    this.reader.unref();
  }

  connect(guest: NetGuest): void {
    this.port.connect(guest);
  }

  resume(): void {
    this.port.resume();
  }

  /** What the host does not take, such as while the interface is down, is lost. */
  send(frame: Uint8Array, header: PacketHeader): void {
    if (!this.isOpen) return;
    try {
      writevSync(this.fd, [encodeHeader(header, 0, HEADER_BYTES), frame]);
    } catch {}
  }

  close(): void {
    Atomics.store(this.words, tapWord.isOver, 1);
    Atomics.notify(this.words, tapWord.taken);
  }
}

/** Opens or makes the TAP interface of a name. Throws a {@link NetError}. */
export function openTap(name: string): NetBackend {
  let fd: number;
  try {
    fd = openSync(DEVICE, O_RDWR_NONBLOCK);
  } catch (error) {
    throw refuse(`open ${DEVICE}`, (error as NodeJS.ErrnoException).code ?? 'EIO');
  }
  const calls = netCalls();
  const request = new Uint8Array(linux.IFREQ_BYTES);
  request.set(new TextEncoder().encode(name).subarray(0, linux.NAME_BYTES - 1));
  new DataView(request.buffer).setUint16(linux.NAME_BYTES, linux.TAP_NO_PI_VNET_HDR, true);
  if (calls.ioctl(fd, linux.TUNSETIFF, request) < 0) {
    const code = netErrorName();
    closeSync(fd);
    throw refuse(`have the interface ${name}`, code);
  }
  linux.offloads.some((offloads) => calls.ioctlNumber(fd, linux.TUNSETOFFLOAD, offloads) === 0);
  return new TapNet(fd);
}
