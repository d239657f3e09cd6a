import assert from 'node:assert/strict';
import test from 'node:test';
import {
  descriptor,
  GDT,
  gate,
  IDT,
  longMode,
  protectedMode,
  RSP,
  SEL,
  TestCpu,
  TSS,
} from './runtime-harness.test.js';
import * as L from './state/layout.js';

const TASK2 = 0xa000;
const NT = 0x4000n;

type Where = { cs: number; rip: bigint; cpl: number; rsp: bigint };
const where = (t: TestCpu): Where => ({
  cs: t.selector(L.CS),
  rip: t.u64(L.RIP),
  cpl: t.u32(L.CPL),
  rsp: t.u64(RSP),
});

/** The fault as [vector, error], and that nothing moved. */
function refused(t: TestCpu, work: () => unknown): number[] | undefined {
  const before = where(t);
  const fault = t.fault(work);
  assert.deepEqual(where(t), before);
  return fault && [fault.vector, fault.error];
}

test('real mode: far jump, call and return; offsets beyond the limit', () => {
  const t = new TestCpu();
  t.segment(L.CS, 0, 0x9b, 0n, 0xffff);
  t.rt.update_mode();
  t.setU64(RSP, 0x100n);
  t.setU64(L.NEXT_RIP, 0x55n);
  t.rt.call_far(0x2000, 0x10n, 16);
  assert.deepEqual([t.base(L.CS), t.u64(L.RIP), t.u64(RSP)], [0x2_0000n, 0x10n, 0xfcn]);
  assert.deepEqual(t.words(0xfc, 2, 2), [0x55, 0]);
  t.rt.ret_far(16, 6);
  assert.deepEqual([t.base(L.CS), t.u64(L.RIP), t.u64(RSP)], [0n, 0x55n, 0x106n]);
  assert.deepEqual(
    refused(t, () => t.rt.jmp_far(0, 0x1_0000n, 32)),
    [13, 0],
  );
});

test('protected mode: privilege, type and presence of far targets', () => {
  const t = protectedMode(3);
  const jump = (selector: number, offset = 0n): number[] | undefined =>
    refused(t, () => t.rt.jmp_far(selector, offset, 32));
  assert.deepEqual(jump(0), [13, 0]);
  assert.deepEqual(jump(0x1000), [13, 0x1000]);
  assert.deepEqual(jump(SEL.code0 | 3), [13, SEL.code0]);
  assert.deepEqual(jump(SEL.data3), [13, SEL.data3 & ~3]);
  t.setRam64(GDT + SEL.absent, descriptor(0x7b, 0xc));
  assert.deepEqual(jump(SEL.absent | 3), [11, SEL.absent]);
  t.setRam64(GDT + SEL.absent, descriptor(0xfb, 4, 0, 0xfff));
  assert.deepEqual(jump(SEL.absent | 3, 0x1000n), [13, 0]);
  t.rt.jmp_far(SEL.conforming, 0x77n, 32);
  assert.deepEqual(where(t), { cs: SEL.conforming | 3, rip: 0x77n, cpl: 3, rsp: 0x7000n });
  assert.equal(t.ram32(GDT + SEL.conforming + 4) & 0x100, 0x100, 'accessed');
});

test('return to an outer level: stack, parameters, data segments', () => {
  const t = protectedMode();
  t.setU64(RSP, 0x6000n);
  [0x4444, SEL.code3, 0, 0, 0x9000, SEL.data3].forEach((w, i) => {
    t.setRam32(0x6000 + i * 4, w);
  });
  t.rt.ret_far(32, 8);
  assert.deepEqual(where(t), { cs: SEL.code3, rip: 0x4444n, cpl: 3, rsp: 0x9008n });
  assert.equal(t.selector(L.DS), 0);
  t.setU64(RSP, 0x6000n);
  t.setRam32(0x6004, SEL.code0);
  assert.deepEqual(
    refused(t, () => t.rt.ret_far(32, 0)),
    [13, SEL.code0],
  );
  const inner = protectedMode();
  inner.setU64(RSP, 0x6000n);
  inner.setRam32(0x6000, 0x10);
  inner.setRam32(0x6004, SEL.code3);
  inner.setRam32(0x6010, SEL.data0);
  assert.deepEqual(
    refused(inner, () => inner.rt.ret_far(32, 0)),
    [13, 0],
    'a null SS',
  );
  inner.setRam32(0x600c, SEL.data0);
  assert.deepEqual(
    refused(inner, () => inner.rt.ret_far(32, 0)),
    [13, SEL.data0],
  );
});

