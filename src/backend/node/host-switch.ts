import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { NetGuest } from '../../virtio/net/net.js';
import { decodeHeader, encodeHeader, type PacketHeader } from '../../virtio/net/packets.js';
import { GuestPort, type NetBackend } from '../net/guest-port.js';
import { NetError } from '../net/net-host.js';
import {
  lengthOf,
  MESSAGE_HEADER_BYTES,
  MessageReader,
  Switch,
  type SwitchPort,
} from '../net/switch.js';

/** A member that does not read loses frames beyond this. */
const MAX_QUEUED_BYTES = 4 << 20;
const RETRY_MS = 20;
const CHECK_MS = 1000;

/** Where the switch of a name is for this user. */
export function switchPath(name: string): string {
  const own = process.getuid?.() ?? 0;
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  const folder = runtime ? join(runtime, 'chassis') : join(tmpdir(), `chassis-${own}`);
  return join(folder, `switch-${name}.sock`);
}

/** Makes the folder of the socket, for this user alone. */
function prepare(path: string): void {
  const folder = dirname(path);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') {
      throw new NetError('no-host', `--net switch: cannot make ${folder}: ${code}`, {
        cause: error,
      });
    }
  }
  const { uid } = lstatSync(folder);
  if (process.getuid === undefined || uid === process.getuid() || uid === 0) return;
  throw new NetError(
    'no-permission',
    `--net switch: ${folder} is another user's; name one by path=`,
  );
}

/**
 * A switch that machines of one host share. The first of them serves the socket; the others are its
 * members. When the one that serves leaves, one of the others takes its place, and the frames of that
 * moment are lost, as on a wire. Who finds that its socket is no longer the one in the file system steps down.
 */
class SwitchNet implements NetBackend, SwitchPort {
  readonly offloads = true;
  private readonly port = new GuestPort();
  private hub: { readonly switch: Switch; readonly server: Server } | undefined;
  private uplink: Socket | undefined;
  private readonly sockets = new Set<Socket>();
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(private readonly path: string) {}

  connect(guest: NetGuest): void {
    this.port.connect(guest);
  }

  send(frame: Uint8Array, header: PacketHeader): void {
    const message = new Uint8Array(MESSAGE_HEADER_BYTES + frame.length);
    message.set(encodeHeader(header, 0, MESSAGE_HEADER_BYTES));
    message.set(frame, MESSAGE_HEADER_BYTES);
    if (this.hub !== undefined) this.hub.switch.forward(this, message);
    else if (this.uplink !== undefined) write(this.uplink, message);
  }

  resume(): void {
    if (this.port.resume()) this.uplink?.resume();
  }

  /** To this machine's own card. */
  deliver(message: Uint8Array): void {
    if (message.length < MESSAGE_HEADER_BYTES) return;
    this.port.post(message.slice(MESSAGE_HEADER_BYTES), decodeHeader(message));
    if (this.port.isFull) this.uplink?.pause();
  }

  /** Finds the switch, or becomes it where nobody is. Rejects where neither can be. */
  async join(): Promise<void> {
    while (!this.isClosed) {
      const refusal = await this.become();
      const isNobody = refusal === 'ECONNREFUSED' || refusal === 'ENOENT';
      // What is left of one that was killed; nothing else is removed.
      const isLeft = lstatSync(this.path, { throwIfNoEntry: false })?.isSocket();
      if (refusal === 'ECONNREFUSED' && isLeft) rmSync(this.path, { force: true });
      const failure = isNobody && isLeft !== false ? await this.serve() : refusal;
      if (failure === undefined) return;
      if (failure !== 'EADDRINUSE' && failure !== 'EAGAIN') {
        throw new NetError('no-host', `--net switch: cannot use ${this.path}: ${failure}`);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  private rejoin(): void {
    if (this.isClosed) return;
    const delayMs = RETRY_MS * (1 + Math.random());
    this.timer = setTimeout(() => this.join().catch(() => this.rejoin()), delayMs);
  }

  /** A member of the switch that is there; otherwise why not. */
  private become(): Promise<string | undefined> {
    return new Promise((resolve) => {
      const socket = createConnection(this.path);
      socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'EIO'));
      socket.on('connect', () => {
        if (this.isClosed) socket.destroy();
        this.uplink = socket;
        read(socket, (message) => this.deliver(message));
        socket.on('close', () => {
          this.uplink = undefined;
          this.rejoin();
        });
        resolve(undefined);
      });
    });
  }

  private serve(): Promise<string | undefined> {
    const hub = new Switch();
    const server = createServer((socket) => {
      const member = { deliver: (message: Uint8Array) => write(socket, message) };
      hub.join(member);
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.sockets.delete(socket);
        hub.leave(member);
      });
      read(socket, (message) => hub.forward(member, message));
    });
    return new Promise((resolve) => {
      server.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'EIO'));
      server.listen(this.path, () => {
        hub.join(this);
        this.hub = { switch: hub, server };
        const inode = lstatSync(this.path, { throwIfNoEntry: false })?.ino;
        const check = () => {
          if (lstatSync(this.path, { throwIfNoEntry: false })?.ino === inode) return;
          this.stepDown();
          this.rejoin();
        };
        this.timer = setInterval(check, CHECK_MS);
        if (this.isClosed) this.stepDown();
        resolve(undefined);
      });
    });
  }

  private stepDown(): void {
    clearInterval(this.timer);
    this.hub?.server.close();
    this.hub = undefined;
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.isClosed = true;
    this.stepDown();
    this.uplink?.destroy();
  }
}

function write(socket: Socket, message: Uint8Array): void {
  if (socket.writableLength > MAX_QUEUED_BYTES || !socket.writable) return;
  socket.cork();
  socket.write(lengthOf(message));
  socket.write(message);
  socket.uncork();
}

function read(socket: Socket, take: (message: Uint8Array) => void): void {
  const reader = new MessageReader();
  socket.on('data', (bytes) => {
    if (!reader.push(bytes, take)) socket.destroy();
  });
}

/** Joins the switch at a path. Rejects with a {@link NetError}. */
export async function openSwitch(path: string): Promise<NetBackend> {
  prepare(path);
  const net = new SwitchNet(path);
  await net.join();
  return net;
}
