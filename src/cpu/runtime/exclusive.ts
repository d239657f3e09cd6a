/**
 * The exclusive section: one vCPU runs while all others are parked between instructions. It makes
 * locked operations that no wasm atomic can do (unaligned, across pages, 16 bytes) exact.
 *
 * A vCPU counts in VM_RUNNING unless it is parked or outside `run`. The holder of the lock sets
 * ATT_PARK everywhere and waits until it is the only one that runs.
 */
import { CPU } from './env';
import {
  ATT_PARK, ATTENTION, VCPU_AREA, VCPU_INDEX, VCPU_STRIDE, VM_EXCLUSIVE_EPOCH, VM_EXCLUSIVE_LOCK, VM_RUNNING,
  VM_VCPUS,
} from './generated-layout';
import { BOUNCE_MMIO, HOLDS_EXCLUSIVE } from './private';

/** Before a vCPU runs, and after something it waited for outside of the exclusive protocol. */
export function enter_run(): void {
  for (;;) {
    atomic.add<u32>(VM_RUNNING, 1);
    if (atomic.load<u32>(VM_EXCLUSIVE_LOCK) == 0) return;
    leave();
    wait_released();
  }
}

/** After `run`, and while a vCPU waits for another thread: others need not wait for this one. */
export function leave_run(): void {
  if (load<u32>(CPU, HOLDS_EXCLUSIVE)) lock_end();
  leave();
}

function leave(): void {
  atomic.sub<u32>(VM_RUNNING, 1);
  atomic.notify(VM_RUNNING, -1);
}

function wait_released(): void {
  const epoch = atomic.load<i32>(VM_EXCLUSIVE_EPOCH);
  if (atomic.load<u32>(VM_EXCLUSIVE_LOCK) != 0) atomic.wait<i32>(VM_EXCLUSIVE_EPOCH, epoch, -1);
}

/** ATT_PARK was seen: waits until the exclusive section is free. */
export function park(): void {
  atomic.and<u32>(CPU + ATTENTION, ~ATT_PARK);
  if (atomic.load<u32>(VM_EXCLUSIVE_LOCK) == 0) return;
  leave();
  wait_released();
  enter_run();
}

export function lock_begin(): void {
  // The bus has no notion of a lock; and its answer may need a thread that is parked.
  if (load<u32>(VM_VCPUS) == 1 || load<u32>(CPU, BOUNCE_MMIO)) return;
  while (atomic.cmpxchg<u32>(VM_EXCLUSIVE_LOCK, 0, 1) != 0) {
    leave();
    wait_released();
    enter_run();
  }
  store<u32>(CPU, 1, HOLDS_EXCLUSIVE);
  const own = load<u32>(CPU, VCPU_INDEX);
  const count = load<u32>(VM_VCPUS);
  for (let n: u32 = 0; n < count; n++) {
    if (n != own) atomic.or<u32>(VCPU_AREA + n * VCPU_STRIDE + ATTENTION, ATT_PARK);
  }
  for (;;) {
    const running = atomic.load<i32>(VM_RUNNING);
    if (running <= 1) return;
    atomic.wait<i32>(VM_RUNNING, running, -1);
  }
}

export function lock_end(): void {
  if (!load<u32>(CPU, HOLDS_EXCLUSIVE)) return;
  store<u32>(CPU, 0, HOLDS_EXCLUSIVE);
  atomic.store<u32>(VM_EXCLUSIVE_LOCK, 0);
  atomic.add<u32>(VM_EXCLUSIVE_EPOCH, 1);
  atomic.notify(VM_EXCLUSIVE_EPOCH, -1);
}
