// The guest's side of a test: `PROGRAM VERB HOST PORT SEED [BYTES]`; what it has to say it prints in a line.
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { exchange } from './exchange.js';

const [verb, host, port, seed, most] = process.argv.slice(2);
const at = { host: host!, port: Number(port) };
const start = Number(seed);

const verbs: Record<string, () => Promise<string>> = {
  /** Sends and receives, and says what both were. */
  async exchange() {
    const socket = connect({ ...at, allowHalfOpen: true });
    return exchange(socket, start, Number(most));
  },
  /** The same with whoever comes. */
  listen: () =>
    new Promise((resolve) => {
      const server = createServer({ allowHalfOpen: true }, async (socket) => {
        server.close();
        resolve(await exchange(socket, start));
      });
      server.listen(at);
    }),
  /** Many at once. */
  async many() {
    const all = Array.from({ length: 50 }, (_, i) =>
      exchange(connect({ ...at, allowHalfOpen: true }), start + i, 100_000),
    );
    return (await Promise.all(all)).join('\n');
  },
  /** Reads nothing for a while. */
  async sleepy() {
    const socket = connect({ ...at, allowHalfOpen: true });
    const said = exchange(socket, start);
    await sleep(200);
    socket.pause();
    await sleep(1500);
    socket.resume();
    return said;
  },
  /** What becomes of a connection: an error's code, or `end`. */
  fate() {
    const socket: Socket = connect(at);
    return new Promise((resolve) => {
      socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(`${code}`));
      socket.on('end', () => resolve('end'));
      socket.resume();
    });
  },
  /** Resets a connection in the middle. */
  async reset() {
    const socket = connect(at);
    socket.on('error', () => {});
    socket.write('something');
    await sleep(200);
    socket.resetAndDestroy();
    return 'reset';
  },
};

console.log(await verbs[verb!]!());
