import assert from 'node:assert/strict';
import { Random } from '../disk/random.js';
import { TestHost, type TestStream, VirtualTime } from './tcp-rig.js';

export const flag = { fin: 1, syn: 2, rst: 4, push: 8, ack: 16 };
export const guestAddress: Uint8Array = Uint8Array.of(10, 0, 2, 15);
export const peerAddress: Uint8Array = Uint8Array.of(192, 0, 2, 1);
/** Linux's: a maximum segment of 1,460, SACK, timestamps, a shift of 7. */
export const linuxOptions = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
/** The same without timestamps, which would have to be told in each segment. */
export const plainOptions = [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7];

export interface Fields {
  readonly flags?: number;
  /** From the guest's initial sequence number on, and from ours. */
  readonly sequence?: number;
  readonly ack?: number;
  readonly window?: number;
  readonly options?: readonly number[];
  readonly data?: Uint8Array;
  readonly ports?: readonly [number, number];
}

export interface Heard {
  readonly flags: number;
  readonly sequence: number;
  readonly ack: number;
  readonly window: number;
  readonly options: Uint8Array;
  readonly data: Uint8Array;
  readonly gsoBytes: number;
}

export function segment(guestInitial: number, ourInitial: number, fields: Fields): Uint8Array {
  const { flags = flag.ack, sequence = 1, ack = 1, window = 0xffff, options = [] } = fields;
  const { data = new Uint8Array(0), ports = [40_000, 80] } = fields;
  const headerBytes = 20 + options.length;
  const bytes = new Uint8Array(headerBytes + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ports[0]);
  view.setUint16(2, ports[1]);
  view.setUint32(4, guestInitial + sequence);
  view.setUint32(8, flags & flag.ack ? ourInitial + ack : 0);
  bytes[12] = headerBytes << 2;
  bytes[13] = flags;
  view.setUint16(14, window);
  bytes.set(options, 20);
  bytes.set(data, headerBytes);
  return bytes;
}

/** A guest that says what a test tells it to say. */
export class HandMade {
  readonly time = new VirtualTime();
  readonly host: TestHost;
  ourInitial = 0;

  constructor(readonly initial = 0xffff_ff00) {
    this.host = new TestHost(this.time, new Random(7));
  }

  /** Says something, and the turn ends. */
  say(fields: Fields): Heard[] {
    this.sayNow(fields);
    return this.hear();
  }

  sayNow(fields: Fields): void {
    const payload = segment(this.initial, this.ourInitial, fields);
    this.host.nat.segment({ source: guestAddress, destination: peerAddress, payload });
  }

  /** What was said since, numbers counted from the initial ones. */
  hear(): Heard[] {
    this.time.settle();
    const { sent } = this.host;
    this.host.sent = [];
    return sent.map(({ segment: bytes, gsoBytes }) => {
      const view = new DataView(bytes.buffer);
      const headerBytes = (bytes[12]! >>> 4) * 4;
      const flags = bytes[13]!;
      if ((flags & flag.syn) !== 0) this.ourInitial = view.getUint32(4);
      return {
        flags,
        sequence: (view.getUint32(4) - this.ourInitial) | 0,
        ack: (view.getUint32(8) - this.initial) | 0,
        window: view.getUint16(14),
        options: bytes.subarray(20, headerBytes),
        data: bytes.subarray(headerBytes),
        gsoBytes,
      };
    });
  }

  wait(ms: number): Heard[] {
    this.time.run(this.time.nowMs + ms);
    return this.hear();
  }

  get stream(): TestStream {
    return this.host.streams.at(-1)!;
  }

  /** A connection that the guest has opened. */
  static open(options = plainOptions): HandMade {
    const guest = new HandMade();
    guest.say({ flags: flag.syn, sequence: 0, options });
    guest.stream.events.connected();
    const [answer] = guest.hear();
    assert.equal(answer?.flags, flag.syn | flag.ack);
    guest.say({});
    return guest;
  }
}
