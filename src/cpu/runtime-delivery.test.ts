import assert from 'node:assert/strict';
import test from 'node:test';
import {
  descriptor,
  EFER_LONG,
  GDT,
  gate,
  IDT,
  longMode,
  PT,
  protectedMode,
  RSP,
  SEL,
  TestCpu,
  TSS,
} from './runtime-harness.test.js';
import * as L from './state/layout.js';

const IF = 0x200n;
const TF = 0x100n;
const RF = 0x1_0000;

function setGate(t: TestCpu, vector: number, value: bigint, upper?: bigint): void {
  const size = t.u64(L.EFER) & EFER_LONG ? 16 : 8;
  t.setRam64(IDT + vector * size, value);
  if (size === 16) t.setRam64(IDT + vector * size + 8, upper ?? 0n);
}

/** Records a fault of the current instruction, as generated code does. */
function fault(t: TestCpu, vector: number, error = -1): void {
  t.setU32(L.EXC_VECTOR, vector);
  t.setU32(L.EXC_HAS_ERROR, error < 0 ? 0 : 1);
  t.setU32(L.EXC_ERROR, Math.max(error, 0));
  t.setU32(L.EXC_KIND, L.EXC_FAULT);
  t.setU32(L.EVENT, t.u32(L.EVENT) | L.EVENT_EXCEPTION);
}

function words64(t: TestCpu, at: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Number(t.ram64(at + i * 8)));
}

test('real mode: through the vector table, no error code, IF and TF cleared', () => {
  const t = new TestCpu();
  t.segment(L.CS, 0x1000, 0x9b, 0x1_0000n, 0xffff);
  t.segment(L.SS, 0x2000, 0x93, 0x2_0000n, 0xffff);
  t.rt.update_mode();
  t.setU64(RSP, 0xffff_0100n);
  t.setU64(L.RIP, 0x50n);
  t.setU64(L.NEXT_RIP, 0x52n);
  t.rt.write_flags(IF | 0x41n, 0xffffn);
  t.setRam32(0x21 * 4, 0x3000_0010);
  t.rt.int_n(0x21);
  assert.deepEqual([t.selector(L.CS), t.base(L.CS), t.u64(L.RIP)], [0x3000, 0x3_0000n, 0x10n]);
  assert.equal(t.u64(RSP), 0xffff_00fan);
  assert.deepEqual(t.words(0x2_00fa, 3, 2), [0x52, 0x1000, 0x243]);
  assert.equal(t.rt.read_flags(), 0x43n);
  t.setRam32(13 * 4, 0x4000_0020);
  fault(t, 13, 0);
  assert.equal(t.events(), 0);
  assert.equal(t.u64(RSP), 0xffff_00f4n);
  assert.deepEqual(t.words(0x2_00f4, 3, 2), [0x10, 0x3000, 0x43]);
  t.rt.iret(16);
  assert.deepEqual([t.selector(L.CS), t.u64(L.RIP)], [0x3000, 0x10n]);
  t.rt.iret(16);
  assert.deepEqual([t.selector(L.CS), t.u64(L.RIP)], [0x1000, 0x52n]);
  assert.equal(t.rt.read_flags(), IF | 0x43n);
});

test('protected mode, same level: 32- and 16-bit gates, error code, RF in the image of faults', () => {
  const t = protectedMode();
  t.rt.write_flags(IF | TF | 1n, 0xffffn);
  setGate(t, 13, gate(0x8e, SEL.code0, 0x1_2345));
  fault(t, 13, 0x18);
  t.events();
  assert.deepEqual(t.words(0x6ff0, 4), [0x18, 0x1234, SEL.code0, RF | 0x303]);
  assert.equal(t.u64(L.RIP), 0x1_2345n);
  assert.equal(t.rt.read_flags(), 3n);
  setGate(t, 0x40, gate(0x87, SEL.code0, 0x456));
  t.rt.write_flags(IF, IF);
  t.setU64(L.NEXT_RIP, 0x99n);
  t.rt.int_n(0x40);
  assert.deepEqual(t.words(0x6fea, 3, 2), [0x99, SEL.code0, 0x203]);
  assert.equal(t.rt.read_flags() & IF, IF, 'a trap gate leaves IF');
});