test('call gate to an inner level: new stack, copied parameters', () => {
  const t = protectedMode(3);
  t.setRam64(GDT + SEL.gate, gate(0xec, SEL.code0, 0x1_8000, 2));
  t.setRam32(0x7000, 0xaaaa);
  t.setRam32(0x7004, 0xbbbb);
  t.rt.call_far(SEL.gate | 3, 0x99n, 32);
  assert.deepEqual(where(t), { cs: SEL.code0, rip: 0x1_8000n, cpl: 0, rsp: 0x8000n - 24n });
  const frame = [0x1236, SEL.code3, 0xaaaa, 0xbbbb, 0x7000, SEL.data3];
  assert.deepEqual(t.words(0x8000 - 24, 6), frame);
  assert.equal(t.selector(L.SS), SEL.data0);
  t.rt.ret_far(32, 8);
  assert.deepEqual(where(t), { cs: SEL.code3, rip: 0x1236n, cpl: 3, rsp: 0x7008n });
});

test('call gate: checks of gate, code, stack and TSS', () => {
  const t = protectedMode(3);
  const call = (): number[] | undefined => refused(t, () => t.rt.call_far(SEL.gate | 3, 0n, 32));
  t.setRam64(GDT + SEL.gate, gate(0x8c, SEL.code0, 0x100));
  assert.deepEqual(call(), [13, SEL.gate], 'DPL');
  t.setRam64(GDT + SEL.gate, gate(0x6c, SEL.code0, 0x100));
  assert.deepEqual(call(), [11, SEL.gate], 'not present');
  t.setRam64(GDT + SEL.gate, gate(0xec, 0, 0x100));
  assert.deepEqual(call(), [13, 0]);
  t.setRam64(GDT + SEL.gate, gate(0xec, SEL.data0, 0x100));
  assert.deepEqual(call(), [13, SEL.data0]);
  t.setRam64(GDT + SEL.gate, gate(0xec, SEL.code0, 0x100));
  assert.deepEqual(
    refused(t, () => t.rt.jmp_far(SEL.gate | 3, 0n, 32)),
    [13, SEL.code0],
  );
  t.setRam32(TSS + 8, 0);
  assert.deepEqual(call(), [10, 0], 'null stack');
  t.setRam32(TSS + 8, SEL.data3);
  assert.deepEqual(call(), [10, SEL.data3 & ~3]);
  t.setRam32(TSS + 8, SEL.stack16);
  t.setRam32(TSS + 4, 0x10);
  t.rt.call_far(SEL.gate | 3, 0n, 32);
  assert.equal(t.u64(RSP), 0n, 'a 16-bit stack, filled to its bottom');
  const limited = protectedMode(3);
  limited.segment(L.TR, SEL.tss, 0x8b, BigInt(TSS), 10);
  limited.setRam64(GDT + SEL.gate, gate(0xec, SEL.code0, 0x100));
  const faulted = refused(limited, () => limited.rt.call_far(SEL.gate | 3, 0n, 32));
  assert.deepEqual(faulted, [10, SEL.tss]);
});

test('long mode: 64-bit call gate, far return, compatibility code', () => {
  const t = longMode(3);
  t.setRam64(GDT + SEL.gate, gate(0xec, SEL.code64, 0x1_8000));
  t.setRam64(GDT + SEL.gate + 8, 0xffff_8000n);
  t.rt.call_far(SEL.gate | 3, 0n, 32);
  const target = { cs: SEL.code64, rip: 0xffff_8000_0001_8000n, cpl: 0, rsp: 0x7fe0n };
  assert.deepEqual(where(t), target);
  const pushed = [0, 1, 2, 3].map((n) => Number(t.ram64(0x7fe0 + n * 8)));
  assert.deepEqual(pushed, [0x1236, SEL.code64u, 0x7000, SEL.data3]);
  t.rt.ret_far(64, 0);
  assert.deepEqual(where(t), { cs: SEL.code64u, rip: 0x1236n, cpl: 3, rsp: 0x7000n });
  t.rt.jmp_far(SEL.code3, 0x500n, 32);
  assert.equal(t.u32(L.CODE_MODE), 1);
  assert.equal(t.u64(L.LINEAR_MASK), 0xffff_ffffn);
  t.setRam64(GDT + SEL.gate + 8, 0x8000n);
  t.setRam64(GDT + SEL.absent, descriptor(0xfb, 0xe));
  assert.deepEqual(
    refused(t, () => t.rt.call_far(SEL.gate | 3, 0n, 32)),
    [13, 0],
  );
  assert.deepEqual(
    refused(t, () => t.rt.jmp_far(SEL.absent | 3, 0n, 32)),
    [13, SEL.absent],
  );
});

