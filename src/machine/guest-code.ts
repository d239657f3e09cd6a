import { Decoder } from '../cpu/isa/decode.js';
import { disassemble } from '../cpu/isa/disassemble.js';
import { instructionTable } from '../cpu/isa/index.js';
import type { VcpuRecord } from '../engine/records.js';
import type { PhysicalMemory } from '../memory/physical-memory.js';

const CODE_BYTES = 32;
const INSTRUCTIONS = 5;
const CS = 1;
const PAGE = 0x1000n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
const bit = { pg: 1n << 31n, pae: 1n << 5n, lma: 1n << 10n, present: 1n, large: 1n << 7n };
/** Attributes of a code segment: L and D. */
const [LONG, WIDE] = [1 << 13, 1 << 14];

/** A vCPU's code as its page tables show it. */
export interface GuestCode {
  readonly mode: 0 | 1 | 2;
  /** What is added to RIP, and whether CS has a limit to check. */
  readonly base: bigint;
  readonly limited: boolean;
  readonly rip: bigint;
  /** The page at a linear address; undefined: nothing is there. */
  page(linear: bigint): Uint8Array | undefined;
}

export function guestCode(record: VcpuRecord, memory: PhysicalMemory): GuestCode {
  const { attributes, base, limit } = record.system.segments[CS]!;
  const isLong = (record.system.efer & bit.lma) !== 0n && (attributes & LONG) !== 0;
  return {
    mode: isLong ? 2 : (attributes & WIDE) !== 0 ? 1 : 0,
    base: isLong ? 0n : base,
    limited: !isLong && limit !== 0xffff_ffff,
    rip: record.registers.rip,
    page: (linear) => {
      const gpa = translate(record, memory, linear);
      const bytes = new Uint8Array(Number(PAGE));
      return gpa !== undefined && memory.read(gpa, bytes) ? bytes : undefined;
    },
  };
}

/** The next instructions of a vCPU as bytes and as assembly, a line each. */
export function nextInstructions(record: VcpuRecord, memory: PhysicalMemory): string[] {
  const { mode, base, rip } = guestCode(record, memory);
  const linear = mode === 2 ? rip : BigInt.asUintN(32, base + rip);
  const code = readLinear(record, memory, linear);
  if (code.length === 0) return [`code ${rip.toString(16)}: no memory is there`];
  const decoder = new Decoder(instructionTable);
  const lines: string[] = [];
  for (let at = 0; at < code.length && lines.length < INSTRUCTIONS; ) {
    const { length, text } = disassemble(decoder, code, at, mode, rip + BigInt(at));
    const raw = Array.from(code.subarray(at, at + length), (b) => b.toString(16).padStart(2, '0'));
    lines.push(`code ${(rip + BigInt(at)).toString(16)}: ${raw.join(' ')}  ${text}`);
    at += length;
  }
  return lines;
}

/** As much as there is of what stands at a linear address. */
function readLinear(record: VcpuRecord, memory: PhysicalMemory, linear: bigint): Uint8Array {
  const code = new Uint8Array(CODE_BYTES);
  let length = 0;
  while (length < CODE_BYTES) {
    const from = linear + BigInt(length);
    const gpa = translate(record, memory, from);
    const count = Math.min(CODE_BYTES - length, Number(PAGE - (from & (PAGE - 1n))));
    if (gpa === undefined || !memory.read(gpa, code.subarray(length, length + count))) break;
    length += count;
  }
  return code.subarray(0, length);
}

/** By the page tables, rights aside [SDM 3A 4.3 to 4.5]; `undefined`: not present. */
function translate(
  { system: { cr0, cr3, cr4, efer } }: VcpuRecord,
  memory: PhysicalMemory,
  linear: bigint,
): number | undefined {
  if ((cr0 & bit.pg) === 0n) return Number(BigInt.asUintN(32, linear));
  const levels = (efer & bit.lma) !== 0n ? 4 : (cr4 & bit.pae) !== 0n ? 3 : 2;
  const [entryBytes, indexBits] = levels === 2 ? [4, 10] : [8, 9];
  const raw = new Uint8Array(8);
  let table = cr3 & (levels === 3 ? 0xffff_ffe0n : ADDRESS);
  for (let level = levels; level > 0; level--) {
    const shift = BigInt(12 + indexBits * (level - 1));
    const index = Number(BigInt.asUintN(indexBits, linear >> shift));
    if (!memory.read(Number(table) + index * entryBytes, raw.subarray(0, entryBytes))) {
      return undefined;
    }
    const entry = new DataView(raw.buffer).getBigUint64(0, true);
    if ((entry & bit.present) === 0n) return undefined;
    const isPage = level === 1 || ((level === 2 || levels === 4) && (entry & bit.large) !== 0n);
    if (isPage)
      return Number((((entry & ADDRESS) >> shift) << shift) | (linear & ((1n << shift) - 1n)));
    table = entry & ADDRESS;
  }
  return undefined;
}
