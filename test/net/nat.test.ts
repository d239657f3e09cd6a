import assert from 'node:assert/strict';
import test from 'node:test';
import { isSame } from '#src/backend/net/address.js';
import { get16, put16 } from '#src/backend/net/checksum.js';
import type { Packet } from '#src/backend/net/ip.js';
import { gsoType, headerFlag } from '#src/virtio/net/registers.js';
import {
  broadcastMac,
  ethernet,
  guestMac,
  hostMac,
  icmp,
  ip,
  ip6,
  join,
  NatRig,
  packet,
  udp,
} from './nat-rig.js';

const guest = ip('10.0.2.15');
const gateway = ip('10.0.2.2');
const outside = ip('192.0.2.1');
const guest6 = ip6(0xfec0, 0x15);
const text = (words: string) => new TextEncoder().encode(words);
const echo = (bytes = 8) => join([0x12, 0x34, 0, 1], new Uint8Array(bytes).fill(0x61));

/** Type and code of the ICMP error, and what it quotes. */
function errorOf([found]: Packet[]) {
  assert.ok(found);
  return { what: [...found.payload.subarray(0, 2)], quoted: found.payload.subarray(8) };
}

function arp(target: Uint8Array): Uint8Array {
  const request = join([0, 1, 8, 0, 6, 4, 0, 1], guestMac, guest, new Uint8Array(6), target);
  return ethernet(0x0806, request, broadcastMac);
}

test('the gateway and the name server answer ARP, nobody else does', () => {
  const rig = new NatRig();
  for (const address of [gateway, ip('10.0.2.3')]) {
    const [answer] = rig.send(arp(address));
    const reply = join([0, 1, 8, 0, 6, 4, 0, 2], hostMac, address, guestMac, guest);
    assert.deepEqual(answer, ethernet(0x0806, reply, guestMac, hostMac));
  }
  assert.deepEqual(rig.send(arp(ip('10.0.2.99'))), []);
});

test('the gateway answers pings of both versions, in pieces where they are long', () => {
  const rig = new NatRig();
  rig.introduce();
  const [reply] = rig.packets(rig.send(icmp(guest, gateway, [8, 0], echo())));
  assert.deepEqual(reply?.payload.subarray(4), echo());
  assert.equal(reply?.payload[0], 0);
  const pieces = rig.packets(rig.send(icmp(guest, gateway, [8, 0], echo(4000))));
  assert.deepEqual(
    pieces.map(({ fragment }) => [fragment?.offset, fragment?.isLast]),
    [
      [0, false],
      [1480, false],
      [2960, true],
    ],
  );
  // The first packet of this guest by IPv6 also says where it is.
  const [reply6] = rig.packets(rig.send(icmp(guest6, ip6(0xfec0, 2), [128, 0], echo())));
  assert.deepEqual(reply6?.payload.subarray(4), echo());
  const pieces6 = rig.packets(rig.send(icmp(guest6, ip6(0xfec0, 2), [128, 0], echo(2000))));
  assert.equal(pieces6.length, 2);
});

test('a ping that comes in pieces, in any order, is put together', () => {
  const rig = new NatRig();
  rig.introduce();
  const whole = icmp(guest, gateway, [8, 0], echo(3000)).subarray(34);
  const piece = (from: number, to: number, more: number) =>
    packet(1, guest, gateway, whole.subarray(from, to), { flags: (from / 8) | more });
  assert.deepEqual(rig.send(piece(1600, whole.length, 0)), []);
  assert.deepEqual(rig.send(piece(0, 800, 0x2000)), []);
  assert.equal(rig.send(piece(800, 1600, 0x2000)).length, 3);
  // Pieces that overlap lose the packet.
  rig.send(piece(0, 800, 0x2000));
  rig.send(piece(792, 1600, 0x2000));
  assert.deepEqual(rig.send(piece(1600, whole.length, 0)), []);
});

test('pings to others go by a socket of the host, or are said not to get there', () => {
  const rig = new NatRig();
  rig.introduce();
  const refused = rig.packets(rig.send(icmp(guest, outside, [8, 0], echo())));
  assert.deepEqual(errorOf(refused).what, [3, 1]);
  rig.mayPing = true;
  rig.send(icmp(guest, outside, [8, 0], echo()));
  const [socket] = rig.sockets;
  assert.deepEqual(socket?.to.address, outside);
  // The host has another identifier.
  socket?.events.message(join([0, 0, 0, 0, 0x99, 0x99, 0, 1], new Uint8Array(8)));
  const [reply] = rig.packets(rig.taken());
  assert.deepEqual([...reply!.payload.subarray(4, 8)], [0x12, 0x34, 0, 1]);
  assert.ok(isSame(reply!.source, outside));
  for (let id = 0; id < 100; id++) {
    const request = join([id, id, 0, 1]);
    rig.send(icmp(guest, outside, [8, 0], request));
  }
  assert.equal(rig.sockets.filter(({ isClosed }) => !isClosed).length, 32);
});

