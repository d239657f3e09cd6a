import assert from 'node:assert/strict';
import test from 'node:test';
import { formatAddress, isRoutable, isWithin, parseAddress } from '#src/backend/net/address.js';
import { fold, pseudoSum, put16 } from '#src/backend/net/checksum.js';
import type { NetBackend } from '#src/backend/net/guest-port.js';
import { GuestPort } from '#src/backend/net/guest-port.js';
import { parseV4 } from '#src/backend/net/ip.js';
import { isIntact } from '#src/backend/net/lan.js';
import { CapturedNet } from '#src/backend/net/pcap.js';
import { segments } from '#src/backend/net/segments.js';
import { lengthOf, MessageReader, Switch } from '#src/backend/net/switch.js';
import type { NetGuest } from '#src/virtio/net/net.js';
import { type PacketHeader, plainPacket } from '#src/virtio/net/packets.js';
import { gsoType, headerFlag } from '#src/virtio/net/registers.js';
import { Random, seed } from '../disk/random.js';
import { ip, join, packet } from './nat-rig.js';
import { joined } from './tcp-rig.js';

test('addresses are read as the host writes them', () => {
  for (const text of ['10.0.2.2', 'fec0:0:0:0:0:0:0:2']) {
    assert.equal(formatAddress(parseAddress(text)!), text);
  }
  assert.deepEqual(parseAddress('::1'), Uint8Array.of(...new Uint8Array(15), 1));
  assert.deepEqual(parseAddress('fe80::'), Uint8Array.of(0xfe, 0x80, ...new Uint8Array(14)));
  const wrong = ['', '1.2.3', '1.2.3.256', '1.2.3.4.5', 'a.b.c.d', ':', ':::', '1::2::3', 'g::1'];
  for (const text of [...wrong, '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8:9']) {
    assert.equal(parseAddress(text), undefined, text);
  }
  assert.ok(isWithin(ip('10.0.2.130'), ip('10.0.2.129'), 25));
  assert.ok(!isWithin(ip('10.0.2.127'), ip('10.0.2.129'), 25));
  assert.ok(isRoutable(parseAddress('2001:db8::1')!));
  assert.ok(!isRoutable(parseAddress('::ffff:0')!));
});

/** A TCP frame of so much data, and virtio's header that says that it stands for several. */
function large(bytes: number, gsoBytes: number): [Uint8Array, PacketHeader] {
  const segment = new Uint8Array(20 + bytes).map((_, i) => i);
  segment.set([0, 0, 0, 100], 4);
  segment[12] = 0x50;
  segment[13] = 0x19;
  const [from, to] = [ip('10.0.0.1'), ip('10.0.0.2')];
  put16(segment, 16, fold(pseudoSum(from, to, 6, segment.length)));
  const frame = packet(6, from, to, segment);
  const places = { headerBytes: 54, gsoBytes, checksumStart: 34, checksumOffset: 16 };
  return [frame, { ...places, flags: headerFlag.needsChecksum, gsoType: gsoType.tcp4 }];
}

test('a large frame is taken apart for a guest that takes none', () => {
  const frames: Uint8Array[] = [];
  const port = new GuestPort();
  port.connect({ receive: (frame) => frames.push(frame) > 0, accepts: () => false });
  const [frame, header] = large(3500, 1000);
  port.post(frame, header);
  const packets = frames.map((one) => parseV4(one.subarray(14))!);
  assert.ok(packets.every(isIntact));
  assert.deepEqual(
    packets.map(({ payload }) => payload.subarray(4, 8).at(-1)! + payload[6]! * 256),
    [100, 1100, 2100, 3100],
  );
  // FIN and PSH are those of the last.
  assert.deepEqual(
    packets.map(({ payload }) => payload[13]),
    [0x10, 0x10, 0x10, 0x19],
  );
  assert.deepEqual(joined(packets.map(({ payload }) => payload.subarray(20))), frame.subarray(54));
  assert.equal([...segments(frame, { ...header, gsoBytes: 1 })].length, 0);
});

