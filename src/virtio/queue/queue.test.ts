import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { CodecError, decode, encode } from '../../base/codec.js';
import {
  DeviceEnd,
  mockDriver,
  PackedDriver,
  Ram,
  type RingKind,
  readable,
  SplitDriver,
  writable,
} from './mock-driver.test.js';
import { descriptorFlag } from './registers.js';
import { ringCodec, ringFault } from './state.js';

const kinds: RingKind[] = ['split', 'packed'];
const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? 20_261_122);
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const ascii = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));

for (const kind of kinds) {
  const setUp = (size: number, features: { eventIdx?: boolean; inOrder?: boolean } = {}) => {
    const ram = new Ram();
    const driver = mockDriver(kind, ram, size, features.eventIdx ?? false);
    return { ram, driver, end: new DeviceEnd(kind, ram, driver.layout, features) };
  };

  for (const indirect of [false, true]) {
    // requirement: 2.7.4.1-1 2.7.8.2-2
    test(`${kind}: a buffer goes out and comes back${indirect ? ', by an indirect table' : ''}`, () => {
      const { ram, driver, end } = setUp(8);
      assert.equal(end.queue.pop(), undefined);
      const words = [ascii('hel'), ascii('lo')].map((word) => ram.place(word));
      const room = [ram.allocate(3), ram.allocate(4)] as const;
      const id = driver.offer(
        [
          readable(words[0]!, 3),
          readable(words[1]!, 2),
          writable(room[0], 3),
          writable(room[1], 4),
        ],
        { indirect },
      );
      const chain = end.queue.pop()!;
      assert.deepEqual([chain.readableBytes, chain.writableBytes], [5, 7]);
      const into = new Uint8Array(4);
      assert.equal(chain.read(1, into), true);
      assert.equal(text(into), 'ello');
      assert.equal(chain.read(2, into), false, 'beyond its end');
      assert.equal(chain.write(1, ascii('abcd')), true);
      assert.equal(text(ram.slice(room[0], 3)), '\0ab');
      assert.equal(text(ram.slice(room[1], 4)), 'cd\0\0');
      end.queue.push(chain, 5);
      end.queue.notify();
      assert.equal(end.interrupts, 1);
      assert.deepEqual(driver.take(), { id, written: 5 });
      assert.equal(driver.take(), undefined);
      assert.equal(end.queue.pop(), undefined);
    });
  }

  // requirement: 2.8.12-2
  test(`${kind}: many laps, completed out of order, keep every buffer apart`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ pieces: fc.integer({ min: 1, max: 3 }), late: fc.boolean() }), {
          minLength: 1,
          maxLength: 150,
        }),
        fc.boolean(),
        (steps, inOrder) => {
          const { ram, driver, end } = setUp(7 + (kind === 'split' ? 1 : 0), { inOrder });
          const at = ram.allocate(16);
          const held: { id: number; chain: NonNullable<ReturnType<typeof end.queue.pop>> }[] = [];
          const order: number[] = [];
          const finish = (index: number) => {
            const [one] = held.splice(index, 1);
            end.queue.push(one!.chain, one!.chain.writableBytes);
            if (inOrder) {
              for (let used = driver.take(); used; used = driver.take()) {
                assert.equal(used.id, order.shift());
              }
            } else {
              assert.deepEqual(driver.take(), { id: one!.id, written: one!.chain.writableBytes });
            }
          };
          for (const { pieces, late } of steps) {
            const list = Array.from({ length: pieces }, () => writable(at, 1));
            const id = driver.offer(list);
            order.push(id);
            const chain = end.queue.pop()!;
            assert.equal(chain.writableBytes, pieces);
            held.push({ id, chain });
            if (!late || held.length === 2) finish(held.length - 1);
            if ((inOrder || !late) && held.length > 0) finish(0);
          }
          assert.deepEqual(end.faults, []);
        },
      ),
      { seed, numRuns: 60 },
    );
  });

  // requirement: 2.7.7.2-2
  test(`${kind}: without EVENT_IDX the driver's flag stops interrupts`, () => {
    const { driver, end } = setUp(4);
    driver.interruptAfter('none');
    const use = () => {
      driver.offer([writable(0, 1)]);
      end.queue.push(end.queue.pop()!, 0);
      end.queue.notify();
      driver.take();
    };
    use();
    assert.equal(end.interrupts, 0);
    driver.interruptAfter('any');
    end.queue.notify();
    assert.equal(end.interrupts, 0, 'nothing was used since');
    use();
    assert.equal(end.interrupts, 1);
  });

  // requirement: 2.7.7.2-4
  test(`${kind}: with EVENT_IDX there is one interrupt, at the buffer that was named`, () => {
    const { driver, end } = setUp(4, { eventIdx: true });
    for (let lap = 0; lap < 6; lap++) {
      driver.interruptAfter(3);
      end.interrupts = 0;
      const seen: number[] = [];
      for (let i = 0; i < 4; i++) {
        driver.offer([writable(0, 1)]);
        end.queue.push(end.queue.pop()!, 1);
        end.queue.notify();
        seen.push(end.interrupts);
      }
      assert.deepEqual(seen, [0, 0, 1, 1]);
      while (driver.take() !== undefined);
    }
  });

  test(`${kind}: with EVENT_IDX an idle device asks for the next buffer, a busy one for none`, () => {
    const { driver, end } = setUp(8, { eventIdx: true });
    for (let lap = 0; lap < 10; lap++) {
      assert.equal(end.queue.pop(), undefined);
      driver.offer([writable(0, 1)]);
      assert.equal(driver.wantsKick(), true);
      driver.offer([writable(0, 1)]);
      assert.equal(driver.wantsKick(), false, 'it was told and has not looked yet');
      for (let chain = end.queue.pop(); chain; chain = end.queue.pop()) end.queue.push(chain, 0);
      while (driver.take() !== undefined);
    }
  });

  test(`${kind}: nothing of a queue that was reset reaches the guest`, () => {
    const { ram, driver, end } = setUp(4);
    const at = ram.allocate(4);
    driver.offer([writable(at, 4)]);
    const chain = end.queue.pop()!;
    end.queue.close();
    assert.equal(chain.write(0, ascii('late')), false);
    end.queue.push(chain, 4);
    end.queue.notify();
    assert.equal(text(ram.slice(at, 4)), '\0\0\0\0');
    assert.equal(driver.take(), undefined);
    assert.equal(end.interrupts, 0);
  });

  // requirement: 2.8.12-1 2.8.18-1
  test(`${kind}: buffers come in the order of the ring, a chain's parts in that of the chain`, () => {
    const { ram, driver, end } = setUp(8);
    const ids = [1, 2].map((n) => {
      const at = ram.place(Uint8Array.of(n, n + 10));
      return driver.offer([readable(at + 1, 1), readable(at, 1)]);
    });
    for (const [i, id] of ids.entries()) {
      const chain = end.queue.pop()!;
      const bytes = new Uint8Array(2);
      chain.read(0, bytes);
      assert.deepEqual([chain.id, ...bytes], [id, i + 11, i + 1]);
    }
  });

  // requirement: 2.7.5.1-1 2.7.8.2-1 2.8.15-1 5.1.6.4.1-4
  test(`${kind}: what the driver looks at is written last, and readable parts never`, () => {
    const { ram, driver, end } = setUp(8);
    const source = ram.place(Uint8Array.of(1, 2, 3));
    const room = [ram.allocate(4), ram.allocate(4)];
    for (const at of room) driver.offer([readable(source, 3), writable(at, 4)]);
    const seen: (number | undefined)[] = [];
    // After every write of the device the driver looks whether it may take the first buffer.
    ram.write = (gpa, bytes) => {
      assert.ok(gpa + bytes.length <= source || gpa >= source + 3, 'a readable part was written');
      const isWritten = Ram.prototype.write.call(ram, gpa, bytes);
      for (let used = driver.take(); used !== undefined; used = driver.take()) {
        seen.push(used.written);
        for (const at of room) assert.deepEqual(ram.slice(at, 4), Uint8Array.of(7, 8, 9, 10));
      }
      return isWritten;
    };
    const chains = [end.queue.pop()!, end.queue.pop()!];
    for (const chain of chains) chain.write(0, Uint8Array.of(7, 8, 9, 10));
    end.queue.pushAll(chains, [4, 3]);
    assert.deepEqual(seen, [4, 3]);
  });

  // requirement: 2.7.10.2-1 2.7.10.2-2
  test(`${kind}: the device's flags are 0, or name one descriptor`, () => {
    for (const eventIdx of [false, true]) {
      const { ram, driver, end } = setUp(8, { eventIdx });
      const at = driver.layout.device + (kind === 'split' ? 0 : 2);
      for (let i = 0; i < 12; i++) {
        driver.offer([writable(0x10, 1)]);
        end.queue.push(end.queue.pop()!, 1);
        end.queue.pop();
        driver.take();
        assert.equal(ram.view.getUint16(at, true), kind === 'packed' && eventIdx ? 2 : 0);
      }
    }
  });

  test(`${kind}: a buffer put back is the next one again`, () => {
    const { driver, end } = setUp(3 + (kind === 'split' ? 1 : 0));
    for (let lap = 0; lap < 9; lap++) {
      const id = driver.offer([writable(0, 1), writable(0, 1)]);
      end.queue.unpop(end.queue.pop()!);
      const chain = end.queue.pop()!;
      end.queue.push(chain, 1);
      assert.deepEqual(driver.take(), { id, written: 1 });
    }
  });

  test(`${kind}: saved in mid-flight it goes on elsewhere; each broken field is refused`, () => {
    const { ram, driver, end } = setUp(4, { inOrder: true });
    const at = ram.allocate(8);
    const ids = [1, 2, 3].map((n) => driver.offer([readable(at, n), writable(at, n)].slice(n % 2)));
    const chains = ids.map(() => end.queue.pop()!);
    end.queue.push(chains[1]!, 2);
    const state = end.queue.save();
    const bytes = encode(ringCodec, state);
    const other = new DeviceEnd(kind, ram, driver.layout, { inOrder: true });
    other.queue.restore(decode(ringCodec, bytes));
    assert.deepEqual(encode(ringCodec, other.queue.save()), bytes);
    const again = other.queue.inFlight();
    assert.deepEqual(
      again.map(({ id }) => id),
      [ids[0], ids[2]],
    );
    other.queue.push(again[0]!, 0);
    other.queue.push(again[1]!, 0);
    assert.deepEqual(
      [driver.take(), driver.take(), driver.take()].map((used) => used?.id),
      ids,
    );

    const isPacked = kind === 'packed';
    assert.equal(ringFault(state, 4, isPacked), undefined);
    const wrong = (change: Partial<typeof state>) => {
      const broken = { ...state, ...change };
      try {
        return ringFault(decode(ringCodec, encode(ringCodec, broken)), 4, isPacked) !== undefined;
      } catch (error) {
        return error instanceof CodecError;
      }
    };
    const first = state.held[0]!;
    assert.ok(wrong({ taken: 9 }));
    assert.ok(wrong({ used: state.used + 1 }));
    assert.ok(wrong({ takenWrap: !state.takenWrap }));
    assert.ok(wrong({ held: state.held.slice(1) }));
    assert.ok(wrong({ held: [{ ...first, slots: 7 }, ...state.held.slice(1)] }));
    assert.ok(wrong({ held: [{ ...first, written: 2 ** 31 }, ...state.held.slice(1)] }));
    assert.ok(wrong({ held: [{ ...first, writable: [{ gpa: 0.5, length: 1 }] }] }));
    if (!isPacked) assert.ok(wrong({ held: [{ ...first, id: 4 }, ...state.held.slice(1)] }));
  });

  test(`${kind}: rings outside guest memory break the queue`, () => {
    const { ram, driver } = setUp(4);
    driver.offer([readable(0, 1)]);
    for (const area of ['descriptors', 'driver', 'device'] as const) {
      for (const gpa of [ram.bytes.length, 2 ** 52]) {
        const layout = { ...driver.layout, [area]: gpa };
        const end = new DeviceEnd(kind, ram, layout, { eventIdx: true });
        const chain = end.queue.pop();
        if (chain !== undefined) end.queue.push(chain, 0);
        end.queue.notify();
        end.queue.pop();
        assert.equal(end.queue.isBroken || (kind === 'packed' && area === 'driver'), true, area);
        assert.equal(end.queue.pop(), undefined);
      }
    }
  });
}