test('segment loads: data and stack checks, null, LDT', () => {
  const t = protectedMode();
  const load = (n: number, selector: number): number[] | undefined =>
    refused(t, () => t.rt.load_seg(n, selector));
  assert.deepEqual(load(L.SS, 0), [13, 0]);
  assert.deepEqual(load(L.SS, SEL.data3), [13, SEL.data3 & ~3]);
  assert.deepEqual(load(L.SS, SEL.code0), [13, SEL.code0]);
  t.setRam64(GDT + SEL.absent, descriptor(0x13, 0xc));
  assert.deepEqual(load(L.SS, SEL.absent), [12, SEL.absent]);
  assert.deepEqual(load(L.DS, SEL.absent), [11, SEL.absent]);
  assert.deepEqual(load(L.DS, SEL.tss), [13, SEL.tss]);
  assert.deepEqual(load(L.DS, 0xc), [13, 0xc], 'no LDT');
  assert.deepEqual(
    refused(t, () => t.rt.lldt(SEL.tss)),
    [13, SEL.tss],
  );
  t.setRam64(0x9008, descriptor(0x92, 4, 0x1_2000, 0x7f));
  t.rt.lldt(SEL.ldt);
  assert.equal(load(L.DS, 0xc), undefined);
  assert.equal(t.base(L.DS), 0x1_2000n);
  assert.equal(t.ram32(0x900c) & 0x100, 0x100);
  assert.deepEqual(
    refused(t, () => t.rt.ltr(SEL.tss)),
    [13, SEL.tss],
    'busy',
  );
  assert.equal(t.rt.lar(SEL.code3), 0xc0_fb00n);
  assert.equal(t.rt.lar(0x1000), -1n);
  assert.equal(t.rt.lsl(SEL.tss), 0x67n);
  assert.equal(t.rt.lsl(SEL.data0), 0xffff_ffffn);
  assert.deepEqual([t.rt.verr(SEL.code0), t.rt.verw(SEL.code0), t.rt.verw(SEL.data0)], [1, 0, 1]);
  assert.deepEqual([t.rt.verr(SEL.data0 | 3), t.rt.verr(SEL.tss)], [0, 0]);
});

/** A second task, 32- or 16-bit, at 0xa000. */
function secondTask(t: TestCpu, wide: boolean, eflags = 2): void {
  t.setRam64(GDT + SEL.task2, descriptor(wide ? 0x89 : 0x81, 0, TASK2, wide ? 0x67 : 0x2b));
  if (wide) {
    t.setRam32(TASK2 + 32, 0x4_0000);
    t.setRam32(TASK2 + 36, eflags);
    for (let n = 0; n < 8; n++) t.setRam32(TASK2 + 40 + n * 4, 0x100 * (n + 1));
    const selectors = [SEL.data0, SEL.code0, SEL.data0, SEL.data0, 0, 0, 0];
    selectors.forEach((selector, n) => {
      t.setRam32(TASK2 + 72 + n * 4, selector);
    });
  } else {
    t.setRam16(TASK2 + 14, 0x4000);
    t.setRam16(TASK2 + 16, eflags);
    for (let n = 0; n < 8; n++) t.setRam16(TASK2 + 18 + n * 2, 0x100 * (n + 1));
    [SEL.data0, SEL.code0, SEL.data0, SEL.data0, 0].forEach((selector, n) => {
      t.setRam16(TASK2 + 34 + n * 2, selector);
    });
  }
}