test('a packet at the end of its way is told so, and one with a wrong checksum is nothing', () => {
  const rig = new NatRig();
  rig.introduce();
  const late = rig.packets(rig.send(icmp(guest, outside, [8, 0], echo(), { hops: 1 })));
  assert.deepEqual(errorOf(late).what, [11, 0]);
  for (const at of [20, 36, 45]) {
    const frame = icmp(guest, gateway, [8, 0], echo());
    frame[at]! ^= 1;
    assert.deepEqual(rig.send(frame), []);
  }
});

const option = (code: number, value: Uint8Array | number[]) => join([code, value.length], value);

function dhcp(mac: Uint8Array, ...options: Uint8Array[]): Uint8Array {
  const message = new Uint8Array(240);
  message.set([1, 1, 6, 0, 1, 2, 3, 4]);
  message.set(mac, 28);
  message.set([0x63, 0x82, 0x53, 0x63], 236);
  const from = { address: ip('0.0.0.0'), port: 68 };
  const to = { address: ip('255.255.255.255'), port: 67 };
  return udp(from, to, join(message, ...options, [255]), { to: broadcastMac });
}

/** Type, address and options of the answer. */
function lease(rig: NatRig, frame: Uint8Array) {
  const [found] = rig.packets(rig.send(frame));
  if (found === undefined) return undefined;
  const message = found.payload.subarray(8);
  const options: Record<number, number[]> = {};
  for (let at = 240; message[at] !== 255; at += 2 + message[at + 1]!) {
    options[message[at]!] = [...message.subarray(at + 2, at + 2 + message[at + 1]!)];
  }
  return { type: options[53]![0], address: message.subarray(16, 20).join('.'), options };
}

test('DHCP gives each card an address, and says where router and name server are', () => {
  const rig = new NatRig();
  const offer = lease(rig, dhcp(guestMac, option(53, [1])));
  assert.equal(offer?.type, 2);
  assert.equal(offer?.address, '10.0.2.15');
  assert.deepEqual(offer?.options[1], [255, 255, 255, 0]);
  assert.deepEqual(offer?.options[3], [10, 0, 2, 2]);
  assert.deepEqual(offer?.options[6], [10, 0, 2, 3]);
  assert.deepEqual(offer?.options[26], [1500 >> 8, 1500 & 255]);
  assert.deepEqual(offer?.options[12], [...text('guest')]);
  assert.deepEqual(offer?.options[15], [...text('example.org')]);
  const take = dhcp(guestMac, option(53, [3]), option(50, guest), option(54, gateway));
  assert.equal(lease(rig, take)?.type, 5);
  const other = join(guestMac.subarray(0, 5), [0x57]);
  assert.equal(lease(rig, dhcp(other, option(53, [3]), option(50, guest)))?.type, 6);
  assert.equal(lease(rig, dhcp(other, option(53, [1])))?.address, '10.0.2.16');
  assert.equal(lease(rig, dhcp(guestMac, option(53, [3]), option(54, [1, 2, 3, 4]))), undefined);
  assert.equal(lease(rig, dhcp(guestMac, option(53, [8])))?.address, '0.0.0.0');
  lease(rig, dhcp(guestMac, option(53, [7])));
  const third = join(guestMac.subarray(0, 5), [0x58]);
  assert.equal(lease(rig, dhcp(third, option(53, [1])))?.address, '10.0.2.15');
  for (let i = 0; i < 64; i++) {
    lease(rig, dhcp(join(guestMac.subarray(0, 4), [1, i]), option(53, [1])));
  }
  assert.equal(lease(rig, dhcp(join(guestMac.subarray(0, 4), [2, 0]), option(53, [1]))), undefined);
});