const raw = (ram: Ram, at: number, gpa: number, length: number, third: number, fourth: number) => {
  ram.view.setUint32(at, gpa, true);
  ram.view.setUint32(at + 4, 0, true);
  ram.view.setUint32(at + 8, length, true);
  ram.view.setUint16(at + 12, third, true);
  ram.view.setUint16(at + 14, fourth, true);
};
const { next, write, indirect, avail } = descriptorFlag;

test('split: what a driver must not do breaks the queue', () => {
  const broken = (
    what: string,
    build: (ram: Ram, driver: SplitDriver) => void,
    noIndirect = false,
  ) => {
    const ram = new Ram();
    const driver = new SplitDriver(ram, 4, false);
    build(ram, driver);
    const end = new DeviceEnd('split', ram, driver.layout, { indirect: !noIndirect });
    assert.equal(end.queue.pop(), undefined, what);
    assert.equal(end.faults.length, 1, what);
  };
  const table = (driver: SplitDriver) => driver.layout.descriptors;
  broken('head beyond the table', (_, driver) => driver.offerHead(4));
  broken('an index that jumps', (ram, driver) =>
    ram.view.setUint16(driver.layout.driver + 2, 5, true),
  );
  broken('a loop', (ram, driver) => {
    raw(ram, table(driver), 0, 1, next, 1);
    raw(ram, table(driver) + 16, 0, 1, next, 0);
    driver.offerHead(0);
  });
  broken('next beyond the table', (ram, driver) => {
    raw(ram, table(driver), 0, 1, next, 9);
    driver.offerHead(0);
  });
  broken('readable after writable', (ram, driver) => {
    raw(ram, table(driver), 0, 1, next | write, 1);
    raw(ram, table(driver) + 16, 0, 1, 0, 0);
    driver.offerHead(0);
  });
  broken('more than 4 GiB', (ram, driver) => {
    raw(ram, table(driver), 0, 0xffff_ffff, next, 1);
    raw(ram, table(driver) + 16, 0, 2, 0, 0);
    driver.offerHead(0);
  });
  for (const length of [0, 8, 16 * 1025]) {
    broken(`an indirect table of ${length} bytes`, (ram, driver) => {
      raw(ram, table(driver), 0x8000, length, indirect, 0);
      driver.offerHead(0);
    });
  }
  broken('indirect and next', (ram, driver) => {
    raw(ram, table(driver), 0x8000, 16, indirect | next, 1);
    driver.offerHead(0);
  });
  broken('indirect in indirect', (ram, driver) => {
    raw(ram, table(driver), 0x8000, 16, indirect, 0);
    raw(ram, 0x8000, 0x8000, 16, indirect, 0);
    driver.offerHead(0);
  });
  broken(
    'indirect that was not negotiated',
    (_, driver) => driver.offer([readable(0, 1)], { indirect: true }),
    true,
  );
  broken('an indirect loop', (ram, driver) => {
    raw(ram, table(driver), 0x8000, 32, indirect, 0);
    raw(ram, 0x8000, 0, 1, next, 0);
    driver.offerHead(0);
  });
});

