import assert from 'node:assert/strict';
import test from 'node:test';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { ManualClock } from '#src/base/clock.js';
import * as layout from '#src/cpu/state/layout.js';
import { ManualTimers } from '#src/device/timer.js';
import type { Vcpu, Vm } from '#src/engine/engine.js';
import type { WasmMemory } from '#src/engine/soft/soft-code.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import { identityPageTables, longStart, startGdt } from '#src/firmware/start-state.js';
import { PcInterrupts } from '#src/machine/interrupts.js';
import { startRecord } from '#src/machine/start-record.js';
import { type Jit, jitModes, softCode } from './jit.js';

/*
 * vcpu0:    mov dword [rsi+0xf0], 0x1ff         vcpu1:    mov dword [rsi+0xf0], 0x1ff
 *     1:    pause                                         mov dword [rdi+0x40], 1
 *           cmp dword [rdi+0x40], 1                       sti
 *           jne 1b                                  2:    hlt
 *           mov dword [rsi+0x310], 0x01000000             cmp dword [rdi+0x48], 1
 *           mov dword [rsi+0x300], 0x4040                 jne 2b
 *           jmp work                                      cli
 *                                               work:     lock inc qword [rdi]
 * handler:  inc dword [rdi+0x48]                          lock inc dword [rdi+0xffe]
 *           mov dword [rsi+0xb0], 0                       mov eax, 1
 *           iretq                                         lock xadd [rdi+0x23], rax
 *                                                         mov rax, [rdi+0x10]
 *                                                         mov rdx, [rdi+0x18]
 *                                                   3:    lea rbx, [rax+1]
 *                                                         lea rcx, [rdx+2]
 *                                                         lock cmpxchg16b [rdi+0x10]
 *                                                         jne 3b
 *                                                         dec r8
 *                                                         jnz work
 *                                                         hlt
 */
const CODE = `
c786f0000000ff010000f390837f400175f8c7861003000000000001c7860003000040400000eb3266662e0f1f84000000
000066662e0f1f8400000000006690c786f0000000ff010000c7474001000000fbf4837f480175f9faf048ff07f0ff87fe
0f0000b801000000f0480fc14723488b4710488b5718488d5801488d4a02f0480fc74f1075f049ffc875cdf466662e0f1f
84000000000066662e0f1f84000000000066662e0f1f84000000000066662e0f1f840000000000660f1f440000ff4748c7
86b00000000000000048cf`.replaceAll(/\s/g, '');
const [VCPU0, VCPU1, HANDLER] = [0, 0x40, 0xc0];
const AT = { code: 0x1_0000, gdt: 0x1000, idt: 0x2000, tables: 0x2_0000, shared: 0x20_0000 };
const RAM = 4 << 20;
const VECTOR = 0x40;
const ROUNDS = 100_000n;

/** The same VM as seen by one thread; each thread makes the vCPU it runs. */
function open(jit: Jit, memory?: WasmMemory): Vm & { wasmMemory: WasmMemory } {
  const engine = new SoftEngine(
    memory === undefined ? softCode : { ...softCode, createMemory: () => memory },
    { jit, jitThreshold: 10 },
  );
  const clock = new ManualClock();
  const vm = engine.createVm({
    memoryBytes: RAM,
    vcpus: 2,
    clock,
    randomU32: () => 1,
    interrupts: (store) => new PcInterrupts({ vcpus: 2, clock, timers: new ManualTimers(), store }),
    onAttention() {},
  });
  return vm as Vm & { wasmMemory: WasmMemory };
}

/** Runs a vCPU in 64-bit mode from `entry` until it halts with interrupts off. */
function runToEnd(vm: { wasmMemory: WasmMemory }, vcpu: Vcpu, entry: number): void {
  const stack = 0x8_0000 + vcpu.index * 0x1_0000;
  const start = longStart({ rip: AT.code + entry, rsp: stack }, AT.gdt, AT.tables);
  const record = startRecord(start, vcpu.getRecord());
  record.registers.gpr[6] = 0xfee0_0000n;
  record.registers.gpr[7] = BigInt(AT.shared);
  record.registers.gpr[8] = ROUNDS;
  record.system.idtr = { base: BigInt(AT.idt), limit: 0xfff };
  record.events.activity = 0;
  vcpu.setRecord(record);
  const area = layout.VCPU_AREA + vcpu.index * layout.VCPU_STRIDE;
  const words = new Int32Array(vm.wasmMemory.buffer, area, 256);
  for (;;) {
    const exit = vcpu.run();
    assert.ok(exit.kind === 'hlt' || exit.kind === 'intr', JSON.stringify(exit.kind));
    if (exit.kind === 'intr') continue;
    if ((vcpu.getRecord().registers.rflags & 0x200n) === 0n) return;
    Atomics.wait(words, layout.ATTENTION / 4, 0, 1000);
  }
}

if (!isMainThread && workerData?.memory !== undefined) {
  const vm = open(workerData.jit, workerData.memory);
  runToEnd(vm, vm.createVcpu(1), VCPU1);
} else {
  for (const jit of jitModes) declare(jit);
}

function declare(jit: Jit): void {
  const name = 'soft: two vCPUs in two threads share memory exactly and reach each other by IPI';
  test(`${name} (jit ${jit})`, { timeout: 60_000 }, async () => {
    const vm = open(jit);
    const { bytes, start } = vm.memory;
    vm.setMemorySlot({ id: 0, gpa: 0, sizeBytes: RAM, place: start, readonly: false, log: false });
    const ram = bytes.subarray(start, start + RAM);
    const view = new DataView(ram.buffer, ram.byteOffset, RAM);
    ram.set(Buffer.from(CODE, 'hex'), AT.code);
    ram.set(startGdt('long'), AT.gdt);
    ram.set(identityPageTables(AT.tables), AT.tables);
    // A 64-bit interrupt gate [SDM 3A figure 6-8].
    const gate = AT.idt + VECTOR * 16;
    view.setUint16(gate, (AT.code + HANDLER) & 0xffff, true);
    view.setUint16(gate + 2, 0x10, true);
    view.setUint16(gate + 4, 0x8e00, true);
    view.setUint16(gate + 6, (AT.code + HANDLER) >>> 16, true);
    const vcpu = vm.createVcpu(0);
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { jit, memory: vm.wasmMemory },
    });
    const ended = new Promise((resolve, reject) => {
      worker.once('exit', resolve).once('error', reject);
    });
    await new Promise((resolve) => worker.once('online', resolve));
    runToEnd(vm, vcpu, VCPU0);
    assert.equal(await ended, 0);
    const total = 2n * ROUNDS;
    assert.equal(view.getBigUint64(AT.shared, true), total, 'aligned');
    assert.equal(view.getUint32(AT.shared + 0xffe, true), Number(total), 'across pages');
    assert.equal(view.getBigUint64(AT.shared + 0x23, true), total, 'unaligned');
    assert.equal(view.getBigUint64(AT.shared + 0x10, true), total, 'CMPXCHG16B, low half');
    assert.equal(view.getBigUint64(AT.shared + 0x18, true), 2n * total, 'CMPXCHG16B, high half');
    assert.equal(view.getUint32(AT.shared + 0x48, true), 1, 'one IPI');
  });
}