test('the router says what network this is, and neighbours are found by IPv6', () => {
  const rig = new NatRig();
  const local = ip6(0xfe80, 0x15);
  const all = ip6(0xff02, 2);
  const more = { hops: 255, to: Uint8Array.of(0x33, 0x33, 0, 0, 0, 2) };
  const [router] = rig.packets(rig.send(icmp(local, all, [133, 0], new Uint8Array(4), more)));
  assert.equal(router?.payload[0], 134);
  assert.deepEqual(router?.payload.subarray(48, 64), ip6(0xfec0, 0));
  assert.deepEqual(router?.payload.subarray(72, 88), ip6(0xfec0, 3));
  const ask = (source: Uint8Array, target: Uint8Array, hops = 255) =>
    rig.send(
      icmp(source, ip6(0xff02, 1), [135, 0], join(new Uint8Array(4), target, [1, 1], guestMac), {
        hops,
        to: more.to,
      }),
    );
  for (const address of [ip6(0xfe80, 2), ip6(0xfec0, 2), ip6(0xfec0, 3)]) {
    const [answer] = rig.packets(ask(local, address));
    assert.equal(answer?.payload[0], 136);
    assert.deepEqual(answer?.payload.subarray(24), join([2, 1], hostMac));
  }
  assert.deepEqual(ask(local, ip6(0xfec0, 0x99)), []);
  assert.deepEqual(ask(local, ip6(0xfec0, 2), 64), []);
  // A guest that tries whether the gateway's address is free learns that it is not.
  assert.deepEqual(
    ask(new Uint8Array(16), ip6(0xfec0, 2))[0]?.subarray(0, 2),
    Uint8Array.of(0x33, 0x33),
  );
  const question = join([11, 1, 2, 3, 0, 1, 0, 2, 7, 7]);
  const from = { address: local, port: 546 };
  const [reply] = rig.packets(
    rig.send(udp(from, { address: ip6(0xff02, 2), port: 547 }, question, more)),
  );
  assert.deepEqual([...reply!.payload.subarray(8, 18)], [7, 1, 2, 3, 0, 1, 0, 2, 7, 7]);
  assert.ok(Buffer.from(reply!.payload).includes(Buffer.from(ip6(0xfec0, 3))));
  assert.ok(Buffer.from(reply!.payload).includes('\x07example\x03org\x00'));
});

test('datagrams go by a socket for each flow, and answers come back from where they were sent', () => {
  const rig = new NatRig();
  rig.introduce();
  const from = { address: guest, port: 1000 };
  rig.send(udp(from, { address: gateway, port: 7 }, text('one')));
  rig.send(udp(from, { address: gateway, port: 7 }, text('two')));
  rig.send(udp(from, { address: outside, port: 7 }, text('three')));
  const [near, far] = rig.sockets;
  assert.deepEqual(near?.to, { address: ip('127.0.0.1'), port: 7 });
  assert.deepEqual(far?.to, { address: outside, port: 7 });
  assert.deepEqual(near?.sent.map(String), [String(text('one')), String(text('two'))]);
  near?.events.message(new Uint8Array(3000));
  assert.equal(rig.packets(rig.taken()).length, 3);
  far?.events.message(text('answer'));
  const [answer] = rig.packets(rig.taken());
  assert.deepEqual(answer?.source, outside);
  assert.equal(get16(answer!.payload, 2), 1000);
  far?.events.error('ECONNREFUSED');
  const refused = errorOf(rig.packets(rig.taken()));
  assert.deepEqual(refused.what, [3, 3]);
  assert.equal(get16(refused.quoted, 20), 1000);
  rig.time.run(300_000);
  assert.ok(rig.sockets.every(({ isClosed }) => isClosed));
});

test('one frame may stand for several datagrams', () => {
  const rig = new NatRig();
  const frame = udp({ address: guest, port: 9 }, { address: gateway, port: 7 }, text('abcdefgh'));
  rig.send(frame, {
    flags: headerFlag.needsChecksum,
    gsoType: gsoType.udp,
    headerBytes: 42,
    gsoBytes: 3,
    checksumStart: 34,
    checksumOffset: 6,
  });
  assert.deepEqual(rig.sockets[0]?.sent, [text('abc'), text('def'), text('gh')]);
});

test('a guest that opens flows without end has the last 512 of them', () => {
  const rig = new NatRig();
  for (let port = 1; port <= 2000; port++) {
    rig.send(udp({ address: guest, port }, { address: outside, port: 9 }, text('x')));
  }
  assert.equal(rig.sockets.filter(({ isClosed }) => !isClosed).length, 512);
  assert.ok(rig.sockets.slice(-512).every(({ isClosed }) => !isClosed));
});

