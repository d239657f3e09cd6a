import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { deviceStatus, feature } from '../core/registers.js';
import { LEGACY, MockPci, pciIn } from '../pci/mock-pci.test.js';
import { legacy } from '../pci/registers.js';
import { VirtioPci } from '../pci/virtio-pci.js';
import { type Piece, readable, SplitDriver, writable } from '../queue/mock-driver.test.js';
import { type NetGuest, type NetLink, type NetOptions, VirtioNet } from './net.js';
import { type PacketHeader, plainPacket } from './packets.js';
import {
  control,
  gsoType,
  headerFlag,
  netConfig,
  netFeature,
  netRequires,
  netStatus,
  rxMode,
} from './registers.js';

const mac = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const broadcast = new Uint8Array(6).fill(0xff);
const F = netFeature;

class TestLink implements NetLink {
  offloads = true;
  sent: { frame: Uint8Array; header: PacketHeader }[] = [];
  resumed = 0;
  guest!: NetGuest;

  send(frame: Uint8Array, header: PacketHeader): void {
    this.sent.push({ frame, header });
  }

  connect(guest: NetGuest): void {
    this.guest = guest;
  }

  resume(): void {
    this.resumed++;
  }
}

conform(
  test,
  (ctx) => new VirtioPci(new VirtioNet(new TestLink(), { mac, pairs: 2, mtu: 1500 }), pciIn(ctx)),
  {
    host: ({ core }, random) => {
      const net = core.type as VirtioNet;
      net.setLink(random() % 2 === 0);
      net.announce();
      net.receive(new Uint8Array(60).fill(0xff));
    },
  },
);

function card(features: readonly number[], options: Partial<NetOptions> = {}) {
  const link = new TestLink();
  const type = new VirtioNet(link, { mac, ...options });
  const pci = new MockPci(type).start(features);
  return { link, type, pci, ...client(pci) };
}

function client(pci: MockPci<unknown>) {
  const { ram } = pci;
  const places = new Map<string, Piece[]>();
  const offer = (queue: number, ...bytes: number[]) => {
    const pieces = bytes.map((count) => writable(ram.allocate(count), count));
    places.set(`${queue} ${pci.send(queue, pieces)}`, pieces);
  };
  /** What the driver sees in one used buffer. */
  const got = (queue = 0): Uint8Array | undefined => {
    const used = pci.drivers[queue]!.take();
    if (used === undefined) return undefined;
    const all = places
      .get(`${queue} ${used.id}`)!
      .flatMap(({ gpa, length }) => [...ram.slice(gpa, length)]);
    return Uint8Array.from(all.slice(0, used.written));
  };
  const send = (frame: Uint8Array, header: readonly number[] = [], queue = 1) => {
    const head = new Uint8Array(12);
    head.set(header);
    const bytes = [...head, ...frame];
    const at = ram.place(Uint8Array.from(bytes));
    pci.send(queue, [readable(at, 5), readable(at + 5, bytes.length - 5)]);
    pci.drivers[queue]!.take();
  };
  const command = (queue: number, ...bytes: number[]) => {
    const ack = ram.allocate(1);
    ram.bytes[ack] = 0xee;
    pci.send(queue, [readable(ram.place(Uint8Array.from(bytes)), bytes.length), writable(ack, 1)]);
    pci.drivers[queue]!.take();
    return ram.bytes[ack];
  };
  return { offer, got, send, command };
}

const frameTo = (to: Uint8Array, length = 60, ...rest: number[]) => {
  const frame = Uint8Array.from({ length }, (_, i) => i & 0xff);
  frame.set(to);
  frame.set(rest, 12);
  return frame;
};
const ipv4 = (from: number, to: number) =>
  frameTo(
    mac,
    60,
    8,
    0,
    0x45,
    0,
    0,
    46,
    0,
    0,
    0,
    0,
    64,
    6,
    0,
    0,
    10,
    0,
    0,
    1,
    10,
    0,
    0,
    2,
    from,
    0,
    to,
    0,
  );

// requirement: 5.1.6.3.2-2 5.1.6.4.1-1
test('net: frames go out and come in behind a header of 12 bytes', () => {
  const { link, send, offer, got } = card([]);
  const frame = frameTo(broadcast);
  send(frame);
  assert.deepEqual(link.sent, [{ frame, header: plainPacket }]);
  assert.equal(link.guest.receive(frame), false, 'no room');
  offer(0, 12, 100);
  assert.ok(link.resumed > 0);
  assert.equal(link.guest.receive(frame), true);
  assert.deepEqual(got(), Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, ...frame]));
  offer(0, 40);
  assert.equal(link.guest.receive(frame), true, 'too large for the buffer: dropped');
  assert.equal(got(), undefined);
});

