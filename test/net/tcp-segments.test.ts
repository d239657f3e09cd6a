import assert from 'node:assert/strict';
import test from 'node:test';
import { HEADROOM } from '#src/backend/net/tcp/tcp-environment.js';
import {
  flag,
  guestAddress,
  HandMade,
  type Heard,
  linuxOptions,
  plainOptions,
} from './hand-made.js';

const bytes = (count: number, value = 1) => new Uint8Array(count).fill(value);

/** As a host's stream gives data: with room before them. */
function read(count: number, value = 1): Uint8Array {
  const room = new Uint8Array(HEADROOM + 60 + count).fill(value);
  return room.subarray(HEADROOM + 60);
}

const kinds = (heard: Heard[]) => heard.map(({ flags }) => flags);
const spans = (heard: Heard[]) => heard.map(({ sequence, data }) => [sequence, data.length]);
const sack =
  (...edges: number[]) =>
  (guest: HandMade) => {
    const option = new Uint8Array(4 + 4 * edges.length);
    const view = new DataView(option.buffer);
    view.setUint32(0, 0x0101_0500 + 2 + 4 * edges.length);
    edges.forEach((edge, i) => {
      view.setUint32(4 + 4 * i, guest.ourInitial + edge);
    });
    return [...option];
  };

test('a SYN has its answer when the host is connected, and no option that it did not have', () => {
  const guest = new HandMade();
  assert.deepEqual(guest.say({ flags: flag.syn, sequence: 0, options: linuxOptions }), []);
  assert.deepEqual(guest.say({ flags: flag.syn, sequence: 0, options: linuxOptions }), []);
  assert.equal(guest.host.streams.length, 1);
  guest.stream.events.connected();
  const [answer] = guest.hear();
  assert.equal(answer!.flags, flag.syn | flag.ack);
  assert.equal(answer!.ack, 1);
  const stamps = [1, 1, 8, 10, ...answer!.options.subarray(4, 8), 0, 0, 0, 9];
  assert.deepEqual([...answer!.options], [...stamps, 2, 4, 5, 180, 1, 3, 3, 5, 1, 1, 4, 2]);

  const plain = new HandMade();
  plain.say({ flags: flag.syn, sequence: 0 });
  plain.stream.events.connected();
  assert.deepEqual([...plain.hear()[0]!.options], [2, 4, 5, 180, 1, 1, 1, 1, 1, 1, 1, 1]);
});

test('what a host refuses is reset, and what it does not reach is unreachable', () => {
  for (const [code, reasons, flags] of [
    ['ECONNREFUSED', [], [flag.rst | flag.ack]],
    ['EHOSTUNREACH', ['host'], []],
    ['ENETUNREACH', ['network'], []],
  ] as const) {
    const guest = new HandMade();
    guest.say({ flags: flag.syn, sequence: 0 });
    guest.stream.events.error(code);
    guest.stream.events.close();
    const heard = guest.hear();
    assert.deepEqual(kinds(heard), flags);
    if (heard.length > 0) assert.equal(heard[0]!.ack, 1);
    assert.deepEqual(guest.host.unreached, reasons);
    assert.equal(guest.host.nat.table.all.size, 0);
  }
  const guest = new HandMade();
  guest.host.refuses = true;
  assert.deepEqual(kinds(guest.say({ flags: flag.syn, sequence: 0 })), [flag.rst | flag.ack]);
});

test('segments of no connection are reset, resets and nonsense are not answered', () => {
  const guest = new HandMade();
  const [reset] = guest.say({ flags: flag.ack, ack: 77, data: bytes(3) });
  assert.deepEqual([reset!.flags, reset!.sequence], [flag.rst, 77]);
  const [other] = guest.say({ flags: flag.fin, data: bytes(3) });
  assert.deepEqual([other!.flags, other!.ack], [flag.rst | flag.ack, 5]);
  assert.deepEqual(guest.say({ flags: flag.rst }), []);
  for (const payload of [bytes(0), bytes(19), bytes(20, 0), bytes(24, 0xff)]) {
    guest.host.nat.segment({ source: guestAddress, destination: guestAddress, payload });
  }
  // Options that are longer than the header, and shorter than an option is.
  assert.deepEqual(guest.say({ flags: flag.syn, options: [2, 5, 0, 0] }), []);
  assert.deepEqual(guest.say({ flags: flag.syn, options: [1, 1, 2, 1] }), []);
  assert.deepEqual(guest.say({ flags: flag.syn, options: [1, 1, 1, 8] }), []);
});

