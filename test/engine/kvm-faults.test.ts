import assert from 'node:assert/strict';
import test from 'node:test';
import koffi from 'koffi';
import { ManualClock } from '#src/base/clock.js';
import { EngineError } from '#src/engine/engine.js';
import { loadKvmEngine } from '#src/engine/kvm/kvm-engine.js';
import { decodeExit } from '#src/engine/kvm/kvm-exit.js';
import { type Libc, libc } from '#src/engine/kvm/libc.js';
import { probeKvm } from '#src/engine/kvm/probe.js';
import * as r from '#src/engine/kvm/registers.js';
import { createMachine } from '#src/machine/create-machine.js';
import { config, testHost } from '../machine/rig.js';
import { EngineRig, kvm, QueuedInterrupts } from './engines.js';
import { firmwareWith } from './tick-guest.js';

const skip = kvm.problem ?? false;
const { errno } = koffi.os;
const noLibc = (() => {
  try {
    libc();
    return false;
  } catch {
    return 'no glibc';
  }
})();

/** Fails a call as the kernel does. */
function fail(error: string): number {
  koffi.errno(errno[error]!);
  return -1;
}

/** The C library with some calls replaced. */
const bent = (calls: Partial<Libc>): Libc => ({ ...libc(), ...calls });

const throws = (body: () => unknown, code: EngineError['code'], message: RegExp) =>
  assert.throws(
    body,
    (error: unknown) =>
      error instanceof EngineError && error.code === code && message.test(error.message),
  );

// Engines that cannot be had.

