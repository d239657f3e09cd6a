import { assert } from '../base/assert.js';
import { ManualClock } from '../base/clock.js';
import { CodecError, decode, encode } from '../base/codec.js';
import type { Device } from './device.js';
import type { Dma } from './dma.js';
import type { MsiSink } from './irq.js';
import { RecordingLine } from './irq.js';
import { ManualTimers } from './timer.js';

/** What a device under test is wired to. Every line and timer it asks for is watched. */
export class ConformanceContext implements Dma, MsiSink {
  readonly clock = new ManualClock();
  readonly timers = new ManualTimers();
  readonly lines = new Map<string, RecordingLine>();
  /** Guest memory from address 0. */
  readonly ram = new Uint8Array(0x4_0000);
  readonly messages: { address: number; data: number }[] = [];

  line(name: string): RecordingLine {
    const line = this.lines.get(name) ?? new RecordingLine();
    this.lines.set(name, line);
    return line;
  }

  read(gpa: number, into: Uint8Array): boolean {
    into.fill(0xff);
    if (gpa < 0 || gpa + into.length > this.ram.length) return false;
    into.set(this.ram.subarray(gpa, gpa + into.length));
    return true;
  }

  write(gpa: number, from: Uint8Array): boolean {
    if (gpa < 0 || gpa + from.length > this.ram.length) return false;
    this.ram.set(from, gpa);
    return true;
  }

  send(address: number, data: number): void {
    this.messages.push({ address, data });
  }
}

export interface ConformanceOptions<D> {
  /** What the host's side may do to the device between guest accesses: input, line changes. */
  host?: (device: D, random: () => number) => void;
  /** Changes every random choice; printed in each failure. */
  seed?: number;
  /** Random accesses in each of the floods. */
  steps?: number;
}

/**
 * The checks that every device passes, each handed to `test` under a name of its own. A device joins
 * in one line of its own test file: `conform(test, (ctx) => new Port92({ a20: ctx.line('a20') }))`.
 */
export function conform<D extends Device<unknown>>(
  test: (name: string, run: () => void) => unknown,
  make: (ctx: ConformanceContext) => D,
  options: ConformanceOptions<D> = {},
): void {
  const seed = options.seed ?? 0x5eed;
  const steps = options.steps ?? 3000;
  const name = make(new ConformanceContext()).name;
  const { host } = options;
  const build = () =>
    new Rig(seed, (ctx) => {
      const device = make(ctx);
      return { device, host: host && ((random) => host(device, random)) };
    });
  const check = (what: string, run: (rig: Rig) => void) =>
    test(`${name}: ${what}`, () => run(build()));

  check('reset equals fresh', (rig) => {
    // What the host drives, such as the levels of input lines, outlives a reset.
    rig.host = undefined;
    const fresh = rig.saved();
    rig.flood(steps);
    rig.device.reset('power-on');
    same(rig.saved(), fresh, 'state after reset', rig);
    sameLines(rig, build());
    rig.flood(steps);
    rig.device.reset('warm');
    const warm = rig.saved();
    rig.device.reset('warm');
    same(rig.saved(), warm, 'state after a second warm reset', rig);
  });

  check('save is a copy, and save, disturb, restore, save is equal', (rig) => {
    for (let round = 0; round < 8; round++) {
      rig.flood(steps / 8);
      const state = rig.device.save();
      const before = encode(rig.device.stateCodec, state);
      rig.flood(steps / 8);
      same(encode(rig.device.stateCodec, state), before, 'a state saved earlier', rig);
      rig.device.restore(decode(rig.device.stateCodec, before));
      same(rig.saved(), before, 'state after restore', rig);
    }
  });

  check('a device restored elsewhere goes on in the same way', (rig) => {
    for (let round = 0; round < 8; round++) {
      rig.flood(steps / 8);
      const twin = build();
      twin.ctx.clock.ns = rig.ctx.clock.ns;
      twin.ctx.ram.set(rig.ctx.ram);
      twin.device.restore(decode(twin.device.stateCodec, rig.saved()));
      sameLines(rig, twin);
      assert(
        rig.ctx.timers.nextNs() === twin.ctx.timers.nextNs(),
        `${rig}: next timer ${rig.ctx.timers.nextNs()}, after restore ${twin.ctx.timers.nextNs()}`,
      );
      rig.random = twin.random = seeded(seed + round);
      const here = rig.trace(steps / 8);
      twin.random = seeded(seed + round);
      const there = twin.trace(steps / 8);
      for (let i = 0; i < here.length; i++) {
        assert(here[i] === there[i], `${rig}: access ${i}: ${here[i]}, restored: ${there[i]}`);
      }
      same(twin.saved(), rig.saved(), 'state after the same accesses', rig);
    }
  });

  check('cut or padded state is rejected', (rig) => {
    rig.flood(steps);
    const good = rig.saved();
    const stride = Math.max(1, Math.floor(good.length / 256));
    for (let length = 0; length < good.length; length += stride) {
      assert(!decodes(rig, good.subarray(0, length)), `${rig}: ${length} bytes were accepted`);
    }
    const padded = new Uint8Array(good.length + 1);
    padded.set(good);
    assert(!decodes(rig, padded), `${rig}: a byte too many was accepted`);
  });

  check('damaged state is rejected or harmless', (rig) => {
    rig.flood(steps);
    const good = rig.saved();
    for (let round = 0; round < 400 && good.length > 0; round++) {
      const bad = good.slice();
      for (let i = 0; i <= rig.below(3); i++) bad[rig.below(bad.length)] = rig.byte();
      if (!decodes(rig, bad)) continue;
      rig.device.restore(decode(rig.device.stateCodec, bad));
      rig.flood(20);
    }
  });

  check('every region, offset and width answers', (rig) => {
    rig.device.io?.regions.forEach((region, index) => {
      const stride = Math.max(1, Math.floor(region.sizeBytes / 4096));
      for (let offset = 0; offset < region.sizeBytes + 8; offset += stride) {
        for (const width of WIDTHS) {
          rig.read(index, offset, width);
          rig.device.io!.write(index, offset, width, 0xff);
          rig.read(index, offset, width);
        }
      }
    });
    for (let offset = 0; rig.device.pci !== undefined && offset < 256; offset++) {
      for (const width of WIDTHS) if (offset % width === 0) rig.configRead(offset, width);
    }
  });

  check('nothing throws under random access', (rig) => rig.flood(steps * 4));
}