test('datagrams do not go to where no host is, and what a guest sends as somebody else goes nowhere', () => {
  const rig = new NatRig();
  const from = { address: guest, port: 9 };
  const nowhere = [
    '127.0.0.1',
    '0.0.0.0',
    '224.0.0.251',
    '255.255.255.255',
    '10.0.2.255',
    '10.0.2.77',
  ];
  for (const address of nowhere) rig.send(udp(from, { address: ip(address), port: 9 }, text('x')));
  const mapped = ip6(0, 0);
  mapped.set([0xff, 0xff, 127, 0, 0, 1], 10);
  for (const address of [mapped, ip6(0, 1), ip6(0xfe80, 9), ip6(0xff02, 1)]) {
    rig.send(udp({ address: guest6, port: 9 }, { address, port: 9 }, text('x')));
  }
  for (const address of ['10.0.2.2', '10.0.2.3', '192.0.2.9', '127.0.0.1']) {
    rig.send(udp({ address: ip(address), port: 9 }, { address: gateway, port: 9 }, text('x')));
  }
  rig.send(udp(from, { address: outside, port: 0 }, text('x')));
  assert.deepEqual(rig.sockets, []);
});

test('a datagram that was forwarded is answered to who sent it', () => {
  const rig = new NatRig();
  const replies: string[] = [];
  const reply = (to: string) => ({
    send: (data: Uint8Array) => void replies.push(`${to} ${data}`),
    close() {},
  });
  const inner = { address: guest, port: 53 };
  // The guest was never heard of: it is looked for, and the datagram waits.
  const peers = ['127.0.0.1', '127.0.0.2'];
  for (const peer of peers) {
    rig.net.acceptDatagram(inner, { address: ip(peer), port: 4000 }, text(peer), reply(peer));
  }
  assert.deepEqual(
    rig.taken().map((frame) => get16(frame, 12)),
    [0x0806, 0x0806],
  );
  const held = rig.introduce();
  rig.net.acceptDatagram(
    inner,
    { address: ip('127.0.0.1'), port: 4000 },
    text('again'),
    reply('x'),
  );
  const [first, second, third] = rig.packets([...held, ...rig.taken()]);
  assert.deepEqual(
    [first!, second!, third!].map(({ source }) => source),
    [gateway, gateway, gateway],
  );
  const ports = [first!, second!, third!].map(({ payload }) => get16(payload, 0));
  assert.equal(ports[0], 4000);
  assert.notEqual(ports[1], 4000);
  assert.equal(ports[2], 4000);
  for (const port of ports) rig.send(udp(inner, { address: gateway, port }, text('a')));
  assert.deepEqual(replies, ['127.0.0.1 97', '127.0.0.2 97', '127.0.0.1 97']);
});