test('protected mode, inner level: stack from the TSS, and back with IRET', () => {
  const t = protectedMode(3);
  setGate(t, 0x80, gate(0xee, SEL.code0, 0xabcd));
  t.rt.write_flags(IF, IF);
  t.rt.int_n(0x80);
  assert.deepEqual(t.words(0x7fec, 5), [0x1236, SEL.code3, 0x202, 0x7000, SEL.data3]);
  assert.deepEqual([t.selector(L.CS), t.selector(L.SS)], [SEL.code0, SEL.data0]);
  assert.deepEqual([t.u32(L.CPL), t.u64(RSP), t.u64(L.RIP)], [0, 0x7fecn, 0xabcdn]);
  t.rt.load_seg(L.ES, SEL.data0);
  t.rt.iret(32);
  assert.deepEqual([t.u32(L.CPL), t.u64(RSP), t.u64(L.RIP)], [3, 0x7000n, 0x1236n]);
  assert.deepEqual([t.selector(L.CS), t.selector(L.SS)], [SEL.code3, SEL.data3]);
  assert.equal(t.selector(L.ES), 0, 'an inner data segment becomes null');
  assert.equal(t.selector(L.DS), SEL.data3);
  assert.equal(t.rt.read_flags(), IF | 2n);
});

test('gate checks: DPL of software interrupts, presence, types, the IDT limit, EXT', () => {
  const t = protectedMode(3);
  setGate(t, 0x30, gate(0x8e, SEL.code0, 0x100));
  setGate(t, 0x31, gate(0x6e, SEL.code0, 0x100));
  setGate(t, 0x32, gate(0xec, SEL.code0, 0x100));
  setGate(t, 0x33, gate(0xee, SEL.absent, 0x100));
  setGate(t, 0x34, gate(0xee, 0, 0x100));
  const error = (vector: number): number[] | undefined => {
    const f = t.fault(() => t.rt.int_n(vector));
    return f && [f.vector, f.error];
  };
  assert.deepEqual(error(0x30), [13, 0x182]);
  assert.deepEqual(error(0x31), [11, 0x18a]);
  assert.deepEqual(error(0x32), [13, 0x192]);
  assert.deepEqual(error(0x33), [13, SEL.absent], 'not code comes before not present');
  assert.deepEqual(error(0x34), [13, 0]);
  t.setU32(L.IDTR + 8, 0x17f);
  assert.deepEqual(error(0x30), [13, 0x182]);
  assert.deepEqual([t.u64(RSP), t.u64(L.RIP), t.u32(L.CPL)], [0x7000n, 0x1234n, 3]);
  // An external interrupt's fault has EXT set.
  t.setU32(L.IDTR + 8, 0x7ff);
  setGate(t, 13, gate(0x8e, SEL.code0, 0x1000));
  setGate(t, 0x50, gate(0x0e, SEL.code0, 0x100));
  setGate(t, 11, gate(0x8e, SEL.code0, 0x1100));
  t.rt.write_flags(IF, IF);
  t.interrupts.push(0x50);
  t.setU32(L.ATTENTION, L.ATT_INTERRUPT);
  t.events();
  assert.equal(t.u64(L.RIP), 0x1100n);
  assert.equal(t.ram32(0x8000 - 24), 0x50 * 8 + 3);
});

test('double and triple faults [SDM 3A table 6-5]', () => {
  const t = protectedMode();
  setGate(t, 8, gate(0x8e, SEL.code0, 0x800));
  fault(t, 13, 0); // vector 13 has no gate: #GP while a #GP is delivered
  t.events();
  assert.equal(t.u64(L.RIP), 0x800n);
  assert.deepEqual(t.words(0x6ff0, 3), [0, 0x1234, SEL.code0]);
  assert.equal(t.u32(L.DELIVERING) | 0, -1);
  // A benign first exception: the second is delivered alone.
  t.setU64(RSP, 0x7000n);
  t.setU64(L.RIP, 0x1234n);
  setGate(t, 11, gate(0x8e, SEL.code0, 0xb00));
  setGate(t, 6, gate(0x0e, SEL.code0, 0x600));
  fault(t, 6);
  t.events();
  assert.equal(t.u64(L.RIP), 0xb00n);
  assert.equal(t.ram32(0x6ff0), 6 * 8 + 3);
  setGate(t, 8, 0n);
  fault(t, 13, 0);
  assert.equal(t.events(), 2);
  assert.equal(t.u32(L.EXIT_REASON), L.EXIT_SHUTDOWN);
  assert.equal(t.events(), 2, 'and it stays shut down');
});

