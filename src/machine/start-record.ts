import type { Segment, VcpuRecord } from '../engine/records.js';
import type { StartSegment, StartState } from '../firmware/start-state.js';

const segment = ({ selector, access, limit, base }: StartSegment): Segment => ({
  selector,
  attributes: access,
  unusable: false,
  limit,
  base: BigInt(base),
});

/** A vCPU as a loader leaves it, on top of what it is after a reset. */
export function startRecord(start: StartState, reset: VcpuRecord): VcpuRecord {
  const gpr = Array<bigint>(16).fill(0n);
  gpr[0] = BigInt(start.rax);
  gpr[3] = BigInt(start.rbx);
  gpr[4] = BigInt(start.rsp);
  gpr[6] = BigInt(start.rsi);
  const data = segment(start.data);
  const code = segment(start.cs);
  return {
    ...reset,
    registers: { gpr, rip: BigInt(start.rip), rflags: BigInt(start.rflags) },
    system: {
      ...reset.system,
      segments: [data, code, data, data, data, data, reset.system.segments[6]!, segment(start.tr)],
      gdtr: { base: BigInt(start.gdt.base), limit: start.gdt.limit },
      idtr: { base: BigInt(start.idt.base), limit: start.idt.limit },
      cr0: BigInt(start.cr0),
      cr3: BigInt(start.cr3),
      cr4: BigInt(start.cr4),
      efer: BigInt(start.efer),
    },
  };
}