// requirement: 2.7.7.2-1 2.7.7.2-3
test('split: used_event without EVENT_IDX, and the flag with it, are not looked at', () => {
  for (const eventIdx of [false, true]) {
    const ram = new Ram();
    const driver = new SplitDriver(ram, 4, eventIdx);
    const end = new DeviceEnd('split', ram, driver.layout, { eventIdx });
    const usedEvent = driver.layout.driver + 4 + 2 * 4;
    ram.view.setUint16(usedEvent, eventIdx ? 0 : 77, true);
    ram.view.setUint16(driver.layout.driver, eventIdx ? 1 : 0, true);
    driver.offer([writable(0, 1)]);
    end.queue.push(end.queue.pop()!, 0);
    end.queue.notify();
    assert.equal(end.interrupts, 1);
  }
});

// requirement: 2.8.15-2 2.8.15-3
test('packed: a descriptor is taken when its flags changed for this lap, and left alone after', () => {
  const ram = new Ram();
  const driver = new PackedDriver(ram, 2, false);
  const end = new DeviceEnd('packed', ram, driver.layout);
  const flags = driver.layout.descriptors + 14;
  for (const stale of [0, descriptorFlag.used, descriptorFlag.used | avail]) {
    ram.view.setUint16(flags, stale, true);
    assert.equal(end.queue.pop(), undefined);
  }
  ram.view.setUint16(flags, 0, true);
  driver.offer([writable(0x100, 1)]);
  end.queue.push(end.queue.pop()!, 1);
  const used = ram.slice(driver.layout.descriptors, 16);
  assert.equal(end.queue.pop(), undefined);
  driver.offer([writable(0x100, 1)]);
  end.queue.push(end.queue.pop()!, 1);
  assert.deepEqual(ram.slice(driver.layout.descriptors, 16), used);
});