// requirement: 5.1.4.1-1 5.1.4.1-2
test('net: configuration space has address, link, pairs and MTU', () => {
  const { pci, type } = card([F.status, F.mtu], { pairs: 3, mtu: 9000 });
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((i) => pci.config(netConfig.mac + i, 1)),
    [...mac],
  );
  assert.equal(pci.config(netConfig.maxPairs, 2), 3);
  assert.equal(pci.config(netConfig.mtu, 2), 9000);
  assert.equal(pci.config(netConfig.status, 2), netStatus.linkUp);
  type.setLink(false);
  assert.equal(pci.config(netConfig.status, 2), 0);
  assert.equal(pci.isr(), 2);
});

test('net: a cable that is out carries nothing either way', () => {
  const { link, type, send, offer, got } = card([]);
  offer(0, 2000);
  type.setLink(false);
  send(frameTo(broadcast));
  assert.equal(link.guest.receive(frameTo(mac)), true);
  assert.deepEqual([link.sent.length, got()], [0, undefined]);
});

// requirement: 5.1.6.3.2-1 5.1.6.4.1-2 5.1.6.4.1-3
test('net: a frame is spread over merged buffers, all but the last of them full', () => {
  const { link, offer, got } = card([F.mergeable]);
  const frame = frameTo(mac, 250);
  offer(0, 100);
  offer(0, 60, 40);
  assert.equal(link.guest.receive(frame), false, 'not enough, and nothing is used');
  assert.equal(got(), undefined);
  offer(0, 100);
  assert.equal(link.guest.receive(frame), true);
  const parts = [got()!, got()!, got()!];
  assert.deepEqual(
    parts.map(({ length }) => length),
    [100, 100, 62],
  );
  assert.equal(parts[0]![10], 3);
  assert.deepEqual(parts.flatMap((part) => [...part]).slice(12), [...frame]);
  assert.equal(got(), undefined);
});

test('net: a feature without what it needs is not agreed to', () => {
  for (const [bit, ...needs] of netRequires) {
    const pci = new MockPci(new VirtioNet(new TestLink(), { mac, pairs: 2 }));
    assert.equal(pci.negotiate([feature.version1, bit]), false, `${bit} alone`);
    const rest = needs.flatMap((need) => netRequires.find(([first]) => first === need)?.[1] ?? []);
    assert.equal(pci.negotiate([feature.version1, bit, needs[0]!, ...rest]), true, `${bit}`);
  }
});

// requirement: 5.1.6.2.2-1 5.1.6.2.2-2 5.1.6.2.2-3 5.1.6.2.2-4
test('net: partial checksums and large frames go out as negotiated, and bad ones nowhere', () => {
  const { link, send } = card([F.checksum, F.hostTso4, F.hostUso]);
  const frame = frameTo(mac, 3000);
  const head = (flags: number, gso: number, size = 1000, start = 34, offset = 16) => [
    ...[flags, gso, 54, 0, size & 0xff, size >> 8, start & 0xff, start >> 8, offset, 0],
  ];
  send(frame, head(1, gsoType.tcp4));
  assert.deepEqual(link.sent.pop()?.header, {
    flags: headerFlag.needsChecksum,
    gsoType: gsoType.tcp4,
    headerBytes: 54,
    gsoBytes: 1000,
    checksumStart: 34,
    checksumOffset: 16,
  });
  send(frame, head(1, gsoType.udp));
  assert.equal(link.sent.pop()?.header.gsoType, gsoType.udp);
  send(frame, head(0xf0, gsoType.none, 0, 9999));
  assert.deepEqual(link.sent.pop()?.header, plainPacket, 'unknown flags, unused fields');
  send(frame, head(1, gsoType.tcp6));
  send(frame, head(1, 3));
  send(frame, head(0, gsoType.tcp4));
  send(frame, head(1, gsoType.tcp4, 0));
  send(frame, head(1, gsoType.none, 0, 2990));
  assert.equal(link.sent.length, 0);
  const without = card([]);
  without.send(frame, head(1, gsoType.none));
  assert.deepEqual(without.link.sent.pop()?.header, plainPacket);
});

