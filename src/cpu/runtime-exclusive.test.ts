import assert from 'node:assert/strict';
import test from 'node:test';
import { Worker, workerData } from 'node:worker_threads';
import { TestCpu } from './runtime-harness.test.js';
import * as L from './state/layout.js';

const ROUNDS = 20_000;
/** Sixteen bytes across two pages: no atomic of the host could change them at once. */
const COUNTERS = 0x5ff8;

/** What a vCPU does all day: an exclusive increment, then what other vCPUs ask of it. */
function increment(t: TestCpu): void {
  t.rt.enter_run();
  for (let n = 0; n < ROUNDS; n++) {
    t.rt.lock_begin();
    const low = t.ram64(COUNTERS);
    const high = t.ram64(COUNTERS + 8);
    t.setRam64(COUNTERS, low + 1n);
    t.setRam64(COUNTERS + 8, high + 2n);
    t.rt.lock_end();
    if (t.u32(L.ATTENTION)) t.events();
  }
  t.rt.leave_run();
}

if (workerData?.memory) {
  const t = new TestCpu(1, workerData.memory);
  new DataView(workerData.memory.buffer).setUint32(L.VM_VCPUS, 2, true);
  increment(t);
} else {
  test('the exclusive section: two vCPUs in two threads never inside at once', async () => {
    const t = new TestCpu();
    t.view.setUint32(L.VM_VCPUS, 2, true);
    const worker = new Worker(new URL(import.meta.url), { workerData: { memory: t.memory } });
    const ended = new Promise((resolve, reject) => {
      worker.once('exit', resolve).once('error', reject);
    });
    await new Promise((resolve) => worker.once('online', resolve));
    increment(t);
    assert.equal(await ended, 0);
    assert.equal(t.ram64(COUNTERS), BigInt(2 * ROUNDS));
    assert.equal(t.ram64(COUNTERS + 8), BigInt(4 * ROUNDS));
    assert.equal(t.view.getUint32(L.VM_RUNNING, true), 0);
    assert.equal(t.view.getUint32(L.VM_EXCLUSIVE_LOCK, true), 0);
  });
}
