import { Socket } from 'node:net';
import { formatAddress } from '../net/address.js';
import {
  type Endpoint,
  HEADROOM,
  type HostStream,
  type HostStreamEvents,
  MAX_READ_BYTES,
  type OpenStream,
} from '../net/tcp/tcp-environment.js';

/** Before what was read: room for all headers. */
const PAD_BYTES = HEADROOM + 60;
/** Less than this is copied, so that its buffer can be read into again. */
const COPIED_BYTES = 32_768;
/** `drain` comes when nothing waits any more: many small writes would cost more than their bytes. */
const HIGH_WATER_BYTES = 1;

const paddedBuffer = (bytes: number): Uint8Array =>
  Buffer.allocUnsafeSlow(PAD_BYTES + bytes).subarray(PAD_BYTES);

/** Large buffers that can be read into again: new ones would make V8 collect garbage all the time. */
const free: ArrayBufferLike[] = [];
const MAX_FREE = 64;

function readBuffer(): Uint8Array {
  const buffer = free.pop();
  if (buffer === undefined) return paddedBuffer(MAX_READ_BYTES);
  return new Uint8Array(buffer, PAD_BYTES, MAX_READ_BYTES);
}

/** A copy with room before it. */
function padded(bytes: Uint8Array): Uint8Array {
  const copy = paddedBuffer(bytes.length);
  copy.set(bytes);
  return copy;
}

/** A TCP connection of the host as what the NAT knows. */
class SocketStream implements HostStream {
  constructor(
    private readonly socket: Socket,
    events: HostStreamEvents,
  ) {
    socket.setNoDelay(true);
    socket.on('end', () => events.end());
    socket.on('drain', () => events.drain());
    socket.on('error', ({ code }: NodeJS.ErrnoException) => events.error(code ?? 'EIO'));
    socket.on('close', () => events.close());
  }

  write(bytes: Uint8Array): boolean {
    if (!this.socket.writable) return true;
    this.socket.write(bytes);
    return this.socket.writableLength === 0;
  }

  end(): void {
    this.socket.end();
  }

  /** A socket that is not connected yet would go on connecting only to be reset. */
  destroy(): void {
    if (this.socket.connecting) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  release({ buffer }: Uint8Array): void {
    const isLarge = buffer.byteLength === PAD_BYTES + MAX_READ_BYTES;
    if (isLarge && free.length < MAX_FREE) free.push(buffer);
  }
}

/** Connects. What comes is read to where headers fit before it, and not copied where it is much. */
export function connectStream({ address, port }: Endpoint): OpenStream {
  return (events) => {
    let buffer = readBuffer();
    const socket = new Socket({
      allowHalfOpen: true,
      writableHighWaterMark: HIGH_WATER_BYTES,
      // What Node's types call a ConnectOpts belongs to the constructor as well.
      onread: {
        buffer: () => buffer,
        callback(count: number, bytes: Uint8Array): boolean {
          const data = bytes.subarray(0, count);
          if (count >= COPIED_BYTES) buffer = readBuffer();
          events.data(count < COPIED_BYTES ? padded(data) : data);
          return true;
        },
      },
    } as object);
    const stream = new SocketStream(socket, events);
    socket.on('connect', () => events.connected());
    socket.connect({ host: formatAddress(address), port, autoSelectFamily: false });
    return stream;
  };
}

/** A connection that somebody made to a socket of ours; nothing has been read of it. */
export function acceptStream(socket: Socket): OpenStream {
  return (events) => {
    socket.on('data', (chunk: Uint8Array) => {
      for (let at = 0; at < chunk.length; at += MAX_READ_BYTES) {
        events.data(padded(chunk.subarray(at, at + MAX_READ_BYTES)));
      }
    });
    socket.pause();
    return new SocketStream(socket, events);
  };
}
