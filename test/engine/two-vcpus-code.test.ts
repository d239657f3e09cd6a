/**
 * One vCPU rewrites code that another executes, each in a thread of its own: with the handshake and the
 * serialising instruction that the manual asks for [SDM 3A 9.1.3], and without, where it must be seen at last.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { ManualClock } from '#src/base/clock.js';
import * as layout from '#src/cpu/state/layout.js';
import { ManualTimers } from '#src/device/timer.js';
import type { Vm } from '#src/engine/engine.js';
import type { WasmMemory } from '#src/engine/soft/soft-code.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import { identityPageTables, longStart, startGdt } from '#src/firmware/start-state.js';
import { PcInterrupts } from '#src/machine/interrupts.js';
import { startRecord } from '#src/machine/start-record.js';
import { Assembler, AX, BX, CC, CX, DX, SI } from '../fuzz/assembler.js';
import { type Jit, jitModes, softCode } from './jit.js';

const RAM = 4 << 20;
const AT = { gdt: 0x1000, tables: 0x2_0000, code: 0x1_0000 } as const;
/** Words that both vCPUs see. */
const TURN = 0x20_0000;
const WRONG = 0x20_0040;
const DONE = 0x20_0080;
const SEEN = 0x20_00c0;
const ROUNDS = 400;
/** Calls of the function after each change: enough to be translated between changes. */
const CALLS = 20;
const JNE = CC.ne;
const PAUSE = [0xf3, 0x90];

function program(): Assembler {
  const a = new Assembler(64, AT.code);
  const waitFor = (turn: number): void => {
    const again = a.mark();
    a.emit(...PAUSE);
    a.aluImm('cmp', { disp: TURN }, turn, 32);
    a.jcc(JNE, again);
  };
  const halt = (): void => {
    a.inc({ disp: DONE }, 32);
    a.emit(0xfa, 0xf4);
  };
  // The one that writes: a new number each round, when it is its turn.
  a.bind('vcpu0');
  a.alu('xor', BX, BX, 32);
  a.bind('write');
  waitFor(0);
  a.inc(BX, 32);
  a.store({ disp: { label: 'number' } }, BX, 32);
  // In another page, too; and an instruction there, INC for DEC.
  a.store({ disp: { label: 'far number' } }, BX, 32);
  a.aluImm('xor', { disp: { label: 'step', plus: 1 } }, 8, 8);
  a.storeImm({ disp: TURN }, 1, 32);
  a.aluImm('cmp', BX, ROUNDS, 32);
  a.jcc(JNE, 'write');
  waitFor(0);
  // Once more, without any handshake.
  a.storeImm({ disp: { label: 'number' } }, -1, 32);
  halt();
  // The one that executes.
  a.bind('vcpu1');
  a.alu('xor', SI, SI, 32);
  a.bind('round');
  a.inc(SI, 32);
  waitFor(1);
  a.alu('xor', AX, AX, 32);
  a.emit(0x0f, 0xa2); // cpuid
  a.movImm(CX, CALLS, 32);
  a.bind('calls');
  a.movImm(DX, 100, 32);
  a.call('function');
  a.alu('cmp', AX, SI, 32);
  a.jcc(JNE, 'wrong');
  a.call('far function');
  a.alu('cmp', AX, SI, 32);
  a.jcc(JNE, 'wrong');
  // Odd rounds have INC.
  a.mov(BX, SI, 32);
  a.aluImm('and', BX, 1, 32);
  a.alu('add', BX, BX, 32);
  a.aluImm('add', BX, 99, 32);
  a.alu('cmp', DX, BX, 32);
  a.jcc(CC.e, 'right');
  a.bind('wrong');
  a.inc({ disp: WRONG }, 32);
  a.bind('right');
  a.dec(CX, 32);
  a.jcc(JNE, 'calls');
  a.storeImm({ disp: TURN }, 0, 32);
  a.aluImm('cmp', SI, ROUNDS, 32);
  a.jcc(JNE, 'round');
  a.bind('until');
  a.call('function');
  a.inc({ disp: SEEN }, 32);
  a.aluImm('cmp', AX, -1, 32);
  a.jcc(JNE, 'until');
  halt();
  const number = (label: string): void => {
    // mov eax,imm32, the number aligned.
    while (a.here % 4 !== 3) a.emit(0x90);
    a.emit(0xb8);
    a.bind(label);
    a.value(0, 4);
  };
  a.align(64);
  a.bind('function');
  number('number');
  a.emit(0xc3);
  a.align(0x1000);
  a.bind('far function');
  number('far number');
  a.bind('step');
  a.dec(DX, 32);
  a.emit(0xc3);
  return a;
}

