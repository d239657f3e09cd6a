import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import * as L from '#src/cpu/state/layout.js';
import { BareRuntime, RAM, RAM_PAGES } from './bare-runtime.js';

// String instructions in whole, against a model that does one element after the other.

const [RAX, RCX, RSI, RDI] = [0, 8, 48, 56].map((at) => L.GPR + at) as [
  number,
  number,
  number,
  number,
];
const STATUS = 0x8d5n;
const DS = L.SEGMENTS + L.DS * L.SEGMENT_SIZE;
/** Of real mode in BareRuntime. */
const DS_BASE = L.DS * 0x100;
/** What stands above the 16-bit registers and must stay. */
const UPPER = 0xdead_0000_0000n;

const NAMES = ['movs', 'stos', 'lods', 'scas', 'cmps'] as const;
type Name = (typeof NAMES)[number];

interface State {
  si: number;
  di: number;
  cx: number;
  ax: bigint;
  flags: bigint;
  fault: boolean;
}

function subtract(a: bigint, b: bigint, size: number): bigint {
  const bits = BigInt(size * 8);
  const result = BigInt.asUintN(size * 8, a - b);
  let odd = 0n;
  for (let n = 0n; n < 8n; n++) odd ^= (result >> n) & 1n;
  const sign = bits - 1n;
  const overflow = ((a ^ b) & (a ^ result)) >> sign;
  const zero = result === 0n ? 0x40n : 0n;
  const low = (a < b ? 1n : 0n) | ((odd ^ 1n) << 2n) | ((a ^ b ^ result) & 16n);
  return low | zero | ((result >> sign) << 7n) | (overflow << 11n);
}

function model(
  memory: Uint8Array,
  state: State,
  name: Name,
  size: number,
  rep: number,
  down: boolean,
  real: boolean,
): void {
  const mask = real ? 0xffff : 0xffff_ffff;
  const step = down ? -size : size;
  const sourceBase = real ? DS_BASE : 0;
  const bits = BigInt(size * 8);
  const fits = (offset: number): boolean => offset + size - 1 <= mask;
  const get = (from: number): bigint => {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(memory[from + i]!);
    return value;
  };
  const put = (to: number, value: bigint): void => {
    for (let i = 0; i < size; i++) memory[to + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  };
  const reads = name === 'movs' || name === 'lods' || name === 'cmps';
  const uses = name !== 'lods';
  const before = state.flags;
  for (let n = rep ? state.cx : 1; n > 0; n--) {
    if ((reads && !fits(state.si)) || (uses && !fits(state.di))) {
      state.fault = true;
      state.flags = before;
      return;
    }
    const source = reads ? get(sourceBase + state.si) : BigInt.asUintN(size * 8, state.ax);
    if (name === 'movs' || name === 'stos') put(state.di, source);
    if (name === 'lods') state.ax = size < 4 ? ((state.ax >> bits) << bits) | source : source;
    let over = false;
    if (name === 'scas' || name === 'cmps') {
      const other = get(state.di);
      state.flags = subtract(source, other, size);
      over = (rep === 3 && source !== other) || (rep === 2 && source === other);
    }
    if (reads) state.si = (state.si + step) & mask;
    if (uses) state.di = (state.di + step) & mask;
    if (real) [state.si, state.di] = [state.si & 0xffff, state.di & 0xffff];
    if (rep) state.cx--;
    if (over) return;
  }
}

test('string instructions: any size, direction, overlap, prefix and address size', () => {
  const rt = new BareRuntime();
  const ram = rt.bytes.subarray(RAM, RAM + RAM_PAGES * 0x1000);
  fc.assert(
    fc.property(
      fc.record({
        name: fc.constantFrom(...NAMES),
        real: fc.boolean(),
        size: fc.constantFrom(1, 2, 4, 8),
        prefix: fc.constantFrom(0, 2, 3),
        down: fc.boolean(),
        si: fc.oneof(
          fc.integer({ min: 0x9000, max: 0xbfff }),
          fc.integer({ min: 0xff80, max: 0xffff }),
        ),
        gap: fc.oneof(fc.integer({ min: -40, max: 40 }), fc.integer({ min: -8000, max: 8000 })),
        cx: fc.oneof(fc.nat(6), fc.nat(5000)),
        ax: fc.constantFrom(0n, 1n, 0x0101_0101_0101_0101n, 0x1234_5678_9abc_def0n),
        kinds: fc.constantFrom(1, 2, 256),
      }),
      ({ name, real, size: wanted, prefix, down, si: near, gap, cx, ax, kinds }) => {
        // In flat memory far enough from its ends for 5,000 elements either way.
        const si = real ? near : near + 0x1_0000;
        const size = real ? Math.min(wanted, 4) : wanted;
        const compares = name === 'scas' || name === 'cmps';
        const rep = compares || prefix !== 2 ? prefix : 3;
        const mask = real ? 0xffffn : 0xffff_ffffn;
        rt.reset(real ? 'real' : 'flat');
        for (let i = 0; i < ram.length; i++) ram[i] = (i * 7 + (i >> 5)) % kinds;
        const di = real ? (si + gap) & 0xffff : si + gap;
        const state: State = { si, di, cx, ax, flags: 1n, fault: false };
        const expected = ram.slice();
        model(expected, state, name, size, rep, down, real);

        const upper = real ? UPPER : 0n;
        rt.set64(RSI, BigInt(si) | upper);
        rt.set64(RDI, BigInt(di) | upper);
        rt.set64(RCX, BigInt(cx) | upper);
        rt.set64(RAX, ax);
        rt.call('write_flags', 1n, STATUS);
        if (down) rt.set32(L.EFLAGS, 0x402);
        const args = [size, rep, mask, ...(name === 'stos' || name === 'scas' ? [] : [DS])];
        const vector = rt.faultOf(() => {
          for (let done = 0, calls = 0; !done && calls < 10 && !(rt.get32(L.EVENT) & 1); calls++) {
            done = Number(rt.call(name, ...args));
          }
        });
        const got: State = {
          si: Number(rt.get64(RSI) - upper),
          di: Number(rt.get64(RDI) - upper),
          cx: Number(rt.get64(RCX) - upper),
          ax: rt.get64(RAX),
          flags: (rt.call('read_flags') as bigint) & STATUS,
          fault: vector === 13,
        };
        assert.deepEqual(got, state);
        assert.ok(Buffer.compare(expected, ram) === 0, 'memory');
      },
    ),
    { numRuns: 1500 },
  );
});
