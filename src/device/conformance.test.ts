import assert from 'node:assert/strict';
import test from 'node:test';
import { struct, u8 } from '../base/codec.js';
import { type ConformanceContext, conform } from './conformance.js';
import type { Device } from './device.js';
import type { IoFace } from './io.js';

interface LatchState {
  value: number;
}

/** One byte that can be read back, with room for mistakes. */
class Latch implements Device<LatchState>, IoFace {
  readonly name = 'latch';
  readonly io = this;
  readonly regions = [{ name: 'latch', space: 'port', base: 0x80, sizeBytes: 1 }] as const;
  readonly stateVersion = 1;
  readonly stateCodec = struct<LatchState>({ value: u8({ max: 0x7f }) });
  protected state: LatchState = { value: 0 };

  constructor(protected readonly ctx: ConformanceContext) {}

  read(_region: number, _offset: number, _width: 1 | 2 | 4): number {
    return this.state.value;
  }
  write(_region: number, _offset: number, _width: 1 | 2 | 4, value: number): void {
    this.state.value = value & 0x7f;
    this.ctx.line('high').set(this.state.value > 9);
  }
  reset(_kind: 'power-on' | 'warm'): void {
    this.restore({ value: 0 });
  }
  save(): LatchState {
    return { ...this.state };
  }
  restore(state: LatchState): void {
    this.state = { ...state };
    this.ctx.line('high').set(this.state.value > 9);
  }
}

conform(test, (ctx) => new Latch(ctx));

/** Names of the checks that `make` fails. */
function failing(make: (ctx: ConformanceContext) => Device<unknown>): string[] {
  const failed: string[] = [];
  conform((name, run) => {
    try {
      run();
    } catch {
      failed.push(name.replace('latch: ', ''));
    }
  }, make);
  return failed;
}

test('conformance: a reset that forgets is found', () => {
  class Forgets extends Latch {
    override reset(): void {}
  }
  assert.deepEqual(
    failing((ctx) => new Forgets(ctx)),
    ['reset equals fresh'],
  );
});

test('conformance: a save that is not a copy is found', () => {
  class Leaks extends Latch {
    override save(): LatchState {
      return this.state;
    }
  }
  assert.deepEqual(
    failing((ctx) => new Leaks(ctx)),
    ['save is a copy, and save, disturb, restore, save is equal'],
  );
});

test('conformance: a restore that leaves its line alone is found', () => {
  class Silent extends Latch {
    override restore(state: LatchState): void {
      this.state = { ...state };
    }
  }
  const found = failing((ctx) => new Silent(ctx));
  assert.ok(found.includes('a device restored elsewhere goes on in the same way'));
});

test('conformance: a value out of range and a throw are found', () => {
  class Wide extends Latch {
    override read(): number {
      return this.state.value === 0x55 ? 0x100 : 0;
    }
  }
  assert.ok(failing((ctx) => new Wide(ctx)).includes('nothing throws under random access'));
  class Throws extends Latch {
    override write(_region: number, _offset: number, width: 1 | 2 | 4): void {
      if (width === 4) throw new RangeError('too wide');
    }
  }
  const found = failing((ctx) => new Throws(ctx));
  assert.ok(found.includes('every region, offset and width answers'));
  assert.ok(found.includes('nothing throws under random access'));
});

test('conformance: state that is not checked when decoded is found', () => {
  class Trusting extends Latch {
    override readonly stateCodec = struct<LatchState>({ value: u8() });
    override restore(state: LatchState): void {
      if (state.value > 0x7f) throw new RangeError('impossible');
      super.restore(state);
    }
  }
  assert.deepEqual(
    failing((ctx) => new Trusting(ctx)),
    ['damaged state is rejected or harmless'],
  );
});