const WIDTHS = [1, 2, 4] as const;
const SOME_VALUES = [0, 1, 2, 0x10, 0x55, 0x7f, 0x80, 0xff, 0xffff, 0x8000_0000, 0xffff_ffff];
const SOME_WAITS_NS = [1, 900, 70_000, 1_000_000, 30_000_000, 1_500_000_000];

/** xorshift32: the same choices on every machine. */
function seeded(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

/** A device, its wiring, and a source of hostile accesses. */
class Rig {
  readonly ctx = new ConformanceContext();
  readonly device: Device<unknown>;
  /** Undefined where the host keeps still. */
  host: ((random: () => number) => void) | undefined;
  random: () => number;

  constructor(
    private readonly seed: number,
    make: (ctx: ConformanceContext) => Pick<Rig, 'device' | 'host'>,
  ) {
    this.random = seeded(seed);
    for (let i = 0; i < 256; i++) this.ctx.ram[i] = this.byte();
    ({ device: this.device, host: this.host } = make(this.ctx));
  }

  toString(): string {
    return `${this.device.name} (seed ${this.seed})`;
  }

  below(limit: number): number {
    return this.random() % limit;
  }

  byte(): number {
    return this.random() >>> 24;
  }

  saved(): Uint8Array {
    return encode(this.device.stateCodec, this.device.save());
  }

  read(region: number, offset: number, width: 1 | 2 | 4): number {
    const value = this.device.io!.read(region, offset, width);
    const fits = Number.isInteger(value) && value >= 0 && value < 2 ** (8 * width);
    assert(fits, `${this}: region ${region} offset ${offset} width ${width} read ${value}`);
    return value;
  }

  configRead(offset: number, width: 1 | 2 | 4): number {
    const value = this.device.pci!.configRead(offset, width);
    const fits = Number.isInteger(value) && value >= 0 && value < 2 ** (8 * width);
    assert(fits, `${this}: configuration offset ${offset} width ${width} read ${value}`);
    return value;
  }

  flood(steps: number): void {
    for (let i = 0; i < steps; i++) this.step();
  }

  /** What each access did, in words that can be compared. */
  trace(steps: number): string[] {
    return Array.from({ length: steps }, () => this.step());
  }

  private step(): string {
    const what = this.below(20);
    const width = WIDTHS[this.below(3)]!;
    const some = SOME_VALUES[this.below(SOME_VALUES.length)]!;
    const value = (this.below(2) === 0 ? some : this.random()) % 2 ** (8 * width);
    if (what < 2) {
      this.ctx.clock.advance(SOME_WAITS_NS[this.below(SOME_WAITS_NS.length)]!);
      this.ctx.timers.fire(this.ctx.clock.nowNs());
      return 'wait';
    }
    if (what < 3 && this.host !== undefined) {
      this.host(this.random);
      return 'host';
    }
    if (what < 6 && this.device.pci !== undefined) {
      const offset = this.below(256 / width) * width;
      if (what < 4) return `config read ${offset} ${width} ${this.configRead(offset, width)}`;
      this.device.pci.configWrite(offset, width, value);
      return `config write ${offset} ${width} ${value}`;
    }
    const regions = this.device.io?.regions ?? [];
    if (regions.length === 0) return 'nothing';
    const index = this.below(regions.length);
    const { sizeBytes } = regions[index]!;
    const offset =
      this.below(3) === 0 ? this.below(Math.min(sizeBytes, 16)) : this.below(sizeBytes);
    if (what < 12) return `read ${index} ${offset} ${width} ${this.read(index, offset, width)}`;
    this.device.io!.write(index, offset, width, value);
    return `write ${index} ${offset} ${width} ${value}`;
  }
}

/** True if `data` is accepted; any error but the codec's own is a failure of the device. */
function decodes(rig: Rig, data: Uint8Array): boolean {
  try {
    const state = decode(rig.device.stateCodec, data);
    same(encode(rig.device.stateCodec, state), data, 'encoding of decoded state', rig);
    return true;
  } catch (error) {
    if (error instanceof CodecError) return false;
    throw error;
  }
}

function same(found: Uint8Array, wanted: Uint8Array, what: string, rig: Rig): void {
  assert(found.length === wanted.length, `${rig}: ${what}: ${found.length} bytes`);
  for (let i = 0; i < found.length; i++) {
    assert(found[i] === wanted[i], `${rig}: ${what}: byte ${i} is ${found[i]}, not ${wanted[i]}`);
  }
}

function sameLines(rig: Rig, twin: Rig): void {
  for (const [name, line] of rig.ctx.lines) {
    const other = twin.ctx.line(name);
    assert(line.high === other.high, `${rig}: line ${name} is ${line.high}, wanted ${other.high}`);
  }
}
