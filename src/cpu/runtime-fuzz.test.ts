import assert from 'node:assert/strict';
import test from 'node:test';
import {
  GDT,
  IDT,
  longMode,
  PD,
  PT,
  protectedMode,
  RSP,
  type TestCpu,
  TSS,
} from './runtime-harness.test.js';
import * as L from './state/layout.js';

/** xorshift32. */
function random(seed: number): (below: number) => number {
  let x = seed | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** A descriptor that is likely to pass some of the checks. */
function scramble(t: TestCpu, at: number, next: (below: number) => number): void {
  const access = next(4) ? 0x80 | next(128) : next(256);
  const flags = next(16);
  const base = next(4) ? 0 : next(0x1_0000);
  const selector = next(32) * 8 + next(8);
  const low = next(2) ? base * 0x1_0000 + next(0x1_0000) : selector * 0x1_0000 + next(0x1_0000);
  t.setRam32(at, low >>> 0);
  t.setRam32(at + 4, ((next(4) << 24) | (flags << 20) | (next(16) << 16) | (access << 8)) >>> 0);
}

/** The registers that a faulting instruction must leave alone. */
function registers(t: TestCpu): string {
  const bytes = new Uint8Array(t.view.buffer, t.cpu, 0x2a0);
  const copy = Uint8Array.from(bytes);
  // NEXT_RIP..FLAG_AUX are as they were; attention, event and what is derived from them move.
  copy.fill(0, L.ATTENTION, L.ICOUNT);
  copy.fill(0, L.CODE_TAG, L.CODE_ADDEND + 4);
  return Buffer.from(copy).toString('base64');
}

type Operation = (t: TestCpu, next: (below: number) => number) => void;

/** May switch tasks, whose late faults belong to the new one. */
const operations: Operation[] = [
  (t, next) => t.rt.load_seg([L.ES, L.SS, L.DS, L.FS, L.GS][next(5)]!, next(0x108)),
  (t, next) => t.rt.jmp_far(next(0x108), BigInt(next(0x2_0000)), [16, 32, 64][next(3)]!),
  (t, next) => t.rt.call_far(next(0x108), BigInt(next(0x2_0000)), [16, 32, 64][next(3)]!),
  (t, next) => t.rt.ret_far([16, 32, 64][next(3)]!, next(3) * 4),
  (t, next) => t.rt.iret([16, 32, 64][next(3)]!),
  (t, next) => t.rt.int_n(next(48)),
  (t) => t.rt.int1(),
  (t, next) => t.rt.lldt(next(0x108)),
  (t, next) => t.rt.ltr(next(0x108)),
  (t, next) => void t.rt.lar(next(0x108)),
  (t, next) => void t.rt.lsl(next(0x108)),
  (t, next) => void t.rt.verr(next(0x108)),
];

function machine(next: (below: number) => number): TestCpu {
  const cpl = next(2) ? 3 : 0;
  const t = next(2) ? longMode(cpl) : protectedMode(cpl);
  for (let n = 0; n < 16; n++) scramble(t, GDT + 0x80 + n * 8, next);
  for (let n = 0; n < 48; n++) scramble(t, IDT + n * 8, next);
  for (let n = 0; n < 4; n++) t.setRam32(TSS + next(0x68), next(0x1_0000));
  for (let n = 0; n < 16; n++) t.setRam16(0x7000 + n * 4, next(2) ? next(0x108) : next(0x1_0000));
  for (let n = 0; n < 6; n++) t.setRam64(next(16) ? PT + next(16) * 8 : PD, BigInt(next(0x2_0000)));
  if (next(8) === 0) t.rt.write_flags(0x4000n, 0x4000n);
  if (next(8) === 0) t.setU64(RSP, BigInt(next(16)));
  return t;
}

test('scrambled tables: faults are values, and commit nothing', () => {
  const first = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() & 0xff_ffff);
  const cases = Number(process.env.CHASSIS_FUZZ_CASES ?? 2000);
  console.log(`fuzz seed ${first} (CHASSIS_FUZZ_SEED repeats it)`);
  let faults = 0;
  for (let n = 0; n < cases; n++) {
    const seed = first + n * 7919;
    const next = random(seed);
    const t = machine(next);
    for (let step = 0; step < 8; step++) {
      const operation = operations[next(operations.length)]!;
      const before = registers(t);
      const task = t.selector(L.TR);
      const fault = t.fault(() => operation(t, next));
      if (!fault) continue;
      faults++;
      assert.ok(fault.vector < 32, `seed ${seed} step ${step}: vector ${fault.vector}`);
      if (t.selector(L.TR) !== task) break;
      assert.equal(registers(t), before, `seed ${seed} step ${step}: ${operation}`);
    }
    // Whatever stands in the IDT: an answer, not an exception.
    t.setU32(L.EXC_VECTOR, next(32));
    t.setU32(L.EXC_KIND, L.EXC_FAULT);
    t.setU32(L.EVENT, t.u32(L.EVENT) | L.EVENT_EXCEPTION);
    assert.ok(t.events() <= 2, `seed ${seed}`);
  }
  assert.ok(faults > cases, `${faults} faults in ${cases} cases`);
});