/** The same VM as seen by one thread; each thread makes the vCPU it runs. */
function open(jit: Jit, memory?: WasmMemory): Vm & { wasmMemory: WasmMemory } {
  const createMemory = (pages: number) => memory ?? softCode.createMemory(pages);
  const engine = new SoftEngine({ ...softCode, createMemory }, { jit, jitThreshold: 5 });
  const clock = new ManualClock();
  const timers = new ManualTimers();
  return engine.createVm({
    memoryBytes: RAM,
    vcpus: 2,
    clock,
    randomU32: () => 1,
    interrupts: (store) => new PcInterrupts({ vcpus: 2, clock, timers, store }),
    onAttention() {},
  }) as Vm & { wasmMemory: WasmMemory };
}

/** Answers how many instructions ran in translated code. */
function runToEnd(vm: Vm & { wasmMemory: WasmMemory }, index: number, rip: number): number {
  const vcpu = vm.createVcpu(index);
  const start = longStart({ rip, rsp: 0x8_0000 + index * 0x1_0000 }, AT.gdt, AT.tables);
  const record = startRecord(start, vcpu.getRecord());
  record.events.activity = 0;
  vcpu.setRecord(record);
  for (;;) {
    const { kind } = vcpu.run();
    if (kind === 'intr') continue;
    assert.equal(kind, 'hlt');
    const area = layout.VCPU_AREA + index * layout.VCPU_STRIDE;
    return Number(new DataView(vm.wasmMemory.buffer).getBigUint64(area + layout.JIT_RETIRED, true));
  }
}

if (!isMainThread && workerData?.memory !== undefined) {
  const { jit, memory, rip } = workerData;
  parentPort!.postMessage(runToEnd(open(jit, memory), 1, rip));
} else {
  for (const jit of jitModes) declare(jit);
}

function declare(jit: Jit): void {
  test(`one vCPU rewrites code that another executes (jit ${jit})`, {
    timeout: 60_000,
  }, async () => {
    const vm = open(jit);
    const { bytes, start } = vm.memory;
    vm.setMemorySlot({ id: 0, gpa: 0, sizeBytes: RAM, place: start, readonly: false, log: false });
    const ram = bytes.subarray(start, start + RAM);
    const view = new DataView(ram.buffer, ram.byteOffset, RAM);
    const a = program();
    ram.set(a.finish(), AT.code);
    ram.set(startGdt('long'), AT.gdt);
    ram.set(identityPageTables(AT.tables), AT.tables);
    const rip = a.addressOf({ label: 'vcpu1' });
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { jit, memory: vm.wasmMemory, rip },
    });
    const other = new Promise<number>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
    });
    try {
      await new Promise((resolve) => worker.once('online', resolve));
      const translated = [runToEnd(vm, 0, a.addressOf({ label: 'vcpu0' })), await other];
      assert.equal(view.getUint32(DONE, true), 2, 'both are done');
      assert.equal(view.getUint32(WRONG, true), 0, 'calls that ran old code');
      assert.ok(view.getUint32(SEEN, true) > 0);
      for (const count of translated) assert.equal(count > 0, jit === 'on', `${count}`);
    } finally {
      await worker.terminate();
    }
  });
}
