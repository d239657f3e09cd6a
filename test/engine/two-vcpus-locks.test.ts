import assert from 'node:assert/strict';
import test from 'node:test';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { ManualClock } from '#src/base/clock.js';
import * as L from '#src/cpu/state/layout.js';
import { ManualTimers } from '#src/device/timer.js';
import type { Vm } from '#src/engine/engine.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import { PcInterrupts } from '#src/machine/interrupts.js';
import { type Jit, jitModes, softCode } from './jit.js';
import {
  APIC,
  at,
  CODE,
  handler,
  handlers,
  PINGS,
  program,
  ROUNDS,
  SIXTEEN_START,
} from './two-vcpus-guest.js';

const VCPUS = 2;
const MIB = 1 << 20;
const RAM_BYTES = 2 * MIB;
/** How long all of it may take before it is a failure with a report. */
const PATIENCE_MS = 60_000;

// Guest-physical addresses.
const PML4 = 0x1000;
const IDT = 0x6000;
const GDT = 0x7000;

/** This thread's view of the VM: over `memory` where another thread made it. */
function openVm(jit: Jit, memory?: { buffer: ArrayBufferLike }) {
  let made = memory;
  const createMemory = (pages: number) => (made ??= softCode.createMemory(pages));
  const engine = new SoftEngine({ ...softCode, createMemory }, { jit, jitThreshold: 10 });
  const clock = new ManualClock();
  const timers = new ManualTimers();
  const vm = engine.createVm({
    memoryBytes: RAM_BYTES,
    vcpus: VCPUS,
    clock,
    randomU32: () => 1,
    interrupts: (store) => new PcInterrupts({ vcpus: VCPUS, clock, timers, store }),
    onAttention() {},
  });
  return { vm, memory: made! };
}

/** Code, tables and counters of the guest. */
function build(vm: Vm): DataView {
  const { bytes, start } = vm.memory;
  vm.setMemorySlot({
    id: 0,
    gpa: 0,
    sizeBytes: RAM_BYTES,
    place: start,
    readonly: false,
    log: false,
  });
  const ram = new DataView(bytes.buffer, start, RAM_BYTES);
  const u64 = (gpa: number, value: number | bigint) => ram.setBigUint64(gpa, BigInt(value), true);
  u64(PML4, 0x2003);
  u64(0x2000, 0x3003);
  u64(0x3000, 0x4003);
  for (let n = 0; n < 511; n++) u64(0x4000 + n * 8, (n << 12) | 3);
  u64(0x4000 + (APIC >>> 12) * 8, 0xfee0_0003);
  u64(GDT + 8, 0x00af_9b00_0000_ffffn);
  u64(GDT + 16, 0x00cf_9300_0000_ffffn);
  for (const [vector, address] of Object.entries(handlers)) {
    u64(IDT + Number(vector) * 16, 0x8e00_0008_0000n | BigInt(address & 0xffff));
    ram.setUint32(IDT + Number(vector) * 16 + 4, (address & 0xffff_0000) | 0x8e00, true);
    bytes.set(handler(Number(vector)), start + address);
  }
  for (let n = 0; n < VCPUS; n++) bytes.set(program(n), start + CODE + n * 0x1000);
  u64(at.sixteen, SIXTEEN_START);
  return ram;
}