// requirement: 2.7.5.3.2-1 2.7.5.3.2-2
test('split: descriptors before an indirect one, whose WRITE flag means nothing, are of its chain', () => {
  const ram = new Ram();
  const driver = new SplitDriver(ram, 4, false);
  raw(ram, driver.layout.descriptors, 0, 3, next, 1);
  raw(ram, driver.layout.descriptors + 16, 0x8000, 32, indirect | write, 0);
  raw(ram, 0x8000, 0, 5, next, 1);
  raw(ram, 0x8010, 0, 7, write, 0);
  driver.offerHead(0);
  const chain = new DeviceEnd('split', ram, driver.layout).queue.pop()!;
  assert.deepEqual([chain.readableBytes, chain.writableBytes], [8, 7]);
});

test('packed: what a driver must not do breaks the queue', () => {
  const broken = (what: string, build: (ram: Ram, at: number) => void, noIndirect = false) => {
    const ram = new Ram();
    const driver = new PackedDriver(ram, 4, false);
    build(ram, driver.layout.descriptors);
    const end = new DeviceEnd('packed', ram, driver.layout, { indirect: !noIndirect });
    assert.equal(end.queue.pop(), undefined, what);
    assert.equal(end.faults.length, 1, what);
  };
  broken('a chain longer than the ring', (ram, at) => {
    for (let i = 0; i < 4; i++) raw(ram, at + 16 * i, 0, 1, 0, avail | next);
  });
  broken('readable after writable', (ram, at) => {
    raw(ram, at, 0, 1, 0, avail | next | write);
    raw(ram, at + 16, 0, 1, 0, avail);
  });
  broken('indirect in a chain', (ram, at) => {
    raw(ram, at, 0, 1, 0, avail | next);
    raw(ram, at + 16, 0x8000, 16, 0, avail | indirect);
  });
  broken('indirect and next', (ram, at) => raw(ram, at, 0x8000, 16, 0, avail | indirect | next));
  broken('an indirect table of 8 bytes', (ram, at) => raw(ram, at, 0x8000, 8, 0, avail | indirect));
  broken('not negotiated', (ram, at) => raw(ram, at, 0x8000, 16, 0, avail | indirect), true);
});