test('the segments of a turn are acknowledged together', () => {
  const guest = HandMade.open();
  guest.sayNow({ data: bytes(1000) });
  guest.sayNow({ sequence: 1001, data: bytes(1000) });
  assert.deepEqual(
    guest.hear().map(({ flags, ack }) => [flags, ack]),
    [[flag.ack, 2001]],
  );
  assert.equal(guest.stream.receivedBytes, 2000);
});

test('a segment that comes early waits, and what comes twice is taken once', () => {
  const guest = HandMade.open();
  const data = Uint8Array.from({ length: 300 }, (_, i) => i);
  assert.equal(guest.say({ sequence: 201, data: data.subarray(200) })[0]!.ack, 1);
  assert.equal(guest.say({ sequence: 51, data: data.subarray(50, 150) })[0]!.ack, 1);
  assert.equal(guest.say({ sequence: 1, data: data.subarray(0, 100) }).at(-1)!.ack, 151);
  assert.equal(guest.say({ sequence: 101, data: data.subarray(100, 250) }).at(-1)!.ack, 301);
  assert.equal(guest.say({ sequence: 1, data: data.subarray(0, 100) })[0]!.ack, 301);
  assert.deepEqual(guest.stream.bytes, data);
});

test('the window closes while the host is slow, and its opening is told', () => {
  const guest = HandMade.open();
  guest.stream.roomBytes = 1;
  let sequence = 1;
  let last: Heard | undefined;
  for (let i = 0; i < 40; i++) {
    last = guest.say({ sequence, data: bytes(50_000, i) }).at(-1);
    sequence = last!.ack;
    if (last!.window === 0) break;
  }
  assert.equal(last!.window, 0);
  assert.ok(sequence > 1_000_000 && sequence < 1_200_000, `${sequence} bytes were taken`);
  assert.equal(guest.stream.receivedBytes, 50_000, 'the host has the first write only');
  const probe = guest.say({ sequence, data: bytes(1) });
  assert.deepEqual([probe[0]!.ack, probe[0]!.window], [sequence, 0], 'a probe is answered');
  const keepAlive = guest.say({ sequence: sequence - 1 });
  assert.equal(keepAlive[0]!.ack, sequence);
  guest.stream.roomBytes = Number.POSITIVE_INFINITY;
  guest.stream.events.drain();
  const [update] = guest.hear();
  assert.equal(update!.ack, sequence);
  assert.equal(update!.window << 5, 1 << 20);
  assert.equal(guest.stream.receivedBytes, sequence - 1);
});

test('a guest with no room is probed ever more rarely, and the host is paused', () => {
  const guest = HandMade.open();
  guest.say({ window: 0 });
  for (let i = 0; i < 17; i++) guest.stream.events.data(read(65_000));
  assert.ok(guest.stream.isPaused);
  assert.deepEqual(guest.hear(), []);
  const times: number[] = [];
  for (let i = 0; i < 4000; i++) {
    const heard = guest.wait(100);
    if (heard.length > 0) times.push(guest.time.nowMs);
    for (const { sequence, data } of heard) assert.deepEqual([sequence, data.length], [0, 0]);
    if (heard.length > 0) guest.say({ window: 0 });
  }
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  assert.ok(gaps.length > 5 && gaps.every((gap, i) => i === 0 || gap >= gaps[i - 1]! - 100));
  assert.ok(gaps.at(-1)! <= 60_100, 'a guest that answers is never given up');
  const heard = guest.say({ window: 0xffff });
  assert.equal(heard[0]!.sequence, 1);
  let ack = 1;
  for (let more = heard; more.length > 0; more = guest.say({ ack }))
    ack = more.at(-1)!.sequence + more.at(-1)!.data.length;
  assert.equal(ack, 17 * 65_000 + 1);
  assert.ok(!guest.stream.isPaused);
});