// requirement: 5.1.6.4.1-5 5.1.6.4.1-12
test('net: a guest without checksum offload gets whole checksums and no large frames', () => {
  const { link, offer, got } = card([F.mergeable]);
  offer(0, 4000);
  const frame = ipv4(1, 2);
  const header = {
    ...plainPacket,
    flags: headerFlag.needsChecksum,
    checksumStart: 34,
    checksumOffset: 16,
  };
  assert.equal(link.guest.receive(frame.slice(), header), true);
  const seen = got()!;
  assert.deepEqual([...seen.subarray(0, 10)], Array(10).fill(0));
  const sum = (bytes: Uint8Array) => {
    let all = 0;
    for (let i = 0; i < bytes.length; i += 2) all += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    while (all > 0xffff) all = (all & 0xffff) + (all >>> 16);
    return all;
  };
  // The field held part of the sum: with it and without it the whole comes to all ones.
  const wanted = frame.slice(34);
  const field = seen.slice(12 + 34 + 16, 12 + 34 + 18);
  assert.equal((sum(wanted) + sum(field)) % 0xffff, 0);
  offer(0, 4000);
  assert.equal(link.guest.accepts(gsoType.tcp4), false);
  assert.equal(
    link.guest.receive(frameTo(mac, 3000), { ...header, gsoType: gsoType.tcp4, gsoBytes: 1 }),
    true,
  );
  assert.equal(got(), undefined);
});

// requirement: 5.1.6.4.1-6 5.1.6.4.1-8 5.1.6.4.1-9 5.1.6.4.1-10 5.1.6.4.1-11 5.1.6.4.1-13
// requirement: 5.1.6.4.1-15 5.1.6.4.1-16
test('net: a guest with offloads gets partial checksums and large frames, until it disables them', () => {
  const { link, offer, got, command } = card([
    ...[F.mergeable, F.guestChecksum, F.guestTso4, F.guestUso4, F.control, F.controlGuestOffloads],
  ]);
  const header: PacketHeader = {
    ...{ flags: headerFlag.needsChecksum, gsoType: gsoType.tcp4, headerBytes: 54, gsoBytes: 1448 },
    ...{ checksumStart: 34, checksumOffset: 16 },
  };
  offer(0, 4000);
  assert.equal(link.guest.receive(frameTo(mac, 3000), header), true);
  assert.deepEqual([...got()!.subarray(0, 12)], [1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0, 1, 0]);
  assert.equal(link.guest.accepts(gsoType.udp), true);
  assert.equal(link.guest.accepts(gsoType.tcp6), false);
  assert.equal(link.guest.accepts(gsoType.tcp4 | gsoType.ecn), false);
  for (const bad of [{ flags: 0 }, { gsoBytes: 0 }, { checksumStart: 2999 }]) {
    offer(0, 4000);
    assert.equal(link.guest.receive(frameTo(mac, 3000), { ...header, ...bad }), true);
    assert.equal(got(), undefined, 'the link says what cannot be');
  }
  const valid = { ...plainPacket, flags: headerFlag.dataValid | 4 };
  assert.equal(link.guest.receive(frameTo(mac, 100), valid), true);
  assert.equal(got()![0], headerFlag.dataValid);
  assert.equal(command(2, control.guestOffloads, 0, 2, 0, 0, 0, 0, 0, 0, 0), 0);
  assert.equal(link.guest.accepts(gsoType.tcp4), false);
  assert.equal(
    command(2, control.guestOffloads, 0, 0, 1, 0, 0, 0, 0, 0, 0),
    1,
    'TSO6 was not negotiated',
  );
  assert.equal(command(2, control.guestOffloads, 0, 0x82, 0, 0, 0, 0, 0, 0, 0), 0);
  assert.equal(link.guest.accepts(gsoType.tcp4), true);
});

// requirement: 5.1.4.1-3 5.1.4.1-4 5.1.4.1-5
test('net: frames over the MTU do not come in', () => {
  const { link, pci, offer, got, send } = card([F.mtu], { mtu: 1500 });
  offer(0, 4000);
  assert.equal(link.guest.receive(frameTo(mac, 1519)), true);
  assert.equal(got(), undefined);
  assert.equal(link.guest.receive(frameTo(mac, 1514)), true);
  assert.equal(got()?.length, 1526);
  offer(0, 4000);
  assert.equal(link.guest.receive(frameTo(mac, 1518, 0x81, 0)), true);
  assert.equal(got()?.length, 1530, 'a VLAN’s tag does not count');
  const whole = frameTo(broadcast, 1514);
  send(whole);
  assert.deepEqual(link.sent.pop()?.frame, whole);
  const before = pci.config(netConfig.mtu, 2);
  pci.setConfig(netConfig.mtu, 2, 9000);
  assert.deepEqual([before, pci.config(netConfig.mtu, 2)], [1500, 1500]);
});

