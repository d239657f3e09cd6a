import assert from 'node:assert/strict';
import test from 'node:test';
import { fold, put16, sumWords } from '#src/backend/net/checksum.js';
import { parseV4, parseV6 } from '#src/backend/net/ip.js';
import { isIntact } from '#src/backend/net/lan.js';
import { segments } from '#src/backend/net/segments.js';
import { type PacketHeader, plainPacket } from '#src/virtio/net/packets.js';
import { Random, roundsOf, seed } from '../disk/random.js';
import {
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

console.log(`fuzz seed ${seed} (CHASSIS_FUZZ_SEED repeats it)`);

const guest = ip('10.0.2.15');
const gateway = ip('10.0.2.2');
const guest6 = ip6(0xfec0, 0x15);
const gateway6 = ip6(0xfec0, 2);

/** Whole packets of every kind that the NAT reads, to be spoilt. */
function samples(random: Random): Uint8Array[] {
  const data = random.bytes(random.below(400));
  const dhcp = new Uint8Array(320);
  dhcp.set([1, 1, 6, 0, 1, 2, 3, 4]);
  dhcp.set(guestMac, 28);
  dhcp.set([0x63, 0x82, 0x53, 0x63, 53, 1, random.pick([1, 3, 4, 7, 8]), 50, 4, 10, 0, 2, 15], 236);
  const question = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 2, 0x62, 0x63, 0, 0, 1, 0, 1];
  const at = (address: Uint8Array, port: number) => ({ address, port });
  const nd = (type: number) =>
    icmp(guest6, gateway6, [type, 0], join(new Uint8Array(4), gateway6, [1, 1], guestMac), {
      hops: 255,
    });
  const pieces = { flags: random.pick([0x2000, 0x2000 | random.below(8191), random.below(8191)]) };
  const fragment6 = join([17, 0, 0, random.below(256), 0, 0, 0, random.below(4)], data);
  return [
    ethernet(0x0806, join([0, 1, 8, 0, 6, 4, 0, 1], guestMac, guest, hostMac, gateway)),
    icmp(guest, gateway, [8, 0], join([1, 2, 0, 1], data)),
    icmp(guest6, gateway6, [128, 0], join([1, 2, 0, 1], data)),
    icmp(guest, ip('192.0.2.1'), [8, 0], join([1, 2, 0, 1], data)),
    nd(133),
    nd(135),
    nd(136),
    udp(at(ip('0.0.0.0'), 68), at(ip('255.255.255.255'), 67), dhcp),
    udp(at(guest, 1000 + random.below(2000)), at(ip('192.0.2.1'), 7), data),
    udp(at(guest6, 1000), at(ip6(0x2001, 1), 7), data),
    udp(at(guest, 99), at(ip('10.0.2.3'), 53), Uint8Array.from(question)),
    udp(at(guest6, 546), at(gateway6, 547), Uint8Array.of(11, 1, 2, 3, 0, 1, 0, 2, 7, 7)),
    packet(17, guest, gateway, random.bytes(8 * random.below(100)), pieces),
    packet(44, guest6, gateway6, fragment6),
    packet(
      random.pick([0, 43, 60]),
      guest6,
      gateway6,
      join([random.below(256), random.below(4)], data),
    ),
    packet(6, guest, gateway, join(new Uint8Array(12), [0x50, 2, 0, 0, 0, 0, 0, 0])),
  ];
}

/** Some bytes changed, some cut off, some added; the checksum of the IP header is right again at times. */
function spoil(random: Random, frame: Uint8Array): Uint8Array {
  const result = frame.slice();
  for (let i = random.below(4); i > 0; i--) {
    // Most of what is read is near the beginning.
    const at = random.below(random.below(3) === 0 ? result.length : Math.min(result.length, 80));
    result[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
  }
  if (random.below(2) === 0 && result.length > 34 && result[12] === 8 && result[13] === 0) {
    put16(result, 24, 0);
    const header = result.subarray(14, 14 + (result[14]! & 15) * 4);
    put16(result, 24, ~fold(sumWords(header)) & 0xffff);
  }
  if (random.below(3) === 0) return result.subarray(0, random.below(result.length + 1));
  return random.below(6) === 0 ? join(result, random.bytes(random.below(100))) : result;
}

function header(random: Random, bytes: number): PacketHeader {
  if (random.below(2) === 0) return plainPacket;
  return {
    flags: 1,
    gsoType: random.pick([0, 0, 1, 4, 5, 0x81]),
    headerBytes: random.below(100),
    gsoBytes: random.pick([1, 8, 500, random.below(65_536)]) || 1,
    checksumStart: random.below(bytes),
    checksumOffset: random.pick([2, 6, 16]),
  };
}

test('no frame of the guest upsets the NAT, and what it answers is well-formed', () => {
  const random = new Random(seed);
  const rig = new NatRig();
  rig.mayPing = true;
  for (let round = 0; round < roundsOf(400); round++) {
    for (const sample of samples(random)) {
      const frame = spoil(random, sample);
      const answers = rig.send(frame, header(random, Math.max(1, frame.length)));
      for (const answer of answers) {
        assert.ok(answer.length >= 42, `${frame}`);
        if (answer[12] === 8 && answer[13] === 6) continue;
        const found = (answer[12] === 8 ? parseV4 : parseV6)(answer.subarray(14));
        assert.ok(
          found !== undefined && (found.fragment !== undefined || isIntact(found)),
          `${frame}`,
        );
      }
    }
    const socket = rig.sockets[random.below(rig.sockets.length)];
    if (socket !== undefined && !socket.isClosed) {
      if (random.below(8) === 0) socket.events.error(random.pick(['ECONNREFUSED', 'EPERM']));
      else socket.events.message(random.bytes(random.below(200)));
    }
    rig.time.run(rig.time.nowMs + random.below(500));
    rig.taken();
    const open = rig.sockets.filter(({ isClosed }) => !isClosed);
    assert.ok(open.length <= 512 + 32 + 64);
    rig.sockets.splice(0, rig.sockets.length, ...open);
  }
  assert.equal(rig.send(icmp(guest, gateway, [8, 0], join([1, 2, 0, 1]))).length, 1, 'it lives');
});

test('no header makes more of a large frame than is in it', () => {
  const random = new Random(seed);
  for (let round = 0; round < roundsOf(1000); round++) {
    const frame = spoil(random, random.pick(samples(random)));
    const said = header(random, Math.max(1, frame.length));
    let bytes = 0;
    for (const piece of segments(frame, { ...said, gsoType: random.pick([1, 4, 5]) })) {
      assert.ok(piece.length <= frame.length);
      bytes += piece.length;
    }
    assert.ok(bytes <= frame.length * 1025);
  }
});