test('little is not sent into a small window before time is up', () => {
  const guest = HandMade.open();
  guest.stream.events.data(read(10_000));
  guest.hear();
  guest.say({ ack: 10_001, window: 3 });
  guest.stream.events.data(read(10_000));
  assert.deepEqual(guest.hear(), []);
  assert.deepEqual(spans(guest.wait(400)), [[10_001, 3 << 7]]);
});

test('large segments say how much each packet has; without such a card each is a packet', () => {
  const guest = HandMade.open();
  guest.stream.events.data(read(60_000));
  const [large] = guest.hear();
  assert.deepEqual([large!.data.length, large!.gsoBytes], [60_000, 1460]);
  guest.host.largest = 1480;
  guest.stream.events.data(read(3000));
  const small = guest.hear();
  assert.deepEqual(spans(small), [
    [60_001, 1460],
    [61_461, 1460],
    [62_921, 80],
  ]);
  assert.ok(small.every(({ gsoBytes }) => gsoBytes === 0));
});

test('three acknowledgments that repeat bring the lost segment at once', () => {
  const guest = HandMade.open();
  for (let i = 0; i < 5; i++) guest.stream.events.data(read(1460, i));
  assert.equal(guest.hear().length, 5);
  guest.say({ ack: 1461 });
  assert.deepEqual(guest.say({ ack: 1461 }), []);
  assert.deepEqual(guest.say({ ack: 1461 }), []);
  const again = guest.say({ ack: 1461 });
  assert.deepEqual(spans(again), [[1461, 1460]]);
  assert.ok(again[0]!.data.every((byte) => byte === 1));
  assert.deepEqual(spans(guest.say({ ack: 2921 })), [[2921, 1460]], 'the next hole');
  assert.deepEqual(guest.say({ ack: 7301 }), []);
});

test('what was sacked is not sent again', () => {
  const guest = HandMade.open();
  for (let i = 0; i < 10; i++) guest.stream.events.data(read(1000, i));
  guest.hear();
  const wrong = sack(1, 500, 20_000, 30_000, 9001, 8001)(guest);
  assert.deepEqual(guest.say({ options: wrong }), []);
  const options = sack(1001, 3001, 5001, 9001)(guest);
  assert.deepEqual(spans(guest.say({ options })), [
    [1, 1000],
    [3001, 2000],
  ]);
  assert.deepEqual(guest.say({ ack: 10_001 }), []);
  assert.deepEqual(guest.wait(100_000), []);
});

test('what is never acknowledged is sent again ever more rarely, and then given up', () => {
  const guest = HandMade.open();
  guest.stream.events.data(read(100));
  guest.hear();
  let count = 0;
  for (; guest.stream.happened.length === 0 && count < 100; ) {
    const heard = guest.wait(1000);
    count += heard.filter(({ data }) => data.length === 100).length;
  }
  assert.equal(count, 15);
  assert.ok(guest.time.nowMs > 100_000, 'at least 100 seconds [RFC 9293 3.8.3]');
  assert.deepEqual(guest.stream.happened, ['destroy']);
  assert.equal(guest.host.nat.table.all.size, 0);
});

test('RST counts where it is exactly next; elsewhere in the window it is asked about', () => {
  const guest = HandMade.open();
  assert.deepEqual(kinds(guest.say({ flags: flag.rst, sequence: 2 })), [flag.ack]);
  assert.deepEqual(guest.say({ flags: flag.rst, sequence: -5 }), []);
  assert.deepEqual(guest.say({ flags: flag.rst, sequence: 2_000_000 }), []);
  assert.deepEqual(kinds(guest.say({ flags: flag.syn, sequence: 0 })), [flag.ack]);
  assert.deepEqual(kinds(guest.say({ flags: flag.syn, sequence: 5 })), [flag.ack]);
  assert.deepEqual(kinds(guest.say({ ack: 100 })), [flag.ack], 'nothing like it was sent');
  assert.deepEqual(kinds(guest.say({ ack: -0x4000_0000 })), [flag.ack]);
  assert.deepEqual(guest.stream.happened, []);
  assert.deepEqual(guest.say({ flags: flag.rst, sequence: 1 }), []);
  assert.deepEqual(guest.stream.happened, ['destroy']);
});