test('double fault: a page fault in the delivery of a page fault, and not of a #GP', () => {
  const t = longMode();
  t.setU32(L.IDTR + 8, 0xfff);
  setGate(t, 8, gate(0x8e, SEL.code64, 0x800, 1));
  setGate(t, 14, gate(0x8e, SEL.code64, 0xe00, 2));
  setGate(t, 13, gate(0x8e, SEL.code64, 0xd00));
  t.setRam64(TSS + 0x24, 0x8000n);
  t.setRam64(TSS + 0x2c, 0x9000n);
  t.setU64(RSP, 0x6000n);
  t.setRam64(PT + 5 * 8, 0n);
  fault(t, 13, 0);
  t.events();
  assert.equal(t.u64(L.RIP), 0xe00n, '#PF after #GP is delivered as itself');
  assert.equal(t.u64(L.CR2), 0x5ff8n);
  t.setRam64(TSS + 0x2c, 0x6000n);
  t.setU64(L.RIP, 0x1234n);
  t.setU64(L.EXC_ADDRESS, 0x7777n);
  fault(t, 14, 0);
  t.events();
  assert.equal(t.u64(L.RIP), 0x800n, '#PF in #PF is a double fault');
  assert.equal(t.u64(L.CR2), 0x5ff8n);
  assert.deepEqual(words64(t, 0x7fd0, 2), [0, 0x1234]);
});

test('long mode: from user code, IST, alignment of RSP, and back with IRETQ', () => {
  const t = longMode(3);
  t.setU64(RSP, 0x6ff9n);
  setGate(t, 0x20, gate(0x8e, SEL.code64, 0x1_0000), 0xffff_8000n);
  setGate(t, 0x21, gate(0x8e, SEL.code64, 0x2_0000, 3));
  t.setRam64(TSS + 0x34, 0x9008n);
  t.rt.write_flags(IF, IF);
  t.interrupts.push(0x20);
  t.setU32(L.ATTENTION, L.ATT_INTERRUPT);
  assert.equal(t.events(), 0);
  assert.equal(t.u64(L.RIP), 0xffff_8000_0001_0000n);
  assert.deepEqual(words64(t, 0x7fd8, 5), [0x1234, SEL.code64u, 0x202, 0x6ff9, SEL.data3]);
  assert.deepEqual([t.u32(L.CPL), t.selector(L.SS), t.u64(RSP)], [0, 0, 0x7fd8n]);
  assert.equal(t.u64(L.ATTENTION) & 0xffff_ffffn, 0n);
  fault(t, 0x21);
  t.events();
  assert.equal(t.u64(RSP), 0x9000n - 40n, 'the IST entry, aligned');
  t.rt.iret(64);
  assert.equal(t.u64(RSP), 0x7fd8n);
  t.rt.iret(64);
  assert.deepEqual([t.u32(L.CPL), t.selector(L.SS), t.u64(RSP)], [3, SEL.data3, 0x6ff9n]);
  assert.equal(t.u64(L.RIP), 0x1234n);
  // A non-canonical handler or return address.
  t.rt.write_flags(0n, IF);
  setGate(t, 0x22, gate(0xee, SEL.code64, 0), 0x8000n);
  assert.deepEqual(t.fault(() => t.rt.int_n(0x22))?.error, 0);
  setGate(t, 0x22, gate(0xee, SEL.code0, 0));
  assert.deepEqual(t.fault(() => t.rt.int_n(0x22))?.error, SEL.code0, 'not 64-bit code');
});