const query = (name: string, type: number) =>
  join(
    [0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    ...name.split('.').map((label) => join([label.length], text(label))),
    [0, type >> 8, type & 255, 0, 1],
  );
const dnsFrom = { address: guest, port: 3333 };
const dnsTo = { address: ip('10.0.2.3'), port: 53 };

test('questions for names go to the host’s servers, the next where one does not answer', () => {
  const rig = new NatRig();
  rig.introduce();
  rig.servers.push({ address: ip('192.0.2.54'), port: 5353 });
  rig.send(udp(dnsFrom, dnsTo, query('a.example', 1)));
  rig.time.run(2500);
  const [first, second] = rig.sockets;
  assert.ok(first?.isClosed);
  assert.deepEqual(second?.to.port, 5353);
  assert.deepEqual(second?.sent, [query('a.example', 1)]);
  const answer = query('a.example', 1);
  answer[2] = 0x81;
  // Somebody's who does not know what was asked.
  second?.events.message(join([0, 0], answer.subarray(2)));
  assert.deepEqual(rig.taken(), []);
  second?.events.message(answer);
  const [found] = rig.packets(rig.taken());
  assert.deepEqual(found?.payload.subarray(8), answer);
  assert.ok(second?.isClosed);
});

test('a network that is closed leaves no socket and no timer behind', () => {
  const rig = new NatRig();
  rig.introduce();
  rig.mayPing = true;
  rig.send(udp(dnsFrom, dnsTo, query('a.example', 1)));
  rig.send(udp({ address: guest, port: 9 }, { address: outside, port: 9 }, text('x')));
  rig.send(icmp(guest, outside, [8, 0], echo()));
  rig.net.close();
  assert.deepEqual(
    rig.sockets.map(({ isClosed }) => isClosed),
    [true, true, true],
  );
  assert.ok(rig.time.isQuiet);
});

test('where no server can be reached the host itself looks names up', async () => {
  const rig = new NatRig();
  rig.introduce();
  rig.names['a.example'] = [ip('192.0.2.1'), ip6(0x2001, 1), ip('192.0.2.2')];
  const ask = async (name: string, type: number) => {
    rig.send(udp(dnsFrom, dnsTo, query(name, type)));
    rig.sockets.at(-1)?.events.error('ENETUNREACH');
    await new Promise(setImmediate);
    const [found] = rig.packets(rig.taken());
    const message = found!.payload.subarray(8);
    return { code: message[3]! & 15, count: get16(message, 6), message };
  };
  const four = await ask('a.example', 1);
  assert.deepEqual([four.code, four.count], [0, 2]);
  assert.deepEqual(four.message.slice(-4), ip('192.0.2.2'));
  const six = await ask('a.example', 28);
  assert.deepEqual([six.code, six.count], [0, 1]);
  assert.deepEqual(six.message.slice(-16), ip6(0x2001, 1));
  assert.equal((await ask('b.example', 1)).code, 3);
  assert.equal((await ask('a.example', 15)).code, 4);
});

test('a restricted guest has its gateway, and nothing behind it', () => {
  const rig = new NatRig({ isRestricted: true });
  rig.introduce();
  assert.equal(rig.send(icmp(guest, gateway, [8, 0], echo())).length, 1);
  for (const address of [gateway, outside]) {
    const frames = rig.send(udp({ address: guest, port: 9 }, { address, port: 9 }, text('x')));
    assert.deepEqual(errorOf(rig.packets(frames)).what, [3, 13]);
    assert.equal(rig.tcp.connect(address, 80), undefined);
  }
  assert.equal(rig.tcp.connect(ip('10.0.2.3'), 53), undefined);
  const [refused] = rig.packets(rig.send(udp(dnsFrom, dnsTo, query('a.example', 1))));
  assert.equal(refused!.payload[11]! & 15, 5);
  assert.equal(lease(rig, dhcp(guestMac, option(53, [1])))?.type, 2);
  assert.deepEqual(rig.sockets, []);
});

test('TCP has whole segments in, and large ones out where the guest takes them', () => {
  const rig = new NatRig();
  rig.introduce();
  const segment = new Uint8Array(24);
  segment[12] = 0x50;
  put16(segment, 0, 1234);
  const frame = packet(6, guest, outside, segment);
  assert.deepEqual(rig.send(frame), []);
  assert.equal(rig.segments.length, 0, 'its checksum is wrong');
  const partial = { flags: headerFlag.needsChecksum, gsoType: 0, headerBytes: 0, gsoBytes: 0 };
  rig.send(frame, { ...partial, checksumStart: 34, checksumOffset: 16 });
  assert.deepEqual(rig.segments, [segment]);
  assert.equal(rig.tcp.maxSegmentBytes(false), 1480);
  rig.accepted = [gsoType.tcp4];
  assert.equal(rig.tcp.maxSegmentBytes(false), 65_515);
  assert.equal(rig.tcp.maxSegmentBytes(true), 1460);
  const out = new Uint8Array(54 + 20 + 4000);
  out[54 + 12] = 0x50;
  assert.ok(rig.tcp.send(outside, guest, out, 1448));
  const [sent] = rig.frames;
  assert.equal(sent?.frame.length, 14 + 20 + 20 + 4000);
  assert.deepEqual(
    [sent?.header.gsoType, sent?.header.gsoBytes, sent?.header.checksumStart],
    [gsoType.tcp4, 1448, 34],
  );
});

test('frames wait while the card is full, and TCP goes on after them', () => {
  const rig = new NatRig();
  rig.introduce();
  rig.isFull = true;
  for (let i = 0; i < 1000; i++) rig.send(icmp(guest, gateway, [8, 0], echo()));
  const segment = new Uint8Array(54 + 20);
  assert.equal(rig.tcp.send(outside, guest, segment, 0), false);
  rig.isFull = false;
  assert.equal(rig.tcp.send(outside, guest, segment, 0), false, 'not before those that wait');
  rig.net.resume();
  assert.equal(rig.taken().length, 512);
  assert.equal(rig.tcpResumed, 1);
  assert.ok(rig.tcp.send(outside, guest, segment, 0));
});