test('an old timestamp is not believed', () => {
  const stamped = (value: number) => [1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 0];
  const guest = new HandMade();
  guest.say({ flags: flag.syn, sequence: 0, options: linuxOptions });
  guest.stream.events.connected();
  guest.hear();
  guest.say({ options: stamped(20) });
  guest.say({ options: stamped(21), data: bytes(5) });
  assert.equal(guest.say({ options: stamped(12), sequence: 6, data: bytes(5) })[0]!.ack, 6);
  assert.deepEqual(guest.say({ sequence: 6, data: bytes(5) }), [], 'without one at all');
  assert.equal(guest.say({ options: stamped(22), sequence: 6, data: bytes(5) })[0]!.ack, 11);
  assert.equal(guest.stream.receivedBytes, 10);
});

test('the guest closes first: the host may go on, and then it is over', () => {
  const guest = HandMade.open();
  assert.equal(guest.say({ flags: flag.fin | flag.ack, data: bytes(3) })[0]!.ack, 5);
  assert.deepEqual(guest.stream.happened, ['end']);
  guest.stream.events.data(read(10));
  assert.deepEqual(spans(guest.hear()), [[1, 10]]);
  guest.say({ sequence: 5, ack: 11 });
  guest.stream.events.end();
  const [fin] = guest.hear();
  assert.deepEqual([fin!.flags & flag.fin, fin!.sequence], [flag.fin, 11]);
  assert.deepEqual(guest.say({ sequence: 5, ack: 12 }), []);
  guest.stream.events.close();
  assert.equal(guest.host.nat.table.all.size, 0);
  assert.deepEqual(guest.stream.happened, ['end']);
});

test('the host closes first: the end is acknowledged again for a while', () => {
  const guest = HandMade.open();
  guest.stream.events.end();
  assert.deepEqual(kinds(guest.hear()), [flag.ack | flag.push | flag.fin]);
  guest.say({ ack: 2 });
  assert.equal(guest.say({ ack: 2, data: bytes(7) })[0]!.ack, 8, 'the guest may go on');
  assert.equal(guest.say({ ack: 2, sequence: 8, flags: flag.fin | flag.ack })[0]!.ack, 9);
  assert.deepEqual(guest.stream.happened, ['end']);
  guest.stream.events.close();
  assert.equal(guest.say({ ack: 2, sequence: 8, flags: flag.fin | flag.ack })[0]!.ack, 9);
  assert.equal(guest.host.nat.table.all.size, 1);
  guest.say({ flags: flag.rst, sequence: 9 });
  assert.equal(guest.host.nat.table.all.size, 1, 'nothing is left to be reset [RFC 1337]');
  guest.wait(5000);
  assert.equal(guest.host.nat.table.all.size, 0);
});

test('a new connection takes the place of one that is over', () => {
  const guest = HandMade.open();
  guest.stream.events.end();
  guest.hear();
  guest.say({ ack: 2, flags: flag.fin | flag.ack });
  guest.say({ flags: flag.syn, sequence: 70_000, options: plainOptions });
  assert.equal(guest.host.streams.length, 2);
  guest.stream.events.connected();
  assert.equal(guest.hear()[0]!.ack, 70_001);
});

test('both close at once', () => {
  const guest = HandMade.open();
  guest.stream.events.end();
  guest.hear();
  assert.equal(guest.say({ flags: flag.fin | flag.ack })[0]!.ack, 2);
  guest.say({ sequence: 2, ack: 2 });
  assert.deepEqual(guest.stream.happened, ['end']);
  guest.wait(5000);
  assert.equal(guest.host.nat.table.all.size, 0);
});

test('a stream that fails resets the guest’s connection', () => {
  const guest = HandMade.open();
  guest.stream.events.error('ECONNRESET');
  guest.stream.events.close();
  const [reset] = guest.hear();
  assert.deepEqual([reset!.flags, reset!.sequence], [flag.rst | flag.ack, 1]);
});

