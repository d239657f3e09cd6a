/** CPUID: the VM's table (state/cpuid.ts) with what changes at run time patched in. */
import { CPU } from './env';
import { CR4, GPR, MSR_APIC_BASE, MSR_MISC_ENABLE, VCPU_INDEX, VM_CPUID } from './generated-layout';

const RCX: i32 = 8;
const RDX: i32 = 16;
const RBX: i32 = 24;

const ENTRY_SIZE = 24;
const ANY_SUBLEAF: u32 = 0xffffffff;

const ECX_MONITOR: u32 = 1 << 3;
const ECX_OSXSAVE: u32 = 1 << 27;
const EDX_APIC: u32 = 1 << 9;

const CR4_OSXSAVE: u64 = 1 << 18;
const ENABLE_MONITOR: u64 = 1 << 18;
const APIC_GLOBAL_ENABLE: u64 = 1 << 11;

/** The entry for a leaf and subleaf, 0: none. */
export function cpuid_entry(leaf: u32, subleaf: u32): usize {
  const count = load<i32>(VM_CPUID);
  for (let i = 0; i < count; i++) {
    const entry: usize = VM_CPUID + 8 + i * ENTRY_SIZE;
    if (load<u32>(entry) != leaf) continue;
    const wanted = load<u32>(entry, 4);
    if (wanted == ANY_SUBLEAF || wanted == subleaf) return entry;
  }
  return 0;
}

/** A leaf beyond the last of its range answers as the last basic one. [SDM 2A CPUID] */
function in_range(leaf: u32): u32 {
  const base = leaf & 0xf0000000;
  const highest = cpuid_entry(base, 0);
  if (highest != 0 && leaf <= load<u32>(highest, 8)) return leaf;
  const basic = cpuid_entry(0, 0);
  return basic != 0 ? load<u32>(basic, 8) : 0;
}

export function cpuid(): void {
  const leaf = in_range(load<u32>(CPU, GPR));
  const subleaf = load<u32>(CPU, GPR + RCX);
  const entry = cpuid_entry(leaf, subleaf);
  let a: u32 = 0;
  let b: u32 = 0;
  let c: u32 = 0;
  let d: u32 = 0;
  if (entry != 0) {
    a = load<u32>(entry, 8);
    b = load<u32>(entry, 12);
    c = load<u32>(entry, 16);
    d = load<u32>(entry, 20);
  }
  const apicId = load<u32>(CPU, VCPU_INDEX);
  if (leaf == 1) {
    b |= apicId << 24;
    c &= ~(ECX_MONITOR | ECX_OSXSAVE);
    if (load<u64>(CPU, MSR_MISC_ENABLE) & ENABLE_MONITOR) c |= ECX_MONITOR;
    if (load<u64>(CPU, CR4) & CR4_OSXSAVE) c |= ECX_OSXSAVE;
    if (!(load<u64>(CPU, MSR_APIC_BASE) & APIC_GLOBAL_ENABLE)) d &= ~EDX_APIC;
  } else if (leaf == 0xb) {
    c |= subleaf & 0xff;
    d = apicId;
  }
  store<u64>(CPU, a, GPR);
  store<u64>(CPU, b, GPR + RBX);
  store<u64>(CPU, c, GPR + RCX);
  store<u64>(CPU, d, GPR + RDX);
}