test('what is captured is what tcpdump reads', () => {
  const written: Uint8Array[] = [];
  let isOpen = true;
  const sink = {
    write: (bytes: Uint8Array) => void written.push(bytes.slice()),
    close: () => {
      isOpen = false;
    },
  };
  let guest: NetGuest | undefined;
  const sent: Uint8Array[] = [];
  const net: NetBackend = {
    offloads: true,
    connect: (to) => {
      guest = to;
    },
    send: (frame) => void sent.push(frame),
    resume() {},
    close() {},
  };
  const capture = new CapturedNet(net, sink, () => 1_700_000_000_250.5);
  let hasRoom = true;
  capture.connect({ receive: () => hasRoom, accepts: () => true });
  capture.send(new Uint8Array(60).fill(1), plainPacket);
  const [frame, header] = large(10, 5);
  assert.equal(guest?.receive(frame, header), true);
  hasRoom = false;
  assert.equal(guest?.receive(frame, header), false);
  capture.close();
  const view = new DataView(joined(written).buffer);
  assert.equal(view.getUint32(0, true), 0xa1b23c4d);
  assert.equal(view.getUint32(20, true), 1);
  assert.equal(view.getUint32(24, true), 1_700_000_000);
  assert.equal(view.getUint32(28, true), 250_500_000);
  assert.equal(view.getUint32(32, true), 60);
  assert.equal(view.byteLength, 24 + 16 + 60 + 16 + frame.length);
  assert.ok(isIntact(parseV4(new Uint8Array(view.buffer, 24 + 16 + 60 + 16 + 14))!));
  assert.ok(!isOpen && sent.length === 1);
});

/** Virtio's header, then addresses of this last byte. */
const message = (to: number, from: number) =>
  join(new Uint8Array(12), [2, 0, 0, 0, 0, to], [2, 0, 0, 0, 0, from], [8, 0, 1, 2, 3]);

test('a switch learns who is where, and forgets who leaves', () => {
  const hub = new Switch();
  const got: string[] = [];
  const [a, b, c] = ['a', 'b', 'c'].map((name) => ({ deliver: () => void got.push(name) }));
  const forward = (from: typeof a, to: number, source: number) => {
    got.length = 0;
    hub.forward(from!, message(to, source));
    return got.join('');
  };
  for (const port of [a, b, c]) hub.join(port!);
  assert.equal(forward(a, 2, 1), 'bc');
  assert.equal(forward(b, 1, 2), 'a');
  assert.equal(forward(a, 2, 1), 'b');
  assert.equal(forward(a, 1, 1), '', 'it is there already');
  hub.leave(b!);
  assert.equal(forward(a, 2, 1), 'c');
  for (let i = 0; i < 5000; i++) {
    const flood = message(9, 9);
    flood.set([i >> 8, i & 255], 20);
    hub.forward(c!, flood);
  }
  assert.equal(forward(c, 1, 3), 'a', 'of too many addresses the first are forgotten');
});

test('messages come out of a stream as they went in, however it is cut', () => {
  const random = new Random(seed);
  for (let round = 0; round < 50; round++) {
    const messages = Array.from({ length: 20 }, () => random.bytes(1 + random.below(3000)));
    const stream = joined(messages.flatMap((one) => [lengthOf(one), one]));
    const reader = new MessageReader();
    const found: Uint8Array[] = [];
    for (let at = 0; at < stream.length; ) {
      const end = at + 1 + random.below(4000);
      assert.ok(reader.push(stream.subarray(at, end), (one) => void found.push(one)));
      at = end;
    }
    assert.deepEqual(found, messages);
  }
  const ignore = () => {};
  assert.equal(new MessageReader().push(Uint8Array.of(0, 0, 0, 0), ignore), false);
  assert.equal(new MessageReader().push(Uint8Array.of(0, 0, 0, 0x80), ignore), false);
});
