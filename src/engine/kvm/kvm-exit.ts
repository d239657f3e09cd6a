import { MAX_LENGTH } from '../../cpu/isa/decode.js';
import type { Exit } from '../engine.js';
import { exitReason, run } from './registers.js';

/** What the kernel could not do, by KVM_INTERNAL_ERROR_* [KVM 5, KVM_EXIT_INTERNAL_ERROR]. */
const suberrors = [
  'no reason given',
  'an instruction that it cannot emulate',
  'exceptions that should not come together',
  'an exit while an event was delivered',
  'an exit that it does not know',
];

/** What is in a vCPU's page after KVM_RUN; `undefined`: enter again. */
export function decodeExit(page: Uint8Array, view: DataView): Exit | undefined {
  const reason = view.getUint32(run.exit_reason, true);
  switch (reason) {
    case exitReason.IO: {
      const size = view.getUint8(run.io.size) as 1 | 2 | 4;
      const count = view.getUint32(run.io.count, true);
      const at = Number(view.getBigUint64(run.io.data_offset, true));
      return {
        kind: 'io',
        port: view.getUint16(run.io.port, true),
        size,
        direction: view.getUint8(run.io.direction) === 0 ? 'in' : 'out',
        count,
        data: page.subarray(at, at + size * count),
      };
    }
    case exitReason.MMIO: {
      const { phys_addr, data, len, is_write } = run.mmio;
      return {
        kind: 'mmio',
        gpa: Number(view.getBigUint64(phys_addr, true)),
        direction: view.getUint8(is_write) === 0 ? 'read' : 'write',
        data: page.subarray(data, data + view.getUint32(len, true)),
      };
    }
    case exitReason.HLT:
      return { kind: 'hlt' };
    case exitReason.SHUTDOWN:
      return { kind: 'shutdown' };
    case exitReason.IRQ_WINDOW_OPEN:
    case exitReason.INTR:
      return undefined;
    case exitReason.DEBUG:
      return { kind: 'debug', dr6: Number(view.getBigUint64(run.debug_dr6, true)) };
    default:
      return { kind: 'internal-error', message: describe(reason, view), cause: undefined };
  }
}

function describe(reason: number, view: DataView): string {
  const hex = (at: number) => `0x${view.getBigUint64(at, true).toString(16)}`;
  switch (reason) {
    case exitReason.FAIL_ENTRY: {
      const { hardware_entry_failure_reason: why, cpu } = run.fail_entry;
      return `the host's CPU ${view.getUint32(cpu, true)} refused to enter the guest: reason ${hex(why)}`;
    }
    case exitReason.INTERNAL_ERROR: {
      const suberror = view.getUint32(run.internal.suberror, true);
      const what = suberrors[suberror] ?? 'something new';
      return `the host's KVM met ${what} (internal error ${suberror})${instruction(view)}`;
    }
    case exitReason.SYSTEM_EVENT:
      return `the host's KVM reports system event ${view.getUint32(run.system_event_type, true)}`;
    case exitReason.UNKNOWN:
      return `the host's CPU left the guest for a reason that KVM does not know: ${hex(run.hw_hardware_exit_reason)}`;
    default:
      return `the host's KVM left the guest for reason ${reason}, which is not known here`;
  }
}

const HAS_INSTRUCTION = 1n;
const EMULATION = 1;
/** Words of data that come before the instruction's bytes end. */
const WORDS = 3;

/** The bytes that could not be emulated, where the kernel says them. */
function instruction(view: DataView): string {
  const { suberror, ndata } = run.internal;
  const { flags, insn_size, insn_bytes } = run.emulation_failure;
  if (view.getUint32(suberror, true) !== EMULATION || view.getUint32(ndata, true) < WORDS)
    return '';
  if ((view.getBigUint64(flags, true) & HAS_INSTRUCTION) === 0n) return '';
  const count = Math.min(view.getUint8(insn_size), MAX_LENGTH);
  const bytes = Array.from({ length: count }, (_, i) => view.getUint8(insn_bytes + i));
  return `: ${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}`;
}
