import assert from 'node:assert/strict';
import test from 'node:test';
import { HEADROOM } from '#src/backend/net/tcp/tcp-environment.js';
import { Random, roundsOf, seed } from '../disk/random.js';
import { flag, guestAddress, HandMade, peerAddress, plainOptions, segment } from './hand-made.js';

const steps = 3000;
const rounds = roundsOf(15);

/** A number near those that matter. */
const near = (random: Random, ...places: number[]) =>
  random.pick(places) + random.pick([0, 0, 0, 1, -1, 2, 1460, -1460, 65_535, 1 << 20, 1 << 31]);

function options(random: Random): number[] {
  const sack = () => [5, 18, ...Array.from({ length: 16 }, () => random.below(256))];
  const some = random.pick([
    () => [],
    () => [],
    () => [...plainOptions],
    sack,
    () => [1, 1, 8, 10, ...Array.from({ length: 8 }, () => random.below(256))],
    () => Array.from({ length: random.below(41) }, () => random.below(256)),
  ])();
  while (some.length % 4 !== 0) some.push(random.below(2));
  return some;
}

/** One step of a guest, a host or a card that do as they like. */
function step(guest: HandMade, random: Random, told: { sequence: number; ack: number }): void {
  const { host, time } = guest;
  const stream = random.pick(host.streams);
  const ports: [number, number] = [40_000 + random.below(4), 80 + random.below(2)];
  switch (random.below(12)) {
    case 0:
      guest.sayNow({ flags: flag.syn, sequence: random.below(3), options: options(random), ports });
      return;
    case 1: {
      const address = random.pick([guestAddress, peerAddress]);
      host.nat.accept(host.open, { address, port: 40_000 }, { address: peerAddress, port: 80 });
      return;
    }
    case 2:
      stream?.events.connected();
      return;
    case 3: {
      const room = new Uint8Array(HEADROOM + 60 + random.below(65_000));
      if (stream?.happened.length === 0) stream.events.data(room.subarray(HEADROOM + 60));
      return;
    }
    case 4:
      if (stream !== undefined) stream.roomBytes = random.pick([1, 100_000, 1e9]);
      stream?.drain();
      return;
    case 5:
      if (random.below(8) > 0) return;
      random.pick([
        () => stream?.events.end(),
        () => stream?.events.error(random.pick(['ECONNRESET', 'EHOSTUNREACH', 'ETIMEDOUT', ''])),
        () => stream?.events.close(),
      ])();
      return;
    case 6:
      time.run(time.nowMs + random.pick([1, 300, 1000, 70_000]));
      return;
    case 7:
      host.isFull = random.below(2) === 0;
      if (!host.isFull) host.nat.resume();
      return;
    case 8: {
      const payload = Uint8Array.from({ length: random.below(80) }, () => random.below(256));
      host.nat.segment({ source: guestAddress, destination: peerAddress, payload });
      return;
    }
    default: {
      const flags = random.pick([16, 16, 16, 24, 17, 20, 4, 2, 18, 1, 0, 63, random.below(256)]);
      const payload = segment(guest.initial, guest.ourInitial, {
        flags,
        sequence: near(random, told.sequence, told.sequence, 0, 1),
        ack: near(random, told.ack, told.ack, 0, 1),
        window: random.pick([0, 1, 0xffff, random.below(0x1_0000)]),
        options: options(random),
        data: new Uint8Array(random.pick([0, 0, 1, 1, 100, 1460, 65_000])),
        ports,
      });
      host.nat.segment({ source: guestAddress, destination: peerAddress, payload });
    }
  }
}

test('no guest, host or card makes TCP throw, hang or grow', () => {
  for (let round = 0; round < rounds; round++) {
    const random = new Random(seed * 5000 + round);
    const guest = new HandMade();
    const told = { sequence: 1, ack: 1 };
    try {
      for (let i = 0; i < steps; i++) {
        step(guest, random, told);
        const heard = guest.hear();
        assert.ok(heard.length < 3000, `${heard.length} segments of one step`);
        for (const { sequence, ack, data } of heard) {
          told.ack = sequence + data.length;
          told.sequence = ack;
        }
        for (const stream of guest.host.streams) stream.received.length = 0;
        if (guest.host.streams.length > 50) guest.host.streams.splice(0, 10);
      }
      const { nat } = guest.host;
      assert.ok(nat.table.all.size < 100);
      guest.host.isFull = false;
      nat.resume();
      nat.close();
      assert.equal(nat.table.all.size, 0);
    } catch (error) {
      throw new Error(`seed ${seed}, round ${round}`, { cause: error });
    }
  }
});

test('tiny segments, early or not taken by the host, cost little', () => {
  const guest = HandMade.open();
  guest.stream.roomBytes = 1;
  const payloads = (sequence: number) =>
    guest.sayNow({ sequence, data: Uint8Array.of(1), options: [1, 1, 1, 1] });
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 100_000; i++) payloads(i + 1);
  for (let i = 0; i < 100_000; i++) payloads(110_000 + 2 * i);
  guest.hear();
  global.gc?.();
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 64 << 20, `${grown} bytes for 200,000 segments of one byte`);
});
