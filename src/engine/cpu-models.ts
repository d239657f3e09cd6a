import * as cpuid from '../cpu/state/cpuid.js';
import { ANY_SUBLEAF, type CpuidEntry, defaultCpuid } from '../cpu/state/cpuid.js';
import { EngineError } from './engine.js';

/**
 * What a guest is told its CPU has. `host`: all there is; `common`: what both engines have here, for VMs
 * that are to move; the others are the levels of the psABI [x86-64 psABI 3.1.1].
 */
export const cpuModels = ['host', 'common', 'x86-64-v1', 'x86-64-v2', 'x86-64-v3'] as const;
export type CpuModel = (typeof cpuModels)[number];

type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
type Bits = Readonly<Record<string, number>>;

/** Registers of CPUID that list features, and names of their bits [SDM 2A CPUID]. */
const words: readonly { leaf: number; subleaf: number; register: Register; bits: Bits }[] = [
  word(1, 'ecx', { ...cpuid.LEAF1_ECX, ...bits('DTES64=2 VMX=5 FMA=12 PDCM=15 AVX=28 F16C=29') }),
  word(1, 'edx', { ...cpuid.LEAF1_EDX, ...bits('VME=1 SS=27') }),
  word(6, 'eax', cpuid.LEAF6_EAX),
  word(7, 'ebx', {
    ...cpuid.LEAF7_EBX,
    ...bits('HLE=4 AVX2=5 RTM=11 AVX512F=16 AVX512DQ=17 AVX512_IFMA=21 AVX512CD=28 AVX512BW=30'),
    ...bits('AVX512VL=31'),
  }),
  word(7, 'ecx', { ...cpuid.LEAF7_ECX, ...bits('PKU=3 GFNI=8 VAES=9 VPCLMUL=10') }),
  word(7, 'edx', { ...cpuid.LEAF7_EDX, ...bits('SERIALIZE=14 IBRS=26 SSBD=31') }),
  word(7, 'eax', bits('AVX_VNNI=4 AVX512_BF16=5'), 1),
  word(0xd, 'eax', { ...cpuid.LEAF_D1_EAX, ...bits('XSAVES=3') }, 1),
  word(0x8000_0001, 'ecx', cpuid.LEAF_80000001_ECX),
  word(0x8000_0001, 'edx', cpuid.LEAF_80000001_EDX),
  word(0x8000_0007, 'edx', cpuid.LEAF_80000007_EDX),
  word(0x8000_0008, 'ebx', cpuid.LEAF_80000008_EBX),
];

function word(leaf: number, register: Register, bits: Bits, subleaf = 0) {
  return { leaf, subleaf, register, bits };
}

/** Names and their bits' numbers. */
function bits(text: string): Bits {
  const pairs = text.split(' ').map((pair) => pair.split('='));
  return Object.fromEntries(pairs.map(([name, number]) => [name, 1 << Number(number)]));
}

/**
 * Not things that a guest could miss: what the system switches on, where it runs, and notes on what
 * x87 saves.
 */
const notMissed = new Set(['OSXSAVE', 'HYPERVISOR', 'APIC', 'HTT', 'FDP_EXCPTN_ONLY']);
notMissed.add('DEPRECATES_FCS_FDS');

const V1 = `FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE
  SSE2 HTT HYPERVISOR X2APIC TSC_DEADLINE SYSCALL NX LM ARAT INVARIANT_TSC`;
const V2 = `${V1} CMPXCHG16B LAHF POPCNT SSE3 SSE4_1 SSE4_2 SSSE3`;
const V3 = `${V2} AVX AVX2 BMI1 BMI2 F16C FMA LZCNT MOVBE XSAVE XGETBV_1`;
const levels = { 'x86-64-v1': V1, 'x86-64-v2': V2, 'x86-64-v3': V3 };
/** What a level can do without: an engine of old may lack it, and no program of that level asks. */
const optional = new Set(['TSC_DEADLINE', 'X2APIC', 'INVARIANT_TSC', 'ARAT', 'HTT', 'XGETBV_1']);

