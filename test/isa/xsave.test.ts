/** FXSAVE and the XSAVE family by the manual: the host has more components than ours [SDM 1 10.5, 13.7-13.11]. */
import assert from 'node:assert/strict';
import test from 'node:test';
import * as L from '#src/cpu/state/layout.js';
import { BareRuntime, RAM } from './bare-runtime.js';

const AREA = 0x3000n;
const PLACE = RAM + 0x3000;
const HEADER = 512;
const CPU = L.VCPU_AREA;
const GP = 13;
const UD = 6;
const NONE = -1;
const COMPACTED = 1n << 63n;

function fresh(): BareRuntime {
  const r = new BareRuntime();
  r.set64(L.CR4, 0x4_0600n);
  r.set64(L.XCR0, 3n);
  r.set32(L.CODE_MODE, 2);
  r.call('x87_init');
  r.bytes.fill(0, CPU + L.X87, CPU + L.X87 + 128);
  r.bytes.fill(0, CPU + L.XMM, CPU + L.XMM + 512);
  r.call('set_mxcsr', 0x1f80);
  r.bytes.fill(0xaa, PLACE, PLACE + 1024);
  return r;
}

/** Both components in use: ST(0) = 1, XMM1 and XMM15 = numbers. */
function used(): BareRuntime {
  const r = fresh();
  r.call('x87_constant', 0);
  r.set64(L.XMM + 32, 0x1111_2222_3333_4444n);
  r.set64(L.XMM + 15 * 32 + 8, 0x5555n);
  r.call('set_mxcsr', 0x1fa0);
  return r;
}

function header(r: BareRuntime, ...words: bigint[]): void {
  for (let i = 0; i < 8; i++) r.view.setBigUint64(PLACE + HEADER + i * 8, words[i] ?? 0n, true);
}
const word = (r: BareRuntime, at: number): bigint => r.view.getBigUint64(PLACE + at, true);
const fault = (r: BareRuntime, name: string, ...args: (number | bigint)[]): number =>
  r.faultOf(() => r.call(name, ...args));

test('FXSAVE writes the legacy area and FXRSTOR reads it back', () => {
  const r = used();
  r.call('fxsave', AREA, 1);
  assert.equal(word(r, 0), 0x0000_0080_3800_037fn);
  assert.equal(r.view.getUint32(PLACE + 24, true), 0x1fa0);
  assert.equal(r.view.getUint32(PLACE + 28, true), 0xffff);
  assert.equal(word(r, 32), 1n << 63n);
  assert.equal(word(r, 40), 0x3fffn);
  assert.equal(word(r, 176), 0x1111_2222_3333_4444n);
  assert.equal(word(r, 408), 0x5555n);
  assert.equal(word(r, 416), 0xaaaa_aaaa_aaaa_aaaan, 'the rest is left alone');
  const other = fresh();
  other.bytes.set(r.bytes.slice(PLACE, PLACE + 512), PLACE);
  other.call('fxrstor', AREA, 1);
  const state = (x: BareRuntime): Uint8Array => x.bytes.slice(CPU + L.XMM, CPU + L.SSE_FAST + 4);
  assert.deepEqual(state(other), state(r));
  assert.equal(other.get32(L.SSE_FAST), 1);
});

test('FXSAVE outside 64-bit code leaves XMM8 to XMM15 alone', () => {
  const r = used();
  r.set32(L.CODE_MODE, 1);
  r.call('fxsave', AREA, 0);
  assert.equal(word(r, 408), 0xaaaa_aaaa_aaaa_aaaan);
});

test('alignment, reserved bits of MXCSR and CR4.OSXSAVE', () => {
  const r = used();
  assert.equal(fault(r, 'fxsave', AREA + 8n, 1), GP);
  assert.equal(fault(r, 'xsave', 0, AREA + 16n, 3n, 1), GP);
  r.call('fxsave', AREA, 1);
  r.view.setUint32(PLACE + 24, 0x1_1f80, true);
  assert.equal(fault(r, 'fxrstor', AREA, 1), GP);
  assert.equal(fault(r, 'set_mxcsr', 0x1_0000), GP);
  r.set64(L.CR4, 0x600n);
  assert.equal(fault(r, 'xsave', 0, AREA, 3n, 1), UD);
  assert.equal(fault(r, 'xrstor', AREA, 3n, 1), UD);
});

