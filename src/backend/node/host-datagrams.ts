import { createSocket, type Socket, type SocketOptions } from 'node:dgram';
import { formatAddress } from '../net/address.js';
import type { DatagramEvents, HostDatagrams } from '../net/net-host.js';
import type { Endpoint } from '../net/tcp/tcp-environment.js';
import { pingDescriptor } from './net-calls.js';

/** What the host has not sent yet may be this much, and more is lost. */
const MAX_QUEUED_BYTES = 1 << 20;
/** Datagrams, before the socket is connected. */
const MAX_WAITING = 256;
/** ICMP has none, but Node wants one. */
const SOME_PORT = 7;

/** Addresses are numbers here: nothing is looked up, nothing waits. */
export function datagramSocket(isV6: boolean): Socket {
  const lookup = (host: string, _: unknown, found: (...result: unknown[]) => void) =>
    found(null, host, isV6 ? 6 : 4);
  const options = { type: isV6 ? 'udp6' : 'udp4', ipv6Only: isV6, lookup } as SocketOptions;
  return createSocket(options);
}

class SocketDatagrams implements HostDatagrams {
  /** Until the socket is ready. */
  private waiting: Uint8Array[] | undefined = [];
  private isClosed = false;

  constructor(
    private readonly socket: Socket,
    private readonly transmit: (bytes: Uint8Array, done: (error: Error | null) => void) => void,
    private readonly events: DatagramEvents,
  ) {
    socket.on('message', (bytes) => events.message(bytes));
    socket.on('error', this.done);
  }

  /** Without it Node keeps what a send says to itself. */
  private readonly done = (error: NodeJS.ErrnoException | null): void => {
    if (error !== null && !this.isClosed) this.events.error(error.code ?? 'EIO');
  };

  ready(): void {
    const { waiting = [] } = this;
    this.waiting = undefined;
    for (const bytes of waiting) this.send(bytes);
  }

  send(bytes: Uint8Array): void {
    if (this.isClosed) return;
    if (this.waiting !== undefined) {
      if (this.waiting.length < MAX_WAITING) this.waiting.push(bytes);
    } else if (this.socket.getSendQueueSize() < MAX_QUEUED_BYTES) this.transmit(bytes, this.done);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.socket.close();
  }
}

/** A UDP socket that is connected, so that the host says when nobody is there. */
export function connectDatagrams(to: Endpoint, events: DatagramEvents): HostDatagrams {
  const socket = datagramSocket(to.address.length === 16);
  const datagrams = new SocketDatagrams(socket, (bytes, done) => socket.send(bytes, done), events);
  // A callback would get the errors that are events otherwise.
  socket.once('connect', () => datagrams.ready());
  socket.connect(to.port, formatAddress(to.address));
  return datagrams;
}

/** Linux's sockets for echo requests, where the user's group may have them. [icmp(7)] */
export function openPing(address: Uint8Array, events: DatagramEvents): HostDatagrams | undefined {
  const isV6 = address.length === 16;
  const fd = pingDescriptor(isV6);
  if (fd === undefined) return undefined;
  const socket = datagramSocket(isV6);
  const to = formatAddress(address);
  const datagrams = new SocketDatagrams(
    socket,
    (bytes, done) => socket.send(bytes, SOME_PORT, to, done),
    events,
  );
  socket.bind({ fd }, () => datagrams.ready());
  return datagrams;
}