/** Features that a table has, by name. */
export function featuresOf(table: readonly CpuidEntry[]): Set<string> {
  const found = new Set<string>();
  for (const { leaf, subleaf, register, bits } of words) {
    const value = find(table, leaf, subleaf)?.[register] ?? 0;
    for (const [name, bit] of Object.entries(bits)) if (value & bit) found.add(name);
  }
  return found;
}

/** Names of what `wanted` has and `offered` has not; bits without a name by their place. */
export function missingFeatures(
  wanted: readonly CpuidEntry[],
  offered: readonly CpuidEntry[],
): string[] {
  const missing: string[] = [];
  for (const { leaf, subleaf, register, bits } of words) {
    const has = find(offered, leaf, subleaf)?.[register] ?? 0;
    const lacks = (find(wanted, leaf, subleaf)?.[register] ?? 0) & ~has;
    for (let n = 0; n < 32; n++) {
      if ((lacks & (1 << n)) === 0) continue;
      const name = Object.entries(bits).find(([, bit]) => bit === 1 << n)?.[0];
      if (name === undefined || !notMissed.has(name)) {
        missing.push(name ?? `CPUID.${leaf.toString(16)}:${register}[${n}]`);
      }
    }
  }
  return missing;
}

/**
 * The table of a model, out of what an engine offers and, for `common`, another does. Throws
 * {@link EngineError} `limit` that names what is missing.
 */
export function cpuidOf(
  model: CpuModel,
  vcpus: number,
  offered: readonly CpuidEntry[],
  other: readonly CpuidEntry[] = offered,
): readonly CpuidEntry[] {
  if (model === 'host') return offered;
  const soft = defaultCpuid(vcpus);
  if (model === 'common') {
    const have = [soft, offered, other].map(featuresOf);
    return restricted(soft, offered, (name) => have.every((set) => set.has(name)));
  }
  const wanted = new Set(levels[model].split(/\s+/));
  const has = featuresOf(offered);
  const missing = [...wanted].filter(
    (name) => !has.has(name) && !optional.has(name) && !notMissed.has(name),
  );
  if (missing.length > 0) {
    throw new EngineError(
      'limit',
      `CPU model ${model}: found no ${missing.join(', ')}, wanted them on this host and engine; "common" takes what there is`,
    );
  }
  return restricted(soft, offered, (name) => wanted.has(name) && has.has(name));
}

/** The table of the `soft` CPU with other features, and what belongs to them, of this host. */
function restricted(
  soft: readonly CpuidEntry[],
  offered: readonly CpuidEntry[],
  keep: (feature: string) => boolean,
): CpuidEntry[] {
  const table = soft
    .filter(({ leaf }) => leaf !== 0xd || keep('XSAVE'))
    .map((entry) => {
      const result = { ...entry };
      for (const { leaf, subleaf, register, bits } of words) {
        if (leaf !== entry.leaf || !(entry.subleaf === ANY_SUBLEAF || entry.subleaf === subleaf)) {
          continue;
        }
        const kept = Object.entries(bits).filter(([name]) => keep(name));
        result[register] = kept.reduce((sum, [, bit]) => sum | bit, 0) >>> 0;
      }
      // Leaf 15h: what an engine knows of its clocks.
      return entry.leaf === 0x15 ? (find(offered, 0x15, 0) ?? result) : result;
    });
  const wide = find(table, 0x8000_0008, 0)!;
  const bits = (find(offered, 0x8000_0008, 0)?.eax ?? 36) & 0xff;
  Object.assign(wide, { eax: (wide.eax & ~0xff) | Math.min(wide.eax & 0xff, bits) });
  if (!keep('AVX')) return table;
  const state = offered.filter(({ leaf, subleaf }) => leaf === 0xd && subleaf === 2);
  const size = Math.max(576, ...state.map(({ eax, ebx }) => eax + ebx));
  const main = table.find(({ leaf, subleaf }) => leaf === 0xd && subleaf !== 1)!;
  Object.assign(main, { eax: 7, ecx: size, subleaf: 0 });
  return [...table, ...state];
}

function find(table: readonly CpuidEntry[], leaf: number, subleaf: number) {
  return table.find(
    (one) => one.leaf === leaf && (one.subleaf === subleaf || one.subleaf === ANY_SUBLEAF),
  );
}