/** Runs vCPU `index` until all are done; answers the sum of the tickets it drew. */
function runVcpu(index: number, jit: Jit, memory: { buffer: ArrayBufferLike }): bigint {
  const { vm } = openVm(jit, memory);
  const vcpu = vm.createVcpu(index);
  const record = vcpu.getRecord();
  const { registers, system } = record;
  registers.rip = BigInt(CODE + index * 0x1000);
  registers.gpr[4] = BigInt(0x9000 + index * 0x1000);
  Object.assign(system, { cr0: 0x8001_0011n, cr3: BigInt(PML4), cr4: 0x20n, efer: 0x500n });
  system.gdtr = { base: BigInt(GDT), limit: 23 };
  system.idtr = { base: BigInt(IDT), limit: 0xfff };
  const flat = { limit: 0xffff_ffff, base: 0n, unusable: false };
  system.segments[L.CS] = { ...flat, selector: 8, attributes: 0xa09b };
  system.segments[L.SS] = { ...flat, selector: 16, attributes: 0xc093 };
  // vCPU 1 does not wait for a start-up IPI.
  record.events.activity = 0;
  vcpu.setRecord(record);
  const words = new Int32Array(memory.buffer);
  const done = (vm.memory.start + at.done) >> 2;
  const attention = (L.VCPU_AREA + index * L.VCPU_STRIDE + L.ATTENTION) >> 2;
  for (;;) {
    vcpu.setBudget!(1_000_000);
    const exit = vcpu.run();
    if (exit.kind === 'hlt') {
      if (Atomics.load(words, done) === VCPUS) return vcpu.getRecord().registers.gpr[12]!;
      // Whoever sets a bit does so before it wakes us.
      Atomics.wait(words, attention, 0, 20);
    } else if (exit.kind !== 'intr') {
      const { rip } = vcpu.getRecord().registers;
      throw new Error(`vCPU ${index} left with ${exit.kind} at ${rip.toString(16)}`);
    }
  }
}

if (workerData?.memory) {
  const { index, jit, memory } = workerData;
  parentPort!.postMessage(runVcpu(index, jit, memory));
} else {
  for (const jit of jitModes) declare(jit);
}

function declare(jit: Jit): void {
  const name = 'two vCPUs in two threads: locked counters, CMPXCHG16B and IPIs are exact';
  test(`${name} (jit ${jit})`, async () => {
    const { vm, memory } = openVm(jit);
    const ram = build(vm);
    const workers: Worker[] = [];
    const run = (index: number): Promise<bigint> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(new URL(import.meta.url), {
          workerData: { index, jit, memory },
        });
        workers.push(worker);
        worker.once('message', resolve).once('error', reject);
      });
    const counters = () =>
      Object.entries(at).map(([name, gpa]) => `${name} ${ram.getBigUint64(gpa, true)}`);
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const view = new DataView(memory.buffer);
        const places = [0, 1].map((n) => {
          const area = L.VCPU_AREA + n * L.VCPU_STRIDE;
          const rip = view.getBigUint64(area + L.RIP, true).toString(16);
          const attention = view.getUint32(area + L.ATTENTION, true);
          const event = view.getUint32(area + L.EVENT, true);
          return `vCPU ${n}: rip ${rip} attention ${attention} event ${event}`;
        });
        const running = `running ${view.getUint32(L.VM_RUNNING, true)}`;
        const lock = `lock ${view.getUint32(L.VM_EXCLUSIVE_LOCK, true)}`;
        const report = [...places, running, lock, ...counters()].join(', ');
        reject(new Error(`not done after ${PATIENCE_MS} ms: ${report}`));
      }, PATIENCE_MS);
    });
    try {
      const sums = await Promise.race([Promise.all([run(0), run(1)]), patience]);
      const total = VCPUS * ROUNDS;
      const u32 = (gpa: number) => ram.getUint32(gpa, true);
      const u64 = (gpa: number) => ram.getBigUint64(gpa, true);
      assert.equal(u32(at.aligned), total);
      for (const gpa of [at.unaligned, at.lineCrossing, at.pageCrossing, at.guarded]) {
        assert.equal(u64(gpa), BigInt(total), `the counter at ${gpa.toString(16)}`);
      }
      assert.equal(u32(at.exchanged), total);
      assert.equal(u32(at.tickets), total);
      assert.equal(sums[0] + sums[1], BigInt((total * (total - 1)) / 2), 'tickets');
      const sixteen = u64(at.sixteen) | (u64(at.sixteen + 8) << 64n);
      assert.equal(sixteen, SIXTEEN_START + BigInt(total) * ((2n << 64n) + 1n));
      assert.equal(u32(at.pings), PINGS);
      assert.equal(u32(at.pongs), PINGS);
      const state = new DataView(memory.buffer);
      assert.equal(state.getUint32(L.VM_RUNNING, true), 0);
      assert.equal(state.getUint32(L.VM_EXCLUSIVE_LOCK, true), 0);
    } finally {
      clearTimeout(timer);
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  });
}
