import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import test from 'node:test';
import { connectDatagrams, openPing } from './host-datagrams.js';

const at = (port: number, ...address: number[]) => ({ address: Uint8Array.from(address), port });

/** What a socket says, one after the other. */
function listener() {
  const said: string[] = [];
  let wake = () => {};
  const say = (text: string) => {
    said.push(text);
    wake();
  };
  return {
    events: {
      message: (bytes: Uint8Array) => say(`message ${new TextDecoder().decode(bytes)}`),
      error: (code: string) => say(code),
    },
    async next(): Promise<string> {
      while (said.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return said.shift()!;
    },
  };
}

const options = { timeout: 10_000 };

test('datagrams go to one peer and come from there, from the first on', options, async () => {
  const peer = createSocket('udp4');
  peer.bind(0, '127.0.0.1');
  await once(peer, 'listening');
  peer.on('message', (bytes, { port }) => peer.send(`${bytes} back`, port, '127.0.0.1'));
  const { events, next } = listener();
  const socket = connectDatagrams(at(peer.address().port, 127, 0, 0, 1), events);
  socket.send(new TextEncoder().encode('there'));
  assert.equal(await next(), 'message there back');
  peer.close();
  await once(peer, 'close');
  socket.send(new Uint8Array(1));
  assert.equal(await next(), 'ECONNREFUSED');
  // More than a datagram can be.
  socket.send(new Uint8Array(70_000));
  assert.equal(await next(), 'EMSGSIZE');
  socket.close();
  socket.send(new Uint8Array(1));
  socket.close();
});

test('a peer that cannot be is an error, and sending to it is none', options, async () => {
  const { events, next } = listener();
  const socket = connectDatagrams(at(9, 255, 255, 255, 255), events);
  for (let i = 0; i < 1000; i++) socket.send(new Uint8Array(1));
  assert.match(await next(), /^E(ACCES|NETUNREACH)$/);
  socket.send(new Uint8Array(1));
  socket.close();
});

test('an echo request of the host is answered, where its user may ask', options, async (t) => {
  const { events, next } = listener();
  const socket = openPing(Uint8Array.of(127, 0, 0, 1), events);
  if (socket === undefined) {
    t.skip('net.ipv4.ping_group_range leaves this user out');
    return;
  }
  socket.send(Uint8Array.of(8, 0, 0, 0, 1, 2, 0, 1, 65, 66));
  assert.match(await next(), /AB$/);
  socket.close();
});