test('a card that is full gets all later, in order', () => {
  const guest = HandMade.open();
  guest.host.isFull = true;
  guest.stream.events.data(read(2000, 1));
  guest.stream.events.data(read(2000, 2));
  assert.equal(guest.say({ data: bytes(10) }).length, 0);
  guest.host.nat.resume();
  guest.host.isFull = false;
  guest.host.nat.resume();
  const heard = guest.hear();
  assert.deepEqual(spans(heard).slice(0, 2), [
    [1, 2000],
    [2001, 2000],
  ]);
  assert.equal(heard.at(-1)!.ack, 11);
});

test('a connection of the host: the guest accepts, refuses, or opens at the same time', () => {
  const guest = { address: guestAddress, port: 40_000 };
  const from = { address: Uint8Array.of(192, 0, 2, 1), port: 80 };
  const begin = () => {
    const made = new HandMade();
    made.host.nat.accept(made.host.open, guest, from);
    const [syn] = made.hear();
    assert.deepEqual([syn!.flags, syn!.options.length], [flag.syn, 24]);
    assert.ok(made.stream.isPaused);
    return made;
  };
  const accepted = begin();
  const answer = { flags: flag.syn | flag.ack, sequence: 0, options: plainOptions };
  assert.deepEqual(kinds(accepted.say(answer)), [flag.ack]);
  assert.ok(!accepted.stream.isPaused);
  accepted.stream.events.data(read(5));
  assert.deepEqual(spans(accepted.hear()), [[1, 5]]);

  const refused = begin();
  assert.deepEqual(kinds(refused.say({ ...answer, ack: 9 })), [flag.rst]);
  assert.deepEqual(refused.say({ flags: flag.rst | flag.ack, ack: 9 }), []);
  assert.deepEqual(refused.stream.happened, []);
  refused.say({ flags: flag.rst | flag.ack });
  assert.deepEqual(refused.stream.happened, ['destroy']);

  const both = begin();
  assert.deepEqual(kinds(both.say({ ...answer, flags: flag.syn })), [flag.syn | flag.ack]);
  both.say({ options: [] });
  assert.ok(!both.stream.isPaused);

  const silent = begin();
  const syns: number[] = [];
  for (let i = 0; i < 200 && silent.stream.happened.length === 0; i++)
    syns.push(...kinds(silent.wait(1000)).filter((flags) => flags === flag.syn));
  assert.deepEqual([syns.length, silent.stream.happened], [6, ['destroy']]);

  const twice = begin();
  twice.host.nat.accept(twice.host.open, guest, from);
  const port = new DataView(twice.host.sent[0]!.segment.buffer).getUint16(0);
  assert.ok(port >= 49_152, 'the port is taken');
});

test('one connection too many takes the place of the one that was idle for longest', () => {
  const guest = new HandMade();
  for (let i = 0; i < 1024; i++) {
    guest.say({ flags: flag.syn, sequence: 0, ports: [1000 + i, 80] });
    guest.wait(1);
  }
  guest.say({ flags: flag.syn, sequence: 0, ports: [1000, 80] });
  guest.say({ flags: flag.syn, sequence: 0, ports: [9000, 80] });
  assert.equal(guest.host.nat.table.all.size, 1024);
  assert.deepEqual(
    guest.host.streams.map(({ happened }) => happened.length),
    guest.host.streams.map((_, i) => (i === 1 ? 1 : 0)),
  );
});

test('what is idle for too long is reset', () => {
  const guest = HandMade.open();
  assert.deepEqual(guest.wait(2 * 3_600_000), []);
  assert.deepEqual(kinds(guest.wait(5 * 60_000)), [flag.rst | flag.ack]);
  assert.deepEqual(guest.stream.happened, ['destroy']);
});

test('closing resets everything on both sides', () => {
  const guest = HandMade.open();
  guest.host.nat.close();
  assert.deepEqual(kinds(guest.hear()), [flag.rst | flag.ack]);
  assert.deepEqual(guest.stream.happened, ['destroy']);
  assert.deepEqual(guest.say({ flags: flag.syn, sequence: 0, ports: [1, 2] }), []);
});
