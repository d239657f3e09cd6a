/**
 * Runs a 64 KiB ROM of this folder on the soft engine alone: a vCPU with its local APIC, RAM, and the few
 * ports such a program needs. Its transcript is what it writes to port 0x402.
 */
import { loadSoftCode } from '#src/backend/node/soft-code.js';
import { ManualTimers } from '#src/device/timer.js';
import type { Exit } from '#src/engine/engine.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import { PcInterrupts } from '#src/machine/interrupts.js';

const RAM_BYTES = 16 << 20;
const ROM_BYTES = 0x1_0000;
const DEBUG_CONSOLE = 0x402;
const DEBUG_EXIT = 0xf4;
const PORT_92 = 0x92;
const A20_OPEN = 2;

/** What a program may run before it counts as hung. */
const BUDGET = 200_000_000;

export interface SystemRun {
  readonly transcript: string;
  /** How it ended: `exit` is the good way. */
  readonly end: string;
}

const engine = new SoftEngine(await loadSoftCode());

export function runSystemImage(image: Uint8Array): SystemRun {
  let now = 0;
  const clock = { nowNs: () => (now += 1000), wallMs: () => 0 };
  const vm = engine.createVm({
    memoryBytes: RAM_BYTES + ROM_BYTES,
    vcpus: 1,
    clock,
    randomU32: () => 4,
    interrupts: (store) => new PcInterrupts({ vcpus: 1, clock, timers: new ManualTimers(), store }),
    onAttention() {},
  });
  const { bytes, start } = vm.memory;
  bytes.set(image, start + RAM_BYTES);
  const rom = { place: start + RAM_BYTES, sizeBytes: ROM_BYTES, readonly: true, log: false };
  vm.setMemorySlot({
    id: 0,
    gpa: 0,
    place: start,
    sizeBytes: 0xa_0000,
    readonly: false,
    log: false,
  });
  vm.setMemorySlot({ ...rom, id: 1, gpa: 0xf_0000 });
  vm.setMemorySlot({
    id: 2,
    gpa: 0x10_0000,
    place: start + 0x10_0000,
    sizeBytes: RAM_BYTES - 0x10_0000,
    readonly: false,
    log: false,
  });
  vm.setMemorySlot({ ...rom, id: 3, gpa: 0xffff_0000 });
  const vcpu = vm.createVcpu(0);
  let transcript = '';
  let done = false;
  let a20 = true;
  vcpu.attachBus?.({
    portRead: (port, size) => (port === PORT_92 ? (a20 ? A20_OPEN : 0) : 2 ** (8 * size) - 1),
    portWrite: (port, _size, value) => {
      if (port === DEBUG_CONSOLE) transcript += String.fromCharCode(value);
      if (port === PORT_92) {
        a20 = (value & A20_OPEN) !== 0;
        vm.setA20(a20);
      }
      if (port === DEBUG_EXIT) {
        done = true;
        vcpu.requestPause();
      }
    },
    mmioRead: (_gpa, size) => 2 ** (8 * size) - 1,
    mmioWrite() {},
  });
  vcpu.setBudget?.(BUDGET);
  let exit: Exit;
  for (;;) {
    exit = vcpu.run();
    // A triple fault resets the board, and memory stays.
    if (exit.kind !== 'shutdown') break;
    vcpu.reset('power-on');
  }
  vm.close();
  if (done) return { transcript, end: 'exit' };
  const detail = exit.kind === 'internal-error' ? `: ${exit.message}` : '';
  const { gpr, rip } = vcpu.getRecord().registers;
  return {
    transcript,
    end: `${exit.kind}${detail} at ${rip.toString(16)}, RSP ${gpr[4]?.toString(16)}`,
  };
}
