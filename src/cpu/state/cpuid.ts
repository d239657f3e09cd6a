/**
 * What CPUID answers by default: the soft CPU's features, as data. The runtime patches what changes
 * while a guest runs (OSXSAVE, the APIC's id and enable bit, MONITOR, the XSAVE area's size).
 */

/** Bytes of an entry in a VM's memory: leaf, subleaf, EAX, EBX, ECX, EDX. */
const ENTRY_SIZE = 24;
/** How many the space behind VM_CPUID holds. */
export const CPUID_MAX_ENTRIES = 128;
/** As a subleaf: the leaf does not look at ECX. */
export const ANY_SUBLEAF = 0xffff_ffff;

/** What CPUID answers to a leaf in EAX and a subleaf in ECX. */
export interface CpuidEntry {
  readonly leaf: number;
  readonly subleaf: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** Feature bits by the manual's names [SDM 2A CPUID, Tables 3-10 and 3-11]. */
export const LEAF1_ECX = {
  SSE3: 1 << 0,
  PCLMULQDQ: 1 << 1,
  MONITOR: 1 << 3,
  SSSE3: 1 << 9,
  CMPXCHG16B: 1 << 13,
  PCID: 1 << 17,
  SSE4_1: 1 << 19,
  SSE4_2: 1 << 20,
  X2APIC: 1 << 21,
  MOVBE: 1 << 22,
  POPCNT: 1 << 23,
  TSC_DEADLINE: 1 << 24,
  AES: 1 << 25,
  XSAVE: 1 << 26,
  OSXSAVE: 1 << 27,
  RDRAND: 1 << 30,
  HYPERVISOR: 1 << 31,
} as const;

export const LEAF1_EDX = {
  FPU: 1 << 0,
  DE: 1 << 2,
  PSE: 1 << 3,
  TSC: 1 << 4,
  MSR: 1 << 5,
  PAE: 1 << 6,
  MCE: 1 << 7,
  CX8: 1 << 8,
  APIC: 1 << 9,
  SEP: 1 << 11,
  MTRR: 1 << 12,
  PGE: 1 << 13,
  MCA: 1 << 14,
  CMOV: 1 << 15,
  PAT: 1 << 16,
  PSE36: 1 << 17,
  CLFSH: 1 << 19,
  MMX: 1 << 23,
  FXSR: 1 << 24,
  SSE: 1 << 25,
  SSE2: 1 << 26,
  HTT: 1 << 28,
} as const;

export const LEAF7_EBX = {
  FSGSBASE: 1 << 0,
  TSC_ADJUST: 1 << 1,
  BMI1: 1 << 3,
  /** The x87's data pointer is written on unmasked exceptions only. */
  FDP_EXCPTN_ONLY: 1 << 6,
  SMEP: 1 << 7,
  BMI2: 1 << 8,
  ERMS: 1 << 9,
  INVPCID: 1 << 10,
  /** FCS and FDS are saved as 0. */
  DEPRECATES_FCS_FDS: 1 << 13,
  RDSEED: 1 << 18,
  ADX: 1 << 19,
  SMAP: 1 << 20,
  CLFLUSHOPT: 1 << 23,
  CLWB: 1 << 24,
  SHA: 1 << 29,
} as const;

export const LEAF7_ECX = { UMIP: 1 << 2, RDPID: 1 << 22 } as const;
export const LEAF7_EDX = { FSRM: 1 << 4 } as const;
export const LEAF_D1_EAX = { XSAVEOPT: 1 << 0, XSAVEC: 1 << 1, XGETBV_1: 1 << 2 } as const;

export const LEAF_80000001_ECX = { LAHF: 1 << 0, LZCNT: 1 << 5, PREFETCHW: 1 << 8 } as const;
export const LEAF_80000001_EDX = {
  SYSCALL: 1 << 11,
  NX: 1 << 20,
  PAGE1G: 1 << 26,
  RDTSCP: 1 << 27,
  LM: 1 << 29,
} as const;

export const LEAF6_EAX = { ARAT: 1 << 2 } as const;
export const LEAF_80000007_EDX = { INVARIANT_TSC: 1 << 8 } as const;
export const LEAF_80000008_EBX = { WBNOINVD: 1 << 9 } as const;

/** Guest-physical and linear address widths, as leaf 0x80000008 says them. */
export const PHYSICAL_BITS = 40;
export const LINEAR_BITS = 48;

/** The TSC, the APIC timer's input ("core crystal clock") and the nominal frequency are all 1 GHz. */
export const TSC_HZ = 1_000_000_000;

const VENDOR = 'GenuineIntel';
const HYPERVISOR_VENDOR = 'ChassisSoft ';
const BRAND = 'Chassis soft CPU';

/**
 * Family 6, model 0x1C, stepping 10: an in-order core. Linux and others know it as one that does not
 * speculate, which is true here as well, so they leave out page-table isolation, retpolines and the
 * like; no erratum work-around applies to this stepping.
 */
const SIGNATURE = 0x0001_06ca;

/** x87 and SSE state, legacy area and header: the only XSAVE size there is while XCR0 is x87|SSE. */
const XSAVE_SIZE = 512 + 64;

/** The default table for a VM with `vcpus` vCPUs, each a core of one package. */
export function defaultCpuid(vcpus = 1): CpuidEntry[] {
  const coreBits = Math.ceil(Math.log2(vcpus));
  const [v0, v1, v2] = words(VENDOR);
  const [h0, h1, h2] = words(HYPERVISOR_VENDOR);
  const brand = words(BRAND.padEnd(48, '\0'));
  return [
    entry(0, 0x16, v0, v2, v1),
    entry(
      1,
      SIGNATURE,
      (8 << 8) | (vcpus << 16), // CLFLUSH line in units of 8 bytes, logical processors
      all(LEAF1_ECX) & ~(LEAF1_ECX.MONITOR | LEAF1_ECX.OSXSAVE),
      all(LEAF1_EDX) & ~(vcpus > 1 ? 0 : LEAF1_EDX.HTT),
    ),
    // "See leaf 4", once.
    entry(2, 0x0000_ff01, 0, 0, 0),
    cache(0, { type: 1, level: 1, ways: 8, sets: 64, sharing: 1, cores: vcpus }),
    cache(1, { type: 2, level: 1, ways: 8, sets: 64, sharing: 1, cores: vcpus }),
    cache(2, { type: 3, level: 2, ways: 16, sets: 2048, sharing: vcpus, cores: vcpus }),
    // MONITOR's line; no C-states, so that guests prefer HLT.
    entry(5, 64, 64, 0, 0),
    entry(6, all(LEAF6_EAX), 0, 0, 0),
    entry(7, 0, all(LEAF7_EBX), all(LEAF7_ECX), all(LEAF7_EDX), 0),
    // Extended topology: one thread a core, then the cores. EDX (x2APIC id) is the runtime's.
    entry(0xb, 0, 1, 0x100, 0, 0),
    entry(0xb, coreBits, vcpus, 0x201, 0, 1),
    entry(0xd, 3, XSAVE_SIZE, XSAVE_SIZE, 0, 0),
    entry(0xd, all(LEAF_D1_EAX), XSAVE_SIZE, 0, 0, 1),
    entry(0x15, 1, 1, TSC_HZ, 0),
    entry(0x16, TSC_HZ / 1e6, TSC_HZ / 1e6, 100, 0),
    entry(0x4000_0000, 0x4000_0000, h0, h1, h2),
    entry(0x8000_0000, 0x8000_0008, 0, 0, 0),
    entry(0x8000_0001, 0, 0, all(LEAF_80000001_ECX), all(LEAF_80000001_EDX)),
    entry(0x8000_0002, brand[0], brand[1], brand[2], brand[3]),
    entry(0x8000_0003, brand[4], brand[5], brand[6], brand[7]),
    entry(0x8000_0004, brand[8], brand[9], brand[10], brand[11]),
    // L2 in KiB, its associativity code (8: 16 ways) and line.
    entry(0x8000_0006, 0, 0, (2048 << 16) | (8 << 12) | 64, 0),
    entry(0x8000_0007, 0, 0, 0, all(LEAF_80000007_EDX)),
    entry(0x8000_0008, PHYSICAL_BITS | (LINEAR_BITS << 8), all(LEAF_80000008_EBX), 0, 0),
  ];
}

/** The bytes that go to VM_CPUID. Entries beyond CPUID_MAX_ENTRIES do not fit. */
export function encodeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  if (entries.length > CPUID_MAX_ENTRIES) {
    throw new RangeError(`CPUID table: ${entries.length} entries, at most ${CPUID_MAX_ENTRIES}`);
  }
  const bytes = new Uint8Array(8 + entries.length * ENTRY_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, entries.length, true);
  entries.forEach((e, index) => {
    [e.leaf, e.subleaf, e.eax, e.ebx, e.ecx, e.edx].forEach((word, n) => {
      view.setUint32(8 + index * ENTRY_SIZE + 4 * n, word, true);
    });
  });
  return bytes;
}

function entry(
  leaf: number,
  eax: number,
  ebx = 0,
  ecx = 0,
  edx = 0,
  subleaf = ANY_SUBLEAF,
): CpuidEntry {
  return { leaf, subleaf, eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 };
}

/** One subleaf of leaf 4: a cache with 64-byte lines. */
function cache(
  subleaf: number,
  c: { type: number; level: number; ways: number; sets: number; sharing: number; cores: number },
): CpuidEntry {
  const eax = c.type | (c.level << 5) | (1 << 8) | ((c.sharing - 1) << 14) | ((c.cores - 1) << 26);
  return entry(4, eax, 63 | ((c.ways - 1) << 22), c.sets - 1, 0, subleaf);
}

function all(bits: Readonly<Record<string, number>>): number {
  return Object.values(bits).reduce((sum, bit) => sum | bit, 0);
}

/** ASCII text as little-endian words. */
function words(text: string): number[] {
  const out: number[] = [];
  for (let i = 0; i < text.length; i += 4) {
    let word = 0;
    for (let n = 3; n >= 0; n--) word = (word << 8) | (text.charCodeAt(i + n) & 0x7f);
    out.push(word >>> 0);
  }
  return out;
}
