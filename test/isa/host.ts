/** What the host CPU has that the table has not, and the reverse. */
import { readFileSync } from 'node:fs';
import { type CodeMode, Decoder, Insn } from '#src/cpu/isa/decode.js';
import { buildTable, type Entry } from '#src/cpu/isa/table.js';
import type { Mode } from './case-format.js';

/** Features of the table by their names in /proc/cpuinfo; those not listed are everywhere. */
const FLAGS: Readonly<Record<string, string>> = {
  MOVBE: 'movbe',
  CX16: 'cx16',
  ADX: 'adx',
  BMI1: 'bmi1',
  BMI2: 'bmi2',
  LZCNT: 'abm',
  POPCNT: 'popcnt',
  CLFLUSHOPT: 'clflushopt',
  CLWB: 'clwb',
  AES: 'aes',
  PCLMULQDQ: 'pclmulqdq',
  SHA: 'sha_ni',
  SSE3: 'pni',
  SSSE3: 'ssse3',
  'SSE4.1': 'sse4_1',
  'SSE4.2': 'sse4_2',
  FSGSBASE: 'fsgsbase',
  PREFETCHW: '3dnowprefetch',
};

/** All that a three-byte opcode can have before it. */
const EVERY = ['NP', '66', 'F3', 'F2'];

/**
 * Instructions that a host may have and the soft engine does not: there they are not #UD. Patterns as
 * in the table, wider than the instructions where that is shorter. [SDM 2, opcode maps in appendix A]
 */
const HOST_ONLY: readonly string[] = [
  // VMX, SVM, SGX, TSX, protection keys, user interrupts, SERIALIZE and others in group 7.
  // And SVM's: KVM answers VMMCALL on any processor, by rewriting it.
  ...['C0+i', 'C8+i', 'D0+i', 'D8+i', 'E8+i', 'F8+i'].map((modrm) => `0F 01 ${modrm}`),
  '0F 01 /5', // RSTORSSP
  '0F 37', // GETSEC
  '0F 78 /r', // VMREAD and VMWRITE, on AMD EXTRQ and INSERTQ
  '0F 79 /r',
  'C6 F8', // XABORT and XBEGIN
  'C7 F8',
  // Group 15: PTWRITE, INCSSP, UMONITOR, UMWAIT, TPAUSE and whatever the table lacks.
  'F3 0F AE /r',
  'F2 0F AE /r',
  '66 0F AE /r',
  // Group 9: XSAVES, XRSTORS, VMX pointers, SENDUIPI.
  ...['/3', '/4', '/5', '/6', '/7'].map((reg) => `0F C7 ${reg}`),
  ...['80', '81', '82'].map((op) => `66 0F 38 ${op} /r`), // INVEPT, INVVPID, INVPCID
  ...['CF', 'F5'].map((op) => `66 0F 38 ${op} /r`), // GF2P8MULB, WRUSS
  ...['D8', 'DC', 'DD', 'DE', 'DF', 'FA', 'FB'].map((op) => `F3 0F 38 ${op} /r`), // Key Locker
  // WRSS, MOVDIR64B, ENQCMD, MOVDIRI, AADD
  ...['F6', 'F8', 'F9', 'FC'].flatMap((op) => EVERY.map((prefix) => `${prefix} 0F 38 ${op} /r`)),
  ...['CE', 'CF'].map((op) => `66 0F 3A ${op} /r`), // GF2P8AFFINEQB
  'F3 0F 3A F0 /r', // HRESET
  '0F 05', // SYSCALL in 32-bit code of AMD
  '0F 0E', // 3DNow!
  '0F 0F /r',
];

const VEX_OPCODES = [0x1f2, 0x1f3, 0x1f5, 0x1f6, 0x1f7, 0x2f0];

export class Host {
  private readonly only = new Decoder(
    buildTable({
      host: (def) => {
        for (const pattern of HOST_ONLY) def(pattern, 'host', '', () => undefined);
      },
    }),
  );
  private readonly insn = new Insn();
  private readonly flags: ReadonlySet<string>;

  constructor(flags: Iterable<string>) {
    this.flags = new Set(flags);
  }

  has(entry: Entry): boolean {
    const flag = FLAGS[entry.options.feature ?? ''];
    return flag === undefined || this.flags.has(flag);
  }

  /** Bytes that are no instruction to the soft engine may be one here. */
  mayKnow(code: readonly number[], mode: Mode): boolean {
    const bytes = new Uint8Array(48).fill(0xcc);
    bytes.set(code);
    const result = this.only.decode(bytes, 0, 48, (2 - mode) as CodeMode, this.insn);
    return result === 'ok' || isVex(code, mode);
  }
}

/** VEX, EVEX and REX2, but for the few VEX opcodes that the table has for general registers. */
function isVex(code: readonly number[], mode: Mode): boolean {
  const prefix = (byte: number): boolean =>
    [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte) ||
    (mode === 0 && byte >> 4 === 4);
  const at = code.findIndex((byte) => !prefix(byte));
  const byte = code[at]!;
  if (mode === 0 && byte === 0xd5) return true;
  if (byte !== 0xc4 && byte !== 0xc5 && byte !== 0x62) return false;
  if (mode !== 0 && code[at + 1]! < 0xc0) return false;
  const map = code[at + 1]! & 31;
  return byte !== 0xc4 || !VEX_OPCODES.includes((map << 8) - 0x100 + code[at + 3]!);
}

/** The flags of /proc/cpuinfo, and whether the CPU is one of Intel's. */
export function hostCpu(): { flags: string[]; intel: boolean } {
  const text = readFileSync('/proc/cpuinfo', 'utf8');
  const flags = /^flags\s*:(.*)$/m.exec(text)?.[1] ?? '';
  return { flags: flags.trim().split(/\s+/), intel: text.includes('GenuineIntel') };
}