test('XSAVE writes what is asked for and keeps other bits of XSTATE_BV', () => {
  const r = used();
  header(r, 0x4n);
  r.call('xsave', 0, AREA, 2n, 1);
  assert.equal(word(r, HEADER), 6n);
  assert.equal(word(r, 0), 0xaaaa_aaaa_aaaa_aaaan, 'x87 was not asked for');
  assert.equal(r.view.getUint32(PLACE + 24, true), 0x1fa0);
  assert.equal(word(r, 176), 0x1111_2222_3333_4444n);
});

test('XSAVE writes initial states, XSAVEOPT and XSAVEC do not', () => {
  for (const [kind, written] of [
    [0, true],
    [1, false],
    [2, false],
  ] as const) {
    const r = fresh();
    header(r);
    r.call('xsave', kind, AREA, 3n, 1);
    assert.equal(word(r, HEADER), 0n);
    assert.equal(word(r, 160) === 0n, written);
    assert.equal(r.view.getUint16(PLACE, true) === 0x37f, written);
    assert.equal(word(r, HEADER + 8), kind === 2 ? COMPACTED | 3n : 0n);
    assert.equal(r.view.getUint32(PLACE + 24, true), kind === 2 ? 0xaaaa_aaaa : 0x1f80);
  }
});

test('XSAVEC saves SSE for MXCSR alone', () => {
  const r = fresh();
  r.call('set_mxcsr', 0x1f81);
  header(r);
  r.call('xsave', 2, AREA, 3n, 1);
  assert.equal(word(r, HEADER), 2n);
  assert.equal(r.view.getUint32(PLACE + 24, true), 0x1f81);
});

test('XRSTOR restores, initialises and leaves alone', () => {
  const r = used();
  header(r);
  r.call('xsave', 0, AREA, 3n, 1);
  const other = used();
  other.call('x87_constant', 3);
  other.set64(L.XMM, 99n);
  other.bytes.set(r.bytes.slice(PLACE, PLACE + 576), PLACE);
  other.view.setBigUint64(PLACE + HEADER, 1n, true); // SSE in its initial state
  other.call('xrstor', AREA, 2n, 1);
  assert.equal(other.get64(L.XMM), 0n);
  assert.equal(other.get32(L.MXCSR), 0x1fa0, 'MXCSR comes from memory in the standard form');
  assert.equal((other.get32(L.X87_CONTROL) >>> 27) & 7, 6, 'x87 untouched: two pushes');
  other.call('xrstor', AREA, 1n, 1);
  assert.equal((other.get32(L.X87_CONTROL) >>> 27) & 7, 7);
  header(other, 0n, COMPACTED | 3n);
  other.call('xrstor', AREA, 3n, 1);
  assert.equal(other.get32(L.MXCSR), 0x1f80);
  assert.equal(other.get32(L.X87_CONTROL), 0x37f);
  assert.equal(other.call('xinuse'), 0);
});

test('XRSTOR refuses bad headers', () => {
  const bad: bigint[][] = [
    [4n], // a component that XCR0 lacks
    [0n, 1n], // XCOMP_BV without bit 63
    [0n, 0n, 1n],
    [1n, COMPACTED | 2n], // present but not in the layout
    [0n, COMPACTED | 4n],
    [0n, COMPACTED | 3n, 0n, 0n, 0n, 0n, 0n, 1n],
  ];
  for (const words of bad) {
    const r = used();
    header(r, ...words);
    assert.equal(fault(r, 'xrstor', AREA, 3n, 1), GP, words.join());
    assert.equal(r.get64(L.XMM + 32), 0x1111_2222_3333_4444n);
  }
  const r = used();
  r.call('xsave', 0, AREA, 3n, 1);
  header(r, 3n, 0n, 0n, 7n);
  assert.equal(
    fault(r, 'xrstor', AREA, 3n, 1),
    NONE,
    'bytes 63:24 do not matter in the standard form',
  );
});
