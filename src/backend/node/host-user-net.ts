import { getServers } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { createServer, type Server } from 'node:net';
import { formatAddress, parseAddress } from '../net/address.js';
import type { NetBackend } from '../net/guest-port.js';
import { NetError, type NetHost } from '../net/net-host.js';
import type { Endpoint } from '../net/tcp/tcp-environment.js';
import { TcpNat } from '../net/tcp/tcp-nat.js';
import { UserNet, type UserNetPlan } from '../net/user-net.js';
import { connectDatagrams, datagramSocket, openPing } from './host-datagrams.js';
import { hostRandom } from './host-random.js';
import { acceptStream, connectStream } from './host-stream.js';

/** What comes to a port of the host goes to one of the guest. */
export interface Forward {
  /** As the user wrote it, for messages. */
  readonly text: string;
  readonly protocol: 'tcp' | 'udp';
  readonly host: Endpoint;
  readonly guest: Endpoint;
}

export interface UserNetOptions extends UserNetPlan {
  readonly forwards: readonly Forward[];
  /** In place of the host's own name servers. */
  readonly resolver?: Endpoint;
}

const MAX_CONNECTIONS = 1024;
const DNS_PORT = 53;

/** `1.2.3.4`, `::1`, `1.2.3.4:5353` or `[::1]:5353`. */
function parseServer(text: string): Endpoint | undefined {
  const [, bracketed, plain, port] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [];
  const address = parseAddress(bracketed ?? plain ?? text);
  return address && { address, port: Number(port ?? DNS_PORT) };
}

function nodeHost(resolver: Endpoint | undefined): NetHost {
  return {
    nowMs: () => performance.now(),
    after(delayMs, callback) {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
    soon: (callback) => void setImmediate(callback),
    randomU32: hostRandom(),
    stream: connectStream,
    datagrams: connectDatagrams,
    ping: openPing,
    resolvers() {
      if (resolver !== undefined) return [resolver];
      return getServers().flatMap((server) => parseServer(server) ?? []);
    },
    async lookup(name) {
      const found = await lookup(name, { all: true }).catch((error) => {
        if (error.code === 'ENOTFOUND') return [];
        throw error;
      });
      return found.flatMap(({ address }) => parseAddress(address) ?? []);
    },
  };
}

const reasons: Readonly<Record<string, readonly [NetError['code'], string]>> = {
  EADDRINUSE: ['in-use', 'something else has this port; another one would do'],
  EACCES: ['no-permission', 'this user may not have this port; one from 1024 on would do'],
  EADDRNOTAVAIL: ['usage', 'the host has no such address; 127.0.0.1 would do'],
};

function forwardError({ text }: Forward, error: NodeJS.ErrnoException): NetError {
  const [code, reason] = reasons[error.code ?? ''] ?? ['no-host', error.message];
  return new NetError(code, `--net forward=${text}: ${reason}`, { cause: error });
}

/** A network that needs no rights. Rejects with a {@link NetError} for a forward that cannot be had. */
export async function openUserNet(options: UserNetOptions): Promise<NetBackend> {
  const net = new UserNet(options, nodeHost(options.resolver), (tcp) => new TcpNat(tcp));
  const close = net.close.bind(net);
  const listeners: { close(): void }[] = [];
  net.close = () => {
    for (const listener of listeners) listener.close();
    close();
  };
  try {
    for (const forward of options.forwards) {
      const listen = forward.protocol === 'tcp' ? listenTcp : listenUdp;
      listeners.push(await listen(net, forward));
    }
  } catch (error) {
    net.close();
    throw error;
  }
  return net;
}

function listenTcp(net: UserNet, forward: Forward): Promise<Server> {
  const { host, guest } = forward;
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    const address = parseAddress(socket.remoteAddress ?? '');
    if (address === undefined) socket.destroy();
    else net.acceptStream(acceptStream(socket), guest, { address, port: socket.remotePort ?? 0 });
  });
  server.maxConnections = MAX_CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(forwardError(forward, error)));
    server.listen(
      { host: formatAddress(host.address), port: host.port, ipv6Only: true, exclusive: true },
      () => resolve(server),
    );
  });
}

function listenUdp(net: UserNet, forward: Forward): Promise<{ close(): void }> {
  const { host, guest } = forward;
  const socket = datagramSocket(host.address.length === 16);
  socket.on('message', (bytes, { address: text, port }) => {
    const address = parseAddress(text);
    if (address === undefined || port === 0) return;
    const send = (data: Uint8Array) => {
      if (isOpen) socket.send(data, port, text);
    };
    net.acceptDatagram(guest, { address, port }, bytes, { send, close() {} });
  });
  let isOpen = true;
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => reject(forwardError(forward, error)));
    socket.bind(host.port, formatAddress(host.address), () => {
      socket.on('error', () => {});
      resolve({
        close() {
          isOpen = false;
          socket.close();
        },
      });
    });
  });
}