test('no device is one sentence that says what to do', { skip: noLibc }, () => {
  const device = '/dev/kvm-that-is-not-there';
  throws(() => loadKvmEngine({ device }), 'unavailable', /is not there: load the kernel's module/);
  const report = probeKvm(device);
  assert.equal(report.usable, false);
  assert.equal(report.kind, 'none');
  assert.match(report.problem!, /^\/dev\/kvm-that-is-not-there is not there/);
});

test('no permission names the group', { skip: noLibc }, () => {
  const c = bent({ open: () => fail('EACCES') });
  throws(() => loadKvmEngine({ libc: c }), 'unavailable', /join the group kvm/);
  assert.match(probeKvm('/dev/kvm', () => c).problem!, /join the group kvm/);
});

test('a file that is not KVM, and an API of another version, are told', { skip: noLibc }, () => {
  throws(
    () => loadKvmEngine({ device: '/dev/null' }),
    'unavailable',
    /\/dev\/null speaks API version -1, wanted 12/,
  );
  const c = bent({
    open: () => 1000,
    close: () => 0,
    ioctlNumber: (_fd, request) => (request === r.ioctl.GET_API_VERSION ? 11 : 1),
  });
  throws(() => loadKvmEngine({ libc: c }), 'unavailable', /API version 11.*kernel is too old/);
});

test('missing capabilities are named', { skip: noLibc }, () => {
  const c = bent({
    open: () => 1000,
    close: () => 0,
    ioctlNumber: (_fd, request, argument) => {
      if (request === r.ioctl.GET_API_VERSION) return r.API_VERSION;
      return argument === r.cap.IMMEDIATE_EXIT || argument === r.cap.XSAVE ? 0 : 1;
    },
  });
  const wanted = /lacks KVM_CAP_XSAVE, KVM_CAP_IMMEDIATE_EXIT/;
  throws(() => loadKvmEngine({ libc: c }), 'unavailable', wanted);
  const report = probeKvm('/dev/kvm', () => c);
  assert.deepEqual(report.missing, ['KVM_CAP_XSAVE', 'KVM_CAP_IMMEDIATE_EXIT']);
  assert.match(report.problem!, wanted);
});

// What the host gives, and no more.

const vmOptions = (more: object) => ({
  memoryBytes: 1 << 20,
  vcpus: 1,
  clock: new ManualClock(),
  randomU32: () => 1,
  interrupts: (store: ConstructorParameters<typeof QueuedInterrupts>[0]) =>
    new QueuedInterrupts(store),
  onAttention() {},
  ...more,
});

test('more vCPUs or memory than there can be are limits with figures', { skip }, () => {
  const engine = loadKvmEngine();
  throws(() => engine.createVm(vmOptions({ vcpus: 99_999 })), 'limit', /99999 vCPUs/);
  throws(() => engine.createVm(vmOptions({ memoryBytes: 2 ** 50 })), 'limit', /1125899906842624/);
  const host = testHost(engine).host;
  const firmware = firmwareWith(Uint8Array.of(0xf4));
  assert.throws(
    () => createMachine(config({ firmware, cpus: 99_999 }), host),
    /--cpus: found 99999, but more than \d+ .* kvm/,
  );
  assert.throws(() => createMachine(config({ firmware, memoryBytes: 2 ** 46 }), host), /memory/);
});

test('memory that the host has not got is a limit', { skip }, () => {
  const c = bent({
    mmap: (sizeBytes, flags, fd) => {
      if (fd < 0) throw new Error('mmap: ENOMEM');
      return libc().mmap(sizeBytes, flags, fd);
    },
  });
  const engine = loadKvmEngine({ libc: c });
  throws(() => engine.createVm(vmOptions({})), 'limit', /this host has no 1 MiB/);
});

test('what the kernel refuses is told with its error', { skip }, () => {
  let refused = -1;
  const c = bent({
    ioctlNumber: (fd, request, argument) =>
      request === refused ? fail('ENOMEM') : libc().ioctlNumber(fd, request, argument),
  });
  const engine = loadKvmEngine({ libc: c });
  refused = r.ioctl.CREATE_VM;
  throws(() => engine.createVm(vmOptions({})), 'limit', /one more virtual machine: ENOMEM/);
  refused = r.ioctl.CREATE_VCPU;
  throws(() => engine.createVm(vmOptions({})).createVcpu(0), 'limit', /vCPU 0: ENOMEM/);
});

// KVM_RUN that fails.

for (const error of ['EINTR', 'EAGAIN']) {
  test(`${error} from KVM_RUN is no exit: the guest goes on`, { skip }, () => {
    let left = 5;
    const c = bent({
      ioctlNumber: (fd, request, argument) =>
        request === r.ioctl.RUN && left-- > 0
          ? fail(error)
          : libc().ioctlNumber(fd, request, argument),
    });
    // mov al,7; hlt
    const rig = new EngineRig(loadKvmEngine({ libc: c }), [0xb0, 0x07, 0xf4]);
    assert.deepEqual(rig.vcpu.run(), { kind: 'hlt' });
    assert.equal(rig.gpr(0), 7);
    assert.ok(left < 0);
  });
}

test('another error of KVM_RUN ends the machine with its name', { skip }, () => {
  const c = bent({
    ioctlNumber: (fd, request, argument) =>
      request === r.ioctl.RUN ? fail('EFAULT') : libc().ioctlNumber(fd, request, argument),
  });
  const rig = new EngineRig(loadKvmEngine({ libc: c }), [0xf4]);
  const exit = rig.run();
  assert.ok(exit.kind === 'internal-error');
  assert.equal(exit.message, "the host's KVM did not run vCPU 0: EFAULT");
});

/** A vCPU's page after an exit. */
function exitPage(reason: number, fill: (view: DataView) => void = () => {}) {
  const page = new Uint8Array(4096);
  const view = new DataView(page.buffer);
  view.setUint32(r.run.exit_reason, reason, true);
  fill(view);
  return decodeExit(page, view);
}

for (const [name, reason, fill, message] of [
  [
    'an entry that the CPU refused',
    r.exitReason.FAIL_ENTRY,
    (view: DataView) => {
      view.setBigUint64(r.run.fail_entry.hardware_entry_failure_reason, 0x8000_0021n, true);
      view.setUint32(r.run.fail_entry.cpu, 3, true);
    },
    "the host's CPU 3 refused to enter the guest: reason 0x80000021",
  ],
  [
    'an instruction that KVM cannot emulate',
    r.exitReason.INTERNAL_ERROR,
    (view: DataView) => {
      const { suberror, ndata } = r.run.internal;
      const { flags, insn_size, insn_bytes } = r.run.emulation_failure;
      view.setUint32(suberror, 1, true);
      view.setUint32(ndata, 4, true);
      view.setBigUint64(flags, 1n, true);
      view.setUint8(insn_size, 3);
      [0x0f, 0x77, 0x90].forEach((byte, i) => {
        view.setUint8(insn_bytes + i, byte);
      });
    },
    "the host's KVM met an instruction that it cannot emulate (internal error 1): 0f 77 90",
  ],
  [
    'an exit while an event was delivered',
    r.exitReason.INTERNAL_ERROR,
    (view: DataView) => view.setUint32(r.run.internal.suberror, 3, true),
    "the host's KVM met an exit while an event was delivered (internal error 3)",
  ],
  [
    'a system event',
    r.exitReason.SYSTEM_EVENT,
    (view: DataView) => view.setUint32(r.run.system_event_type, 2, true),
    "the host's KVM reports system event 2",
  ],
  [
    'an exit that nobody knows',
    99,
    () => {},
    "the host's KVM left the guest for reason 99, which is not known here",
  ],
] as const) {
  test(`${name} is told in words`, () => {
    const exit = exitPage(reason, fill);
    assert.ok(exit?.kind === 'internal-error');
    assert.equal(exit.message, message);
  });
}

test('state that the host cannot represent is refused by name', { skip }, () => {
  const rig = new EngineRig(loadKvmEngine(), [0xf4]);
  const record = rig.vcpu.getRecord();
  // Paging without protection [SDM 3A 2.5].
  record.system.cr0 = 0x8000_0000n;
  throws(() => rig.vcpu.setRecord(record), 'bad-state', /refused the system registers: EINVAL/);
});
