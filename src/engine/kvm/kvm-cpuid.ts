import { ANY_SUBLEAF, type CpuidEntry, LEAF1_ECX, LEAF1_EDX } from '../../cpu/state/cpuid.js';
import { checked, structure } from './arguments.js';
import type { Libc } from './libc.js';
import { cpuidEntry as at, ioctl, sizeOf } from './registers.js';

const ROOM = 256;
/** Leaves that say how many CPUs there are, and which this one is. */
const FEATURES = 1;
const TOPOLOGY = 0xb;
const CLOCKS = 0x15;
/** With 1Fh, which is another 0Bh, and what KVM has for guests that know it: a clock that is in no record. */
const replaced = new Set([TOPOLOGY, CLOCKS, 0x1f, 0x4000_0001]);

/** What the kernel lets a guest have, as a table for `vcpus` vCPUs, each a core of one package. */
export function supportedCpuid(c: Libc, fd: number, vcpus: number, tscKhz: number): CpuidEntry[] {
  const list = new Uint8Array(sizeOf.cpuid2 + ROOM * sizeOf.cpuid_entry2);
  const view = new DataView(list.buffer);
  view.setUint32(0, ROOM, true);
  checked(c.ioctl(fd, ioctl.GET_SUPPORTED_CPUID, list), 'its table of CPU features');
  const table = Array.from({ length: view.getUint32(0, true) }, (_, i): CpuidEntry => {
    const word = (offset: number) =>
      view.getUint32(sizeOf.cpuid2 + i * sizeOf.cpuid_entry2 + offset, true);
    const indexed = (word(at.flags) & at.SIGNIFICANT_INDEX) !== 0;
    return {
      leaf: word(at.function),
      subleaf: indexed ? word(at.index) : ANY_SUBLEAF,
      eax: word(at.eax),
      ebx: word(at.ebx),
      ecx: word(at.ecx),
      edx: word(at.edx),
    };
  });
  const coreBits = Math.ceil(Math.log2(vcpus));
  const core = (subleaf: number, eax: number, ebx: number, ecx: number) => ({
    ...{ leaf: TOPOLOGY, subleaf, eax, ebx, ecx, edx: 0 },
  });
  return [
    ...table
      .filter(({ leaf }) => !replaced.has(leaf))
      .map((entry) => (entry.leaf === FEATURES ? counted(entry, vcpus) : entry)),
    core(0, 0, 1, 0x100),
    core(1, coreBits, vcpus, 0x201),
    // The APIC timer's clock is 1 GHz; the TSC is khz / 10^6 of it.
    { leaf: CLOCKS, subleaf: ANY_SUBLEAF, eax: 1e6, ebx: tscKhz, ecx: 1e9, edx: 0 },
  ];
}

function counted(entry: CpuidEntry, vcpus: number): CpuidEntry {
  const htt = vcpus > 1 ? LEAF1_EDX.HTT : 0;
  return {
    ...entry,
    ebx: ((entry.ebx & 0xff00) | (vcpus << 16)) >>> 0,
    edx: ((entry.edx & ~LEAF1_EDX.HTT) | htt) >>> 0,
  };
}

/** The table of vCPU `index` as SET_CPUID2 takes it; `apic`: there is a local APIC in the kernel. */
export function encodeKvmCpuid(
  table: readonly CpuidEntry[],
  index: number,
  apic: boolean,
): Uint8Array {
  const list = new Uint8Array(sizeOf.cpuid2 + table.length * sizeOf.cpuid_entry2);
  list.set(structure(sizeOf.cpuid2, 0, table.length));
  table.forEach((entry, i) => {
    const { leaf, subleaf } = entry;
    const apicId = leaf === FEATURES ? index << 24 : 0;
    const needsApic = leaf === FEATURES && !apic ? LEAF1_ECX.X2APIC | LEAF1_ECX.TSC_DEADLINE : 0;
    const indexed = subleaf !== ANY_SUBLEAF;
    const words = structure(
      sizeOf.cpuid_entry2,
      ...[at.function, leaf, at.index, indexed ? subleaf : 0],
      ...[at.flags, indexed ? at.SIGNIFICANT_INDEX : 0, at.eax, entry.eax],
      ...[at.ebx, entry.ebx | apicId, at.ecx, entry.ecx & ~needsApic],
      ...[at.edx, leaf === TOPOLOGY ? index : entry.edx],
    );
    list.set(words, sizeOf.cpuid2 + i * sizeOf.cpuid_entry2);
  });
  return list;
}
