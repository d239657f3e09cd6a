import assert from 'node:assert/strict';
import test from 'node:test';
import { HEADROOM } from '#src/backend/net/tcp/tcp-environment.js';
import { Random, roundsOf, seed } from '../disk/random.js';
import { type Sent, TestHost, type TestStream, VirtualTime } from './tcp-rig.js';

const here = { address: Uint8Array.of(10, 0, 2, 2), port: 40_000 };
const there = { address: Uint8Array.of(10, 0, 2, 15), port: 80 };

interface Link {
  readonly loss: number;
  readonly duplicates: number;
  /** Milliseconds that a segment may take more than another. */
  readonly jitterMs: number;
  readonly isSlow: boolean;
}

function randomBytes(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.below(256);
  return bytes;
}

/** As the guest's card would do, and more often than it would. */
function packetsOf({ source, destination, segment, gsoBytes }: Sent, random: Random): Sent[] {
  const headerBytes = (segment[12]! >>> 4) * 4;
  if (gsoBytes === 0 || random.next() < 0.5) return [{ source, destination, segment, gsoBytes }];
  const packets: Sent[] = [];
  const view = new DataView(segment.buffer);
  for (let at = headerBytes; at < segment.length; at += gsoBytes) {
    const packet = new Uint8Array(headerBytes + Math.min(gsoBytes, segment.length - at));
    packet.set(segment.subarray(0, headerBytes));
    packet.set(segment.subarray(at, at + gsoBytes), headerBytes);
    new DataView(packet.buffer).setUint32(4, view.getUint32(4) + at - headerBytes);
    if (at + gsoBytes < segment.length) packet[13]! &= ~9;
    packets.push({ source, destination, segment: packet, gsoBytes: 0 });
  }
  return packets;
}

/** Two machines, each the other's guest, over a link that is not kind. */
class Pair {
  readonly time = new VirtualTime();
  readonly near: TestHost;
  readonly far: TestHost;
  segments = 0;

  constructor(
    private readonly random: Random,
    private readonly link: Link,
  ) {
    this.near = new TestHost(this.time, random);
    this.far = new TestHost(this.time, random);
    this.near.onSend = (sent) => this.carry(sent, this.far);
    this.far.onSend = (sent) => this.carry(sent, this.near);
  }

  private carry(sent: Sent, to: TestHost): void {
    const { random, link } = this;
    for (const packet of packetsOf(sent, random)) {
      this.segments++;
      for (let copies = random.next() < link.duplicates ? 2 : 1; copies > 0; copies--) {
        if (random.next() < link.loss) continue;
        const { source, destination, segment } = packet;
        const arrive = () => to.nat.segment({ source, destination, payload: segment.slice() });
        this.time.after(0.1 + random.next() * link.jitterMs, arrive);
      }
    }
  }

  /** The card of one of them is full now and then. */
  fillCards(): void {
    const { random, time } = this;
    const host = random.pick([this.near, this.far]);
    host.isFull = true;
    time.after(random.below(50), () => {
      host.isFull = false;
      host.nat.resume();
      if (time.nowMs < 20_000) time.after(random.below(200), () => this.fillCards());
    });
  }
}

/** Lets a stream say all of `data` and then end, in pieces, when it is not paused; and read slowly. */
function converse(pair: Pair, random: Random, stream: TestStream, data: Uint8Array): void {
  const { time } = pair;
  const isSlow = random.next() < 0.5;
  if (isSlow) stream.roomBytes = 1 + random.below(200_000);
  let at = 0;
  const speak = () => {
    if (!stream.isPaused) {
      const size = random.pick([1, 10, 1000, 5000, 65_280]);
      const bytes = data.subarray(at, at + size);
      at += bytes.length;
      // The bytes before it are free, and something else is behind.
      const room = new Uint8Array(HEADROOM + 60 + bytes.length + random.pick([0, 100_000]));
      room.set(bytes, HEADROOM + 60);
      if (bytes.length > 0)
        stream.events.data(room.subarray(HEADROOM + 60, HEADROOM + 60 + bytes.length));
      if (at === data.length) {
        stream.events.end();
        return;
      }
    }
    time.after(random.next() * 2, speak);
  };
  const listen = () => {
    stream.drain();
    if (stream.happened.length === 0) time.after(isSlow ? random.below(300) : 1, listen);
  };
  time.after(1, speak);
  time.after(1, listen);
}

function transfer(start: number, link: Link, change: (pair: Pair) => void = () => {}): Pair {
  const random = new Random(start);
  const pair = new Pair(random, link);
  change(pair);
  const { near, far, time } = pair;
  const up = randomBytes(random, random.below(400_000));
  const down = randomBytes(random, random.below(400_000));
  near.nat.accept(near.open, there, here);
  const [nearStream] = near.streams as [TestStream];
  assert.ok(nearStream.isPaused, 'nothing is read before the guest has accepted');
  time.run(60_000, () => far.streams.length > 0);
  const [farStream] = far.streams as [TestStream];
  farStream.events.connected();
  converse(pair, random, nearStream, up);
  converse(pair, random, farStream, down);
  if (link.isSlow) pair.fillCards();
  const name = `seed ${start}`;
  time.run(1e9, () => nearStream.happened.length > 0 && farStream.happened.length > 0);
  assert.deepEqual(nearStream.happened, ['end'], name);
  assert.deepEqual(farStream.happened, ['end'], name);
  assert.ok(Buffer.from(farStream.bytes).equals(up), `${name}: the guest's data are not exact`);
  assert.ok(Buffer.from(nearStream.bytes).equals(down), `${name}: the host's data are not exact`);
  nearStream.events.close();
  farStream.events.close();
  time.run(time.nowMs + 600_000);
  assert.deepEqual([near.nat.table.all.size, far.nat.table.all.size], [0, 0], name);
  return pair;
}

const quiet: Link = { loss: 0, duplicates: 0, jitterMs: 0, isSlow: false };
const rounds = roundsOf(12);

test('data go both ways over a quiet link, and nothing is sent twice', () => {
  for (let i = 0; i < rounds; i++) transfer(seed * 1000 + i, quiet);
});

test('data are exact over a link that loses, reorders and repeats', () => {
  for (let i = 0; i < rounds; i++)
    transfer(seed * 2000 + i, { loss: 0.05, duplicates: 0.05, jitterMs: 3, isSlow: false });
});

test('data are exact when cards are full now and then', () => {
  for (let i = 0; i < rounds; i++)
    transfer(seed * 3000 + i, { loss: 0.01, duplicates: 0, jitterMs: 0, isSlow: true });
});

test('data are exact in small packets, and over IPv6 sizes', () => {
  for (let i = 0; i < rounds; i++) {
    const link = { loss: 0.02, duplicates: 0.02, jitterMs: 1, isSlow: false };
    transfer(seed * 4000 + i, link, ({ near, far }) => {
      near.largest = 1460;
      far.mtu = 600;
    });
  }
});