test('task switch by CALL and back by IRET: 32-bit TSS', () => {
  const t = protectedMode();
  secondTask(t, true);
  t.rt.write_flags(0x41n, 0x8d5n);
  t.rt.call_far(SEL.task2, 0n, 32);
  assert.deepEqual(where(t), { cs: SEL.code0, rip: 0x4_0000n, cpl: 0, rsp: 0x500n });
  assert.equal(t.selector(L.TR), SEL.task2);
  assert.equal(t.rt.read_flags(), NT | 2n);
  assert.equal(t.u64(L.CR0) & 8n, 8n, 'TS');
  assert.equal(t.ram16(TASK2), SEL.tss, 'the link');
  assert.deepEqual(
    [t.ram32(TSS + 32), t.ram32(TSS + 36), t.ram32(TSS + 56)],
    [0x1236, 0x43, 0x7000],
  );
  assert.equal((t.ram32(GDT + SEL.task2 + 4) >> 8) & 15, 11, 'busy');
  assert.equal((t.ram32(GDT + SEL.tss + 4) >> 8) & 15, 11);
  t.setU64(L.NEXT_RIP, 0x4_0010n);
  t.rt.iret(32);
  assert.deepEqual(where(t), { cs: SEL.code0, rip: 0x1236n, cpl: 0, rsp: 0x7000n });
  assert.equal(t.rt.read_flags(), 0x43n);
  assert.equal((t.ram32(GDT + SEL.task2 + 4) >> 8) & 15, 9, 'available again');
  assert.deepEqual([t.ram32(TASK2 + 32), t.ram32(TASK2 + 36)], [0x4_0010, 2]);
});

test('task switch by JMP: 16-bit TSS, the old task is no longer busy', () => {
  const t = protectedMode();
  secondTask(t, false);
  t.rt.jmp_far(SEL.task2, 0n, 32);
  assert.deepEqual([t.u64(L.RIP), t.u64(RSP)], [0x4000n, 0xffff_0500n]);
  assert.equal((t.ram32(GDT + SEL.tss + 4) >> 8) & 15, 9);
  assert.equal(t.rt.read_flags() & NT, 0n);
});

test('task gate in the IDT: the error code goes to the new stack', () => {
  const t = protectedMode();
  secondTask(t, true);
  t.setRam64(IDT + 8 * 8, gate(0x85, SEL.task2, 0));
  t.setRam64(GDT + SEL.gate, gate(0xe5, SEL.task2, 0));
  t.setU32(L.EXC_VECTOR, 8);
  t.setU32(L.EXC_HAS_ERROR, 1);
  t.setU32(L.EXC_KIND, L.EXC_FAULT);
  t.setU32(L.EVENT, L.EVENT_EXCEPTION);
  t.events();
  assert.deepEqual(where(t), { cs: SEL.code0, rip: 0x4_0000n, cpl: 0, rsp: 0x4fcn });
  assert.equal(t.ram32(0x4fc), 0);
  assert.equal(t.ram32(TSS + 32), 0x1234, 'the faulting instruction');
  assert.deepEqual(
    refused(t, () => t.rt.call_far(SEL.gate, 0n, 32)),
    [13, SEL.task2],
    'busy',
  );
});

test('task switch: faults of the new task are taken in it; T flag', () => {
  const t = protectedMode();
  secondTask(t, true);
  t.setRam32(TASK2 + 84, SEL.code16 | 1 | 0x1000);
  const fault = t.fault(() => t.rt.jmp_far(SEL.task2, 0n, 32));
  assert.deepEqual([fault?.vector, fault?.error], [10, (SEL.code16 | 0x1000) & ~3]);
  assert.equal(t.selector(L.TR), SEL.task2);
  assert.equal(t.u64(L.RIP), 0x4_0000n);
  const v = protectedMode();
  secondTask(v, true, 0x2_0002);
  v.setRam32(TASK2 + 76, 0x1000);
  v.setRam32(TASK2 + 32, 0x40);
  v.setRam32(TASK2 + 100, 1);
  v.rt.jmp_far(SEL.task2, 0n, 32);
  assert.deepEqual([v.u32(L.CPL), v.base(L.CS)], [3, 0x1_0000n], 'virtual-8086 mode');
  v.setRam64(IDT + 8, gate(0x8e, SEL.code0, 0x100));
  v.setRam32(TSS + 4, 0x8000);
  v.setRam32(TASK2 + 4, 0x8000);
  v.setRam32(TASK2 + 8, SEL.data0);
  v.events();
  assert.equal(v.u64(L.RIP), 0x100n);
  assert.equal(v.u64(L.DR + 0x30) & 0xe00fn, 0x8000n);
  const short = protectedMode();
  secondTask(short, true);
  short.setRam64(GDT + SEL.task2, descriptor(0x89, 0, TASK2, 0x66));
  assert.deepEqual(
    refused(short, () => short.rt.jmp_far(SEL.task2, 0n, 32)),
    [10, SEL.task2],
  );
});
