import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type Codec, struct } from '../base/codec.js';
import { IoBus } from './bus.js';
import type { Device } from './device.js';
import type { AccessWidth, IoFace, IoRegion } from './io.js';

/** Answers with `tag` in every byte and remembers what it was asked. */
class Probe implements Device<object>, IoFace {
  readonly io = this;
  readonly stateVersion = 1;
  readonly stateCodec: Codec<object> = struct({});
  readonly seen: string[] = [];
  readonly regions: readonly IoRegion[];

  constructor(
    readonly name: string,
    private readonly tag: number,
    region: { space?: 'port' | 'mmio'; base: number; sizeBytes: number; maxWidth?: AccessWidth },
  ) {
    this.regions = [{ space: 'port', name, ...region }];
  }
  read(region: number, offset: number, width: 1 | 2 | 4): number {
    this.seen.push(`r${region}+${offset}/${width}`);
    return (0x0101_0101 * this.tag) % 2 ** (8 * width);
  }
  write(region: number, offset: number, width: 1 | 2 | 4, value: number): void {
    this.seen.push(`w${region}+${offset}/${width}=${value.toString(16)}`);
  }
  reset(): void {}
  save(): object {
    return {};
  }
  restore(): void {}
}

test('bus: an access goes to the region that claims it, with its offset', () => {
  const bus = new IoBus('port');
  const probe = new Probe('p', 0x11, { base: 0x3f8, sizeBytes: 8 });
  bus.attach(probe);
  assert.equal(bus.read(0x3fa, 1), 0x11);
  assert.equal(bus.read(0x3fc, 4), 0x11111111);
  bus.write(0x3f8, 2, 0xbeef);
  assert.deepEqual(probe.seen, ['r0+2/1', 'r0+4/4', 'w0+0/2=beef']);
  assert.deepEqual(bus.lookup(0x3ff), { device: probe, region: 0, offset: 7 });
  assert.equal(bus.lookup(0x400), undefined);
});

test('bus: unclaimed reads are all ones, and both kinds are counted', () => {
  for (const space of ['port', 'mmio'] as const) {
    const bus = new IoBus(space);
    assert.equal(bus.read(0x60, 1), 0xff);
    assert.equal(bus.read(0x60, 2), 0xffff);
    assert.equal(bus.read(0x60, 4), 0xffff_ffff);
    bus.write(0x60, 4, 1);
    assert.deepEqual([bus.unclaimedReads, bus.unclaimedWrites], [3, 1]);
  }
});

test('bus: wide accesses are split to the region’s width, low addresses first', () => {
  const bus = new IoBus('port');
  const probe = new Probe('p', 0x22, { base: 0x40, sizeBytes: 4, maxWidth: 1 });
  bus.attach(probe);
  bus.write(0x40, 4, 0x44332211);
  assert.deepEqual(probe.seen, ['w0+0/1=11', 'w0+1/1=22', 'w0+2/1=33', 'w0+3/1=44']);
  assert.equal(bus.read(0x42, 2), 0x2222);
});

test('bus: an access that straddles regions asks each for its part', () => {
  const bus = new IoBus('port');
  bus.attach(new Probe('a', 0x11, { base: 0x10, sizeBytes: 2 }));
  bus.attach(new Probe('b', 0x22, { base: 0x12, sizeBytes: 1 }));
  assert.equal(bus.read(0x10, 4), 0xff221111);
  assert.equal(bus.read(0x0f, 2), 0x11ff);
  assert.equal(bus.read(0x0d, 4), 0x11ffffff);
});

test('bus: accesses at the end of the port space do not wrap', () => {
  const bus = new IoBus('port');
  bus.attach(new Probe('first', 0x11, { base: 0, sizeBytes: 1 }));
  bus.attach(new Probe('last', 0x22, { base: 0xffff, sizeBytes: 1 }));
  assert.equal(bus.read(0xffff, 4), 0xffffff22);
  bus.write(0xffff, 4, 0);
});

test('bus: the region attached first wins, and the other shows when it moves away', () => {
  for (const space of ['port', 'mmio'] as const) {
    const bus = new IoBus(space);
    const [fixed] = bus.attach(new Probe('fixed', 0x11, { space, base: 0x100, sizeBytes: 4 }));
    const bar = new Probe('bar', 0x22, { space, base: 0, sizeBytes: 0x20 });
    const placed = bus.attachRegion(bar, 0);
    assert.equal(bus.read(0x104, 1), 0xff);
    bus.move(placed, 0xf0);
    assert.equal(bus.read(0xfe, 4), 0x11112222);
    assert.equal(bus.read(0x103, 2), 0x2211);
    bus.move(fixed!, 0x200);
    assert.equal(bus.read(0x100, 4), 0x22222222);
    bus.move(placed, undefined);
    assert.equal(bus.read(0x100, 4), 0xffff_ffff);
    bus.detach(fixed!);
    assert.equal(bus.read(0x200, 4), 0xffff_ffff);
    assert.deepEqual(
      bus.attachments().map((a) => [a.device.name, a.base]),
      [['bar', undefined]],
    );
  }
});

test('bus: MMIO beyond 4 GiB, and bytes of any length', () => {
  const bus = new IoBus('mmio');
  bus.attach(new Probe('low', 0x11, { space: 'mmio', base: 0xfee0_0000, sizeBytes: 0x1000 }));
  const high = new Probe('high', 0x22, { space: 'mmio', base: 0x80_0000_0000, sizeBytes: 0x1000 });
  bus.attach(high);
  assert.equal(bus.read(0x80_0000_0ffc, 4), 0x22222222);
  assert.equal(bus.read(0xfee0_0ffe, 4), 0xffff1111);
  const into = new Uint8Array(7);
  bus.readBytes(0x80_0000_0001, into);
  assert.deepEqual([...into], Array(7).fill(0x22));
  assert.deepEqual(high.seen.slice(-3), ['r0+1/1', 'r0+2/2', 'r0+4/4']);
  bus.writeBytes(0x80_0000_0004, new Uint8Array([1, 2, 3, 4, 5]));
  assert.deepEqual(high.seen.slice(-2), ['w0+4/4=4030201', 'w0+8/1=5']);
});

test('bus: random placements agree with a plain search', () => {
  const place = fc.record({
    base: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined }),
    sizeBytes: fc.integer({ min: 1, max: 12 }),
    maxWidth: fc.constantFrom<AccessWidth>(1, 2, 4),
  });
  fc.assert(
    fc.property(
      fc.constantFrom<'port' | 'mmio'>('port', 'mmio'),
      fc.array(place, { maxLength: 6 }),
      (space, places) => {
        const bus = new IoBus(space);
        places.forEach(({ base, sizeBytes, maxWidth }, i) => {
          const probe = new Probe(`${i}`, i + 1, { space, base: 0, sizeBytes, maxWidth });
          bus.move(bus.attachRegion(probe, 0, 5), base);
        });
        const byteAt = (address: number) => {
          const owner = places.findIndex(
            (p) => p.base !== undefined && address >= p.base && address < p.base + p.sizeBytes,
          );
          return owner < 0 ? 0xff : owner + 1;
        };
        for (let address = 0; address < 80; address++) {
          for (const width of [1, 2, 4] as const) {
            let wanted = 0;
            for (let i = 0; i < width; i++) wanted += byteAt(address + i) * 2 ** (8 * i);
            assert.equal(bus.read(address, width), wanted);
            bus.write(address, width, 0);
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});