const filters = [F.control, F.controlRx, F.controlRxExtra, F.controlVlan, F.controlMac, F.mac];

// requirement: 5.1.6.5.1.1-1 5.1.6.5.1.1-2 5.1.6.5.2.1-2
test('net: receive modes and address tables filter', () => {
  const { link, offer, got, command } = card(filters);
  const other = Uint8Array.of(0x52, 0x54, 0, 9, 9, 9);
  const group = Uint8Array.of(1, 0, 0x5e, 0, 0, 1);
  const comes = (to: Uint8Array) => {
    offer(0, 200);
    assert.equal(link.guest.receive(frameTo(to)), true);
    return got() !== undefined;
  };
  const seen = () => [mac, other, group, broadcast].map(comes);
  assert.deepEqual(seen(), [true, true, true, true], 'promiscuous until told otherwise');
  assert.equal(command(2, control.rx, rxMode.promiscuous, 0), 0);
  assert.deepEqual(seen(), [true, false, false, true]);
  assert.equal(command(2, control.rx, rxMode.allMulti, 1), 0);
  assert.deepEqual(seen(), [true, false, true, true]);
  assert.equal(command(2, control.rx, rxMode.noMulti, 1), 0);
  assert.equal(command(2, control.rx, rxMode.noBroadcast, 1), 0);
  assert.equal(command(2, control.rx, rxMode.allUni, 1), 0);
  assert.deepEqual(seen(), [true, true, false, false]);
  assert.equal(command(2, control.rx, rxMode.noUni, 1), 0);
  assert.deepEqual(seen(), [false, false, false, false]);
  for (let mode = 1; mode < 6; mode++) command(2, control.rx, mode, 0);
  const table = [1, 0, 0, 0, ...other, 1, 0, 0, 0, ...group];
  assert.equal(command(2, control.mac, 0, ...table), 0);
  assert.deepEqual(seen(), [true, true, true, true]);
  assert.equal(command(2, control.mac, 0, ...table.slice(0, -1)), 1);
  assert.equal(command(2, control.mac, 0, 0xff, 0xff, 0xff, 0xff), 1);
  assert.equal(command(2, control.mac, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
  assert.deepEqual(seen(), [true, false, false, true]);
  assert.equal(command(2, control.rx, 9, 0), 1);
  assert.equal(command(2, control.rx, 0), 1);
  assert.equal(command(2, 77, 0), 1);
});

// requirement: 5.1.6.5.2.1-1 5.1.6.5.2.1-3
test('net: the address can be set, and a reset brings the first one and empty tables back', () => {
  const { pci, link, offer, got, command } = card(filters);
  const other = [2, 0, 0, 0, 0, 7];
  assert.equal(command(2, control.mac, 1, ...other), 0);
  assert.equal(pci.config(5, 1), 7);
  assert.equal(command(2, control.mac, 1, 1, 2, 3), 1);
  command(2, control.mac, 0, 1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0);
  pci.start(filters);
  assert.equal(pci.config(5, 1), mac[5]);
  command(2, control.rx, rxMode.promiscuous, 0);
  offer(0, 200);
  link.guest.receive(frameTo(Uint8Array.of(2, 2, 2, 2, 2, 2)));
  assert.equal(got(), undefined);
});

// requirement: 5.1.6.5.3.1-1 5.1.6.5.3.1-2
test('net: tagged frames come in for listed VLANs only, or all without the feature', () => {
  const { link, offer, got, command } = card(filters);
  const tagged = (vlan: number) => frameTo(mac, 60, 0x81, 0, vlan >> 8, vlan & 0xff);
  offer(0, 200);
  link.guest.receive(tagged(300));
  assert.equal(got(), undefined);
  assert.equal(command(2, control.vlan, 0, 300 & 0xff, 1), 0);
  link.guest.receive(tagged(300));
  assert.ok(got() !== undefined);
  assert.equal(command(2, control.vlan, 1, 300 & 0xff, 1), 0);
  assert.equal(command(2, control.vlan, 0, 0, 0x10), 1);
  offer(0, 200);
  link.guest.receive(tagged(300));
  assert.equal(got(), undefined);
  const all = card([F.control, F.controlRx]);
  all.offer(0, 200);
  all.link.guest.receive(tagged(300));
  assert.ok(all.got() !== undefined);
});

// requirement: 5.1.6.5.4.2-1
test('net: an announcement is asked for until the driver acknowledges it', () => {
  const { pci, type, command } = card([F.status, F.control, F.guestAnnounce]);
  type.announce();
  assert.equal(pci.config(netConfig.status, 2), netStatus.linkUp | netStatus.announce);
  assert.equal(pci.isr(), 2);
  assert.equal(command(2, control.announce, 0), 0);
  assert.equal(pci.config(netConfig.status, 2), netStatus.linkUp);
  const without = card([F.status]);
  without.type.announce();
  assert.equal(without.pci.config(netConfig.status, 2), netStatus.linkUp);
});

// requirement: 5.1.6.5.6.2-1 5.1.6.5.6.2-2 5.1.6.5.6.2-4
test('net: with several pairs a flow comes back on the pair it went out on', () => {
  const features = [F.control, F.multiQueue];
  const { pci, link, offer, got, send, command } = card(features, { pairs: 4 });
  for (const queue of [0, 2, 4, 6]) offer(queue, 200);
  send(ipv4(1, 2), [], 5);
  link.guest.receive(ipv4(2, 1));
  assert.ok(got(0), 'one pair until the driver asks for more');
  for (const pairs of [0, 5]) assert.equal(command(8, control.multiQueue, 0, pairs, 0), 1);
  assert.equal(command(8, control.multiQueue, 0, 3, 0), 0);
  send(ipv4(1, 2), [], 5);
  link.guest.receive(ipv4(2, 1));
  assert.ok(got(4));
  send(ipv4(1, 9), [], 7);
  offer(0, 200);
  link.guest.receive(ipv4(9, 1));
  assert.equal(got(6), undefined, 'not one of those in use');
  assert.equal(command(8, control.multiQueue, 0, 1, 0), 0);
  offer(0, 200);
  link.guest.receive(ipv4(2, 1));
  assert.ok(got(0));
  pci.start(features);
  offer(4, 200);
  link.guest.receive(ipv4(2, 1));
  assert.equal(got(4), undefined, 'one pair after a reset');
});

// requirement: 5.1.6.5.6.2-3
test('net: a receive queue that is being reset is left out; with none the frame is dropped', () => {
  const { pci, link, offer, got, send, command } = card(
    [F.control, F.multiQueue, feature.ringReset],
    {
      pairs: 2,
    },
  );
  command(4, control.multiQueue, 0, 2, 0);
  offer(0, 200);
  send(ipv4(1, 2), [], 3);
  pci.device.core.resetQueue(2);
  link.guest.receive(ipv4(2, 1));
  assert.ok(got(0));
  pci.device.core.resetQueue(0);
  assert.equal(link.guest.receive(ipv4(2, 1)), true);
});

test('net: a command without room for its status breaks the control queue', () => {
  const { pci } = card([F.control]);
  pci.send(2, [readable(0, 2)]);
  assert.ok(pci.status & deviceStatus.needsReset);
});

// requirement: 3.1.2-1
test('net: a legacy driver has a header of 10 bytes and sets its address by registers', () => {
  const link = new TestLink();
  const pci = new MockPci(new VirtioNet(link, { mac }));
  const { device, ram } = pci;
  ram.allocate(0xf000);
  const io = (offset: number, width: 1 | 2 | 4, value: number) =>
    device.write(LEGACY, offset, width, value);
  io(legacy.status, 1, 3);
  io(legacy.driverFeatures, 4, 1 << F.mac);
  const rings: SplitDriver[] = [];
  for (const queue of [0, 1]) {
    io(legacy.queueSelect, 2, queue);
    const size = device.read(LEGACY, legacy.queueSize, 2);
    const at = ram.allocate(0x3000, 4096);
    const ring = new SplitDriver(ram, size, false);
    Object.assign(ring.layout, { descriptors: at, driver: at + 16 * size, device: at + 0x2000 });
    rings.push(ring);
    io(legacy.queuePage, 4, at / 4096);
    assert.equal(device.read(LEGACY, legacy.queuePage, 4), at / 4096);
  }
  io(legacy.status, 1, 7);
  const frame = frameTo(broadcast);
  const at = ram.place(Uint8Array.from([...Array(10).fill(0), ...frame]));
  rings[1]!.offer([readable(at, 70)]);
  io(legacy.queueNotify, 2, 1);
  assert.deepEqual(link.sent[0]?.frame, frame);
  assert.deepEqual(rings[1]!.take(), { id: 0, written: 0 });
  const room = ram.allocate(70);
  rings[0]!.offer([writable(room, 70)]);
  assert.equal(link.guest.receive(frame), true);
  assert.deepEqual(ram.slice(room + 10, 60), frame);
  io(legacy.device + 5, 1, 0x99);
  assert.equal(device.read(LEGACY, legacy.device + 5, 1), 0x99);
  assert.equal(device.read(LEGACY, legacy.isr, 1), 1);
});
