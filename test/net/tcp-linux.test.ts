import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Forward } from '#src/backend/node/host-user-net.js';
import { Random, seed } from '../disk/random.js';
import { exchange } from './exchange.js';
import { LinuxGuest, type LinuxGuestOptions, noLinuxGuest } from './linux-guest.js';
import { ip } from './nat-rig.js';

const skip = noLinuxGuest() ?? false;
const gateway = '10.0.2.2';

async function opened(t: TestContext, options?: LinuxGuestOptions): Promise<LinuxGuest> {
  const guest = await LinuxGuest.open(options);
  t.after(() => guest.close());
  return guest;
}

/** A server on the host's loopback. */
async function served(t: TestContext, each: (socket: Socket) => void, host = '127.0.0.1') {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    each(socket);
  });
  await once(server.listen(0, host), 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

const turned = (said: string) => said.split(' ').reverse().join(' ');

interface Conversation {
  readonly verb?: string;
  readonly host?: string;
  /** Most that each side sends. */
  readonly most?: number;
}

/** Random data both ways, each side closing when it has sent all. */
async function converse(
  t: TestContext,
  guest: LinuxGuest,
  { verb = 'exchange', host = gateway, most = 8_000_000 }: Conversation = {},
) {
  const said: string[] = [];
  const port = await served(
    t,
    async (socket) => said.push(turned(await exchange(socket, seed + said.length + 100, most))),
    host === gateway ? '127.0.0.1' : '::1',
  );
  const heard = (await guest.run(verb, host, port, seed, most)).split('\n');
  // The guest's program is over when its kernel may still be sending: what is lost again waits for a timer that doubles.
  for (let i = 0; i < 3000 && said.length < heard.length; i++) await sleep(20);
  assert.deepEqual(heard.sort(), said.sort());
}

test('Linux and the host exchange random data, exactly', { skip }, async (t) => {
  await converse(t, await opened(t));
});

test('Linux and the host exchange random data over IPv6', { skip }, async (t) => {
  await converse(t, await opened(t), { host: 'fec0::2' });
});

test('Linux with a card that takes no large segments gets exact data', { skip }, async (t) => {
  await converse(t, await opened(t, { takesLarge: false }));
});

test('Linux gets exact data when frames to it are lost', { skip }, async (t) => {
  const random = new Random(seed);
  await converse(t, await opened(t, { loss: 0.01, random, takesLarge: false }), {
    most: 1_000_000,
  });
  await converse(t, await opened(t, { loss: 0.05, random }), { most: 1_000_000 });
});

test('the host gets exact data when Linux’s are lost and come out of order', {
  skip,
}, async (t) => {
  const random = new Random(seed);
  await converse(t, await opened(t, { lossUp: 0.005, random, takesLarge: false }), {
    most: 1_000_000,
  });
  await converse(t, await opened(t, { lossUp: 0.005, random }), { most: 1_000_000 });
});

test('50 connections at once keep apart', { skip }, async (t) => {
  await converse(t, await opened(t), { verb: 'many', most: 100_000 });
});

test('a Linux that does not read for a while loses nothing', { skip }, async (t) => {
  await converse(t, await opened(t), { verb: 'sleepy' });
});

test('a host that does not read for a while stops Linux, and loses nothing', {
  skip,
}, async (t) => {
  const guest = await opened(t);
  let said = '';
  const port = await served(t, async (socket) => {
    const all = exchange(socket, seed + 1);
    socket.pause();
    await sleep(1000);
    socket.resume();
    said = turned(await all);
  });
  const heard = await guest.run('exchange', gateway, port, seed + 7, 8_000_000);
  for (let i = 0; i < 50 && said === ''; i++) await sleep(20);
  assert.equal(heard, said);
});

test('Linux hears of refusals and resets, and its own reach the host', { skip }, async (t) => {
  const guest = await opened(t);
  const resetting = await served(t, (socket) => {
    setTimeout(() => socket.resetAndDestroy(), 100);
  });
  const ending = await served(t, (socket) => socket.end());
  const errors: string[] = [];
  const listening = await served(t, (socket) => {
    socket.resume();
    socket.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(`${code}`));
  });
  assert.equal(await guest.run('fate', gateway, resetting), 'ECONNRESET');
  assert.equal(await guest.run('fate', gateway, ending), 'end');
  assert.equal(await guest.run('reset', gateway, listening), 'reset');
  await sleep(50);
  assert.deepEqual(errors, ['ECONNRESET']);
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  assert.equal(await guest.run('fate', gateway, port), 'ECONNREFUSED');
});

test('connections of the host reach a server on Linux', { skip }, async (t) => {
  const probe = await served(t, () => {});
  const port = probe === 65_535 ? probe - 1 : probe + 1;
  const forward: Forward = {
    text: 'tcp',
    protocol: 'tcp',
    host: { address: ip('127.0.0.1'), port },
    guest: { address: ip('10.0.2.15'), port: 7777 },
  };
  const guest = await opened(t, { forwards: [forward] });
  const refused = connect(port, '127.0.0.1');
  const [error] = await once(refused, 'error');
  assert.equal(error.code, 'ECONNRESET', 'nobody listens yet');
  const heard = guest.run('listen', '10.0.2.15', 7777, seed);
  await sleep(500);
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const said = await exchange(socket, seed + 3);
  assert.equal(await heard, turned(said));
});