test('random rings, descriptors and indices break a queue or give a chain, and never throw', () => {
  let state = seed | 1;
  const random = (below: number) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const ends = { broken: 0, chains: 0 };
  for (let round = 0; round < 1500; round++) {
    const ram = new Ram(0x2000);
    for (let i = 0; i < 0x1000; i++) {
      const likely = i % 2 === 0 ? [0, 1, 2, 3, 0x80, 0x81, 0x82] : [0];
      ram.bytes[i] = random(40) === 0 ? random(256) : likely[random(likely.length)]!;
    }
    const kind = kinds[random(2)]!;
    const size = kind === 'split' ? 1 << random(5) : 1 + random(20);
    const address = () => (random(10) === 0 ? random(2 ** 32) * random(2 ** 20) : random(0x1000));
    const features = { indirect: random(4) > 0, eventIdx: random(2) > 0, inOrder: random(2) > 0 };
    const layout = { size, descriptors: address(), driver: address(), device: address() };
    const end = new DeviceEnd(kind, ram, layout, features);
    const held = [];
    for (let step = 0; step < 40 && !end.queue.isBroken; step++) {
      // As another vCPU would, while the device is looking.
      if (random(3) === 0) ram.bytes[random(0x1000)] = random(256);
      // A driver that is nearly right gets further in.
      const { driver } = layout;
      if (kind === 'split' && driver < 0x1000) {
        ram.view.setUint16(driver + 2, end.queue.save().taken + random(2), true);
        ram.view.setUint16(driver + 4 + 2 * random(size), random(size), true);
      }
      const chain = end.queue.pop();
      if (chain !== undefined) {
        ends.chains++;
        held.push(chain);
        const bytes = new Uint8Array(random(64));
        chain.read(random(16), bytes);
        chain.write(random(16), bytes);
      }
      if (held.length > 0 && random(2) === 0) {
        const [done] = held.splice(random(held.length), 1);
        end.queue.push(done!, random(done!.writableBytes + 1));
        end.queue.notify();
      }
      const saved = end.queue.save();
      const back = decode(ringCodec, encode(ringCodec, saved));
      assert.equal(ringFault(back, size, kind === 'packed'), undefined, `seed ${seed}`);
    }
    if (end.queue.isBroken) ends.broken++;
  }
  assert.ok(ends.broken > 100 && ends.chains > 1000, JSON.stringify(ends));
});
