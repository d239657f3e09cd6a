import { table } from './table.mjs';

const totalBytes = 4 * 2 ** 30;
const rounds = 3;
/** As many segments come together. */
const batch = 8;
const guest = { address: Uint8Array.of(10, 0, 2, 15), port: 50_000 };
const host = { address: Uint8Array.of(10, 0, 2, 2), port: 80 };
const flag = { syn: 2, ack: 16 };

/** A segment of the guest's: no SACK, timestamps as Linux has them, a window of 1 GiB. */
class Guest {
  sequence = 1;
  acknowledgment = 0;

  segment(flags, bytes) {
    const isSyn = flags & flag.syn;
    const headerBytes = isSyn ? 40 : 32;
    const segment = new Uint8Array(headerBytes + bytes);
    const view = new DataView(segment.buffer);
    view.setUint16(0, guest.port);
    view.setUint16(2, host.port);
    segment[12] = headerBytes << 2;
    segment[13] = flags;
    view.setUint16(14, 0xffff);
    if (isSyn) segment.set([2, 4, 5, 180, 1, 3, 3, 14, 1, 1, 8, 10], 20);
    else segment.set([1, 1, 8, 10], 20);
    return segment;
  }

  send(nat, segment, bytes) {
    const view = new DataView(segment.buffer);
    view.setUint32(4, this.sequence);
    view.setUint32(8, this.acknowledgment);
    this.sequence = (this.sequence + bytes) >>> 0;
    nat.segment({ source: guest.address, destination: host.address, payload: segment });
  }
}

/** The NAT with a card and a host that take everything at once. */
function rig({ TcpNat, HEADROOM }, largest) {
  const turn = [];
  const peer = new Guest();
  let events;
  let received = 0;
  let written = 0;
  const nat = new TcpNat({
    mtu: 1500,
    nowMs: () => performance.now(),
    after: () => () => {},
    soon: (callback) => turn.push(callback),
    randomU32: () => 1,
    maxSegmentBytes: () => largest,
    unreachable() {},
    send(_, __, frame) {
      const view = new DataView(frame.buffer, frame.byteOffset + HEADROOM);
      const bytes = frame.length - HEADROOM - (view.getUint8(12) >>> 4) * 4;
      received += bytes;
      peer.acknowledgment = (view.getUint32(4) + bytes + ((view.getUint8(13) >> 1) & 1)) >>> 0;
      return true;
    },
    connect: () => (to) => {
      events = to;
      return {
        write(bytes) {
          written += bytes.length;
          return true;
        },
        end() {},
        destroy() {},
        pause() {},
        resume() {},
        release() {},
      };
    },
  });
  const settle = () => {
    for (let i = 0; i < turn.length; i++) turn[i]();
    turn.length = 0;
  };
  peer.send(nat, peer.segment(flag.syn, 0), 1);
  events.connected();
  peer.send(nat, peer.segment(flag.ack, 0), 0);
  settle();
  return {
    nat,
    peer,
    settle,
    data: (bytes) => events.data(bytes),
    counts: () => [received, written],
  };
}

/** GB/s from the guest, in segments of so much data. */
function up(machine, bytes) {
  const { nat, peer, settle, counts } = rig(machine, 65_483);
  const segments = Array.from({ length: batch }, () => peer.segment(flag.ack, bytes));
  const total = bytes > 10_000 ? totalBytes : totalBytes / 8;
  const start = performance.now();
  for (let sent = 0; sent < total; sent += batch * bytes) {
    for (const segment of segments) peer.send(nat, segment, bytes);
    settle();
  }
  const seconds = (performance.now() - start) / 1000;
  if (counts()[1] < total) throw new Error(`the host has ${counts()[1]} bytes of ${total}`);
  return total / seconds / 1e9;
}

/** GB/s to the guest: the host's data in reads of 64 KiB, each acknowledged. */
function down(machine, largest) {
  const { nat, peer, settle, data, counts } = rig(machine, largest);
  const { HEADROOM, MAX_READ_BYTES } = machine;
  const lead = HEADROOM + 60;
  const reads = Array.from({ length: batch }, () =>
    new Uint8Array(lead + MAX_READ_BYTES).subarray(lead),
  );
  const acknowledgment = peer.segment(flag.ack, 0);
  const total = largest > 10_000 ? totalBytes : totalBytes / 8;
  const start = performance.now();
  for (let sent = 0; sent < total; sent += batch * MAX_READ_BYTES) {
    for (const read of reads) data(read);
    peer.send(nat, acknowledgment, 0);
    settle();
  }
  const seconds = (performance.now() - start) / 1000;
  if (counts()[0] < total) throw new Error(`the guest has ${counts()[0]} bytes of ${total}`);
  return total / seconds / 1e9;
}

/** How fast the TCP machine of the NAT alone is: no card, no sockets, no copies but its own. */
export async function benchTcpNat() {
  const machine = {
    ...(await import('../dist/backend/net/tcp/tcp-nat.js')),
    ...(await import('../dist/backend/net/tcp/tcp-environment.js')),
  };
  const figures = [
    ['guest to host, 65,160 bytes a segment', () => up(machine, 65_160)],
    ['guest to host, 1,448 bytes a segment', () => up(machine, 1448)],
    ['host to guest, 64 KiB a segment', () => down(machine, 65_483)],
    ['host to guest, 1,448 bytes a segment', () => down(machine, 1480)],
  ];
  const data = figures.map(([name, measure]) => ({
    name,
    gigabytes: Math.max(...Array.from({ length: rounds }, measure)),
  }));
  const rows = data.map(({ name, gigabytes }) => [name, gigabytes.toFixed(2)]);
  return { text: table(['TCP machine alone', 'GB/s'], rows), data };
}