test('virtual-8086 mode: entry by IRETD, interrupts leave it, IOPL guards INT n and IRET', () => {
  const t = protectedMode();
  setGate(t, 0x21, gate(0xee, SEL.code0, 0x5000));
  t.setU64(RSP, 0x6000n);
  const frame = [0x100, 0x2000, 0x2_3202, 0x1fe, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000];
  frame.forEach((word, i) => {
    t.setRam32(0x6000 + i * 4, word);
  });
  t.rt.iret(32);
  assert.deepEqual([t.u32(L.CPL), t.base(L.CS), t.base(L.SS)], [3, 0x2_0000n, 0x3_0000n]);
  assert.equal(t.attributes(L.GS), 0xf3);
  t.setU64(L.NEXT_RIP, 0x102n);
  t.rt.int_n(0x21);
  const pushed = [0x102, 0x2000, 0x2_3202, 0x1fe, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000];
  assert.deepEqual(t.words(0x8000 - 36, 9), pushed);
  assert.deepEqual([t.u32(L.CPL), t.selector(L.DS), t.selector(L.GS)], [0, 0, 0]);
  assert.equal(t.rt.read_flags() & 0x2_0000n, 0n);
  t.rt.iret(32);
  assert.deepEqual([t.u64(L.RIP), t.selector(L.GS), t.u64(RSP)], [0x102n, 0x7000, 0x1fen]);
  t.rt.write_flags(0n, 0x3000n);
  assert.deepEqual(t.fault(() => t.rt.int_n(0x21))?.vector, 13);
  assert.deepEqual(t.fault(() => t.rt.iret(16))?.vector, 13);
  setGate(t, 3, gate(0xee, SEL.code0, 0x300));
  t.rt.int3();
  assert.equal(t.u64(L.RIP), 0x300n, 'INT3 does not look at IOPL');
});

test('shadows: one instruction without interrupts; an exit does not lose it', () => {
  const t = protectedMode();
  setGate(t, 0x20, gate(0x8e, SEL.code0, 0x2000));
  t.rt.write_flags(IF, IF);
  t.setU32(L.EVENT, L.EVENT_SHADOW);
  t.interrupts.push(0x20);
  t.setU32(L.ATTENTION, L.ATT_INTERRUPT);
  assert.equal(t.events(), 1);
  assert.notEqual(t.u64(L.ATTENTION) >> 32n, 0n, 'the events are looked at again');
  assert.equal(t.events(), 1, 'left by an exit: still in the shadow');
  t.rt.after_step();
  assert.equal(t.events(), 0);
  assert.equal(t.u64(L.RIP), 0x2000n);
  assert.equal(t.u64(L.ATTENTION), 0n);
});

test('interrupts wait for IF without keeping the CPU busy', () => {
  const t = protectedMode();
  setGate(t, 0x20, gate(0x8e, SEL.code0, 0x2000));
  t.interrupts.push(0x20);
  t.setU32(L.ATTENTION, L.ATT_INTERRUPT);
  assert.equal(t.events(), 0);
  assert.equal(t.u64(L.ATTENTION), 0n);
  t.rt.write_flags(IF, IF);
  assert.notEqual(t.u32(L.EVENT), 0);
  t.events();
  assert.equal(t.u64(L.RIP), 0x2000n);
});

test('NMI: blocked until IRET; HLT is left by it and by interrupts', () => {
  const t = protectedMode();
  setGate(t, 2, gate(0x8e, SEL.code0, 0x200));
  t.rt.set_activity(1);
  assert.equal(t.events(), 2);
  assert.equal(t.u32(L.EXIT_REASON), L.EXIT_HALT);
  t.setU32(L.ATTENTION, L.ATT_NMI);
  assert.equal(t.events(), 0);
  assert.deepEqual([t.u64(L.RIP), t.u32(L.ACTIVITY), t.u32(L.NMI_STATE)], [0x200n, 0, 2]);
  t.setU64(L.RIP, 0x210n);
  t.setU32(L.ATTENTION, L.ATT_NMI);
  assert.equal(t.events(), 0);
  assert.equal(t.u64(L.RIP), 0x210n);
  t.rt.iret(32);
  t.events();
  assert.equal(t.u64(L.RIP), 0x200n);
  assert.equal(t.ram32(0x7000 - 12), 0x1234);
});

