import type { Segment, VcpuRecord } from '../engine/records.js';
import type { PhysicalMemory } from '../memory/physical-memory.js';
import { nextInstructions } from './guest-code.js';

const names = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const segmentNames = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'];

/** The state of a vCPU for people, several lines. */
export function cpuReport(record: VcpuRecord, memory: PhysicalMemory): string {
  const { registers, system } = record;
  const hex = (value: bigint, digits = 16) => value.toString(16).padStart(digits, '0');
  const lines: string[] = [];
  for (let i = 0; i < 16; i += 4) {
    const four = names.slice(i, i + 4);
    lines.push(four.map((name, j) => `${name}=${hex(registers.gpr[i + j]!)}`).join(' '));
  }
  lines.push(`rip=${hex(registers.rip)} rflags=${hex(registers.rflags, 8)}`);
  system.segments.forEach((segment, i) => {
    lines.push(`${segmentNames[i]!.padEnd(4)} ${describe(segment)}`);
  });
  lines.push(`gdtr ${hex(system.gdtr.base)} ${system.gdtr.limit.toString(16)}`);
  lines.push(`idtr ${hex(system.idtr.base)} ${system.idtr.limit.toString(16)}`);
  const { cr0, cr2, cr3, cr4, efer } = system;
  lines.push(`cr0=${hex(cr0, 8)} cr2=${hex(cr2)} cr3=${hex(cr3)} cr4=${hex(cr4, 8)}`);
  lines.push(`efer=${hex(efer, 8)} dr6=${hex(system.dr6, 8)} dr7=${hex(system.dr7, 8)}`);
  lines.push(...nextInstructions(record, memory));
  return lines.join('\n');
}

function describe({ selector, base, limit, attributes, unusable }: Segment): string {
  const fields = [selector, limit, attributes].map((value) => value.toString(16).padStart(4, '0'));
  const [select, size, access] = fields;
  return `${select} base=${base.toString(16)} limit=${size} attributes=${access}${unusable ? ' null' : ''}`;
}