test('single step: the instruction after the one that sets TF, DR6.BS, and mov ss', () => {
  const t = protectedMode();
  setGate(t, 1, gate(0x8e, SEL.code0, 0x100));
  t.rt.write_flags(TF, TF);
  assert.equal(t.events(), 1);
  t.setU64(L.RIP, 0x1236n);
  t.rt.after_step();
  assert.equal(t.events(), 0);
  assert.equal(t.u64(L.RIP), 0x100n);
  assert.equal(t.u64(L.DR + 0x30) & 0xe00fn, 0x4000n);
  assert.deepEqual(t.words(0x6ff4, 3), [0x1236, SEL.code0, 0x102]);
  t.rt.write_flags(TF, TF);
  t.events();
  t.setU32(L.EVENT, t.u32(L.EVENT) | L.EVENT_SHADOW_SS | L.EVENT_SHADOW);
  t.rt.after_step();
  assert.equal(t.events(), 1, 'no trap after mov ss');
  // INT n under TF: the trap is lost.
  setGate(t, 0x30, gate(0x8e, SEL.code0, 0x3000));
  t.rt.int_n(0x30);
  t.rt.after_step();
  assert.equal(t.events(), 0);
  assert.equal(t.u64(L.RIP), 0x3000n);
});

test('debug registers: execution and data breakpoints, RF', () => {
  const t = protectedMode();
  setGate(t, 1, gate(0x8e, SEL.code0, 0x100));
  t.setU64(L.DR, 0x1234n);
  t.setU64(L.DR + 8, 0x5004n);
  t.setU64(L.DR + 0x38, 0x400n | 0xan | (0xdn << 20n)); // G0 execute; G1 write, 4 bytes
  t.rt.update_debug();
  t.events();
  assert.equal(t.u64(L.RIP), 0x100n);
  assert.equal(t.u64(L.DR + 0x30) & 0xfn, 1n);
  t.setRam32(0x6ffc, t.ram32(0x6ffc) | RF);
  t.rt.iret(32);
  assert.equal(t.events(), 1, 'RF: the instruction runs');
  assert.equal(t.rt.read_flags() & 0x1_0000n, 0n);
  const flat = L.SEGMENTS + L.FLAT * L.SEGMENT_SIZE;
  t.rt.probe_read(0x5004n, 4, flat);
  assert.equal(t.u32(L.DEBUG_HITS), 0);
  t.rt.probe_write(0x5007n, 2, flat);
  t.rt.after_step();
  t.setU64(L.RIP, 0x1240n);
  t.events();
  assert.equal(t.u64(L.RIP), 0x100n);
  assert.equal(t.u64(L.DR + 0x30) & 0xfn, 2n);
  assert.equal(t.ram32(0x6ff4), 0x1240);
});

test('INIT and SIPI', () => {
  const t = protectedMode();
  t.setU32(L.ATTENTION, L.ATT_INIT);
  assert.equal(t.events(), 2);
  assert.deepEqual([t.u32(L.ACTIVITY), t.u64(L.CR0) & 1n, t.u64(L.RIP)], [2, 0n, 0xfff0n]);
  t.setU32(L.SIPI_VECTOR, 0x9a);
  t.setU32(L.ATTENTION, L.ATT_SIPI);
  assert.equal(t.events(), 0);
  assert.deepEqual([t.base(L.CS), t.selector(L.CS), t.u64(L.RIP)], [0x9_a000n, 0x9a00, 0n]);
});

test('INT1 ignores the gate DPL; INTO looks at OF; stack faults of a 16-bit stack', () => {
  const t = protectedMode(3);
  setGate(t, 1, gate(0x8e, SEL.code0, 0x100));
  setGate(t, 4, gate(0xee, SEL.code0, 0x400));
  t.rt.into();
  assert.equal(t.u64(L.RIP), 0x1236n);
  t.rt.write_flags(0x800n, 0x800n);
  t.rt.into();
  assert.equal(t.u64(L.RIP), 0x400n);
  t.rt.iret(32);
  t.rt.int1();
  assert.equal(t.u64(L.RIP), 0x100n);
  t.rt.iret(32);
  t.setRam64(GDT + SEL.stack16, descriptor(0x92, 0, 0x5_0000, 0x3));
  t.setRam32(TSS + 8, SEL.stack16);
  t.setRam32(TSS + 4, 0x8);
  assert.deepEqual(t.fault(() => t.rt.into())?.vector, 12);
  assert.equal(t.u32(L.EXC_ERROR), SEL.stack16);
});
