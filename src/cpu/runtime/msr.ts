/**
 * RDMSR and WRMSR. What is not listed here does not exist: #GP(0). Registers beyond the architectural
 * ones are those that Linux, SeaBIOS, OVMF and memtest86+ read without asking CPUID first.
 * [SDM 4 2]
 */
import { CPU, msr_read, msr_write } from './env';
import { raise_gp0 } from './fault';
import {
  CPL,
  FS,
  GPR,
  GS,
  MSR_APIC_BASE,
  MSR_CSTAR,
  MSR_DEBUGCTL,
  MSR_FEATURE_CONTROL,
  MSR_FMASK,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_MCG_STATUS,
  MSR_MISC_ENABLE,
  MSR_MTRR_DEF_TYPE,
  MSR_MTRR_FIXED,
  MSR_MTRR_VAR,
  MSR_PAT,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
  MSR_TSC_ADJUST,
  MSR_TSC_AUX,
  EFER,
  SEGMENTS,
  SEGMENT_SIZE,
  SEG_BASE,
} from './generated-layout';
import { write_efer } from './control';
import { PHYSICAL_BITS } from './private';
import { read_tsc, write_tsc, write_tsc_adjust } from './tsc';

const RCX: i32 = 8;
const RDX: i32 = 16;

const FS_BASE_AT: i32 = SEGMENTS + FS * SEGMENT_SIZE + SEG_BASE;
const GS_BASE_AT: i32 = SEGMENTS + GS * SEGMENT_SIZE + SEG_BASE;

/** Machine-check banks: none of them ever reports. */
const MC_BANKS = 2;
/** Variable MTRRs 8, fixed ones, write-combining. */
const MTRR_CAP: u64 = 8 | (1 << 8) | (1 << 10);
/** MISC_ENABLE: fast strings, MONITOR, and what may be written without effect (SpeedStep, xTPR). */
const MISC_WRITABLE: u64 = 1 | (1 << 3) | (1 << 16) | (1 << 18) | (1 << 23);
/** MISC_ENABLE: no branch trace storage, no PEBS. */
const MISC_FIXED: u64 = (1 << 11) | (1 << 12);
const X2APIC_ENABLED: u64 = 3 << 10;

export function is_canonical(value: u64): bool {
  return (i64(value << 16) >> 16) == i64(value);
}

/** Place in the vCPU's state of registers that are plain memory when read; 0: not one of them. */
function place_of(index: u32): i32 {
  switch (index) {
    case 0x3a:
      return MSR_FEATURE_CONTROL;
    case 0x3b:
      return MSR_TSC_ADJUST;
    case 0x174:
      return MSR_SYSENTER_CS;
    case 0x175:
      return MSR_SYSENTER_ESP;
    case 0x176:
      return MSR_SYSENTER_EIP;
    case 0x17a:
      return MSR_MCG_STATUS;
    case 0x1a0:
      return MSR_MISC_ENABLE;
    case 0x1d9:
      return MSR_DEBUGCTL;
    case 0x250:
      return MSR_MTRR_FIXED;
    case 0x258:
    case 0x259:
      return MSR_MTRR_FIXED + 8 * (1 + (index & 1));
    case 0x277:
      return MSR_PAT;
    case 0x2ff:
      return MSR_MTRR_DEF_TYPE;
    case 0xc0000080:
      return EFER;
    case 0xc0000081:
      return MSR_STAR;
    case 0xc0000082:
      return MSR_LSTAR;
    case 0xc0000083:
      return MSR_CSTAR;
    case 0xc0000084:
      return MSR_FMASK;
    case 0xc0000100:
      return FS_BASE_AT;
    case 0xc0000101:
      return GS_BASE_AT;
    case 0xc0000102:
      return MSR_KERNEL_GS_BASE;
    case 0xc0000103:
      return MSR_TSC_AUX;
  }
  if (index >= 0x200 && index <= 0x20f) return MSR_MTRR_VAR + 8 * (index - 0x200);
  if (index >= 0x268 && index <= 0x26f) return MSR_MTRR_FIXED + 8 * (index - 0x268 + 3);
  return 0;
}

/** Whether an x2APIC register exists for reading. [SDM 3A table 10-6] */
function x2apic_readable(index: u32): bool {
  const n = index - 0x800;
  if (n == 2 || n == 3 || n == 8 || n == 0xa || n == 0xd || n == 0xf) return true;
  return (n >= 0x10 && n <= 0x28) || n == 0x30 || (n >= 0x32 && n <= 0x39) || n == 0x3e;
}

/** Whether an x2APIC register exists for writing. */
function x2apic_writable(index: u32): bool {
  const n = index - 0x800;
  if (n == 8 || n == 0xb || n == 0xf || n == 0x28 || n == 0x30) return true;
  return (n >= 0x32 && n <= 0x38) || n == 0x3e || n == 0x3f;
}

function check_x2apic(exists: bool): void {
  if (!exists || (load<u64>(CPU, MSR_APIC_BASE) & X2APIC_ENABLED) != X2APIC_ENABLED) raise_gp0();
}

function read(index: u32): u64 {
  const place = place_of(index);
  if (place != 0) return load<u64>(CPU + place);
  if (index >= 0x800 && index <= 0x8ff) check_x2apic(x2apic_readable(index));
  if (index == 0x1b || index == 0x6e0 || (index & 0xffffff00) == 0x800) {
    return u64(msr_read(index, 0)) | (u64(msr_read(index, 1)) << 32);
  }
  if (index >= 0x400 && index < 0x400 + 4 * MC_BANKS) return index & 3 ? 0 : u64(-1);
  switch (index) {
    case 0x10:
      return read_tsc();
    case 0x17: // IA32_PLATFORM_ID
    case 0x2a: // EBL_CR_POWERON
    case 0x79: // IA32_BIOS_UPDT_TRIG reads as 0 on what came before microcode updates
    case 0x198: // IA32_PERF_STATUS
    case 0x199: // IA32_PERF_CTL
      return 0;
    case 0x8b: // IA32_BIOS_SIGN_ID: revision 1
      return 1 << 32;
    case 0xcd: // MSR_FSB_FREQ: 100 MHz
      return 3;
    case 0xfe:
      return MTRR_CAP;
    case 0x179: // IA32_MCG_CAP: no MCG_CTL
      return MC_BANKS;
  }
  raise_gp0();
  return 0;
}

function is_memory_type(type: u64): bool {
  return type <= 6 && type != 2 && type != 3;
}

function are_memory_types(value: u64, pat: bool): bool {
  for (let i = 0; i < 8; i++, value >>= 8) {
    const type = value & 0xff;
    if (!is_memory_type(type) && !(pat && type == 7)) return false;
  }
  return true;
}

/** Whether a variable MTRR takes this value: bases have a type, masks a valid bit. */
function is_variable_mtrr(index: u32, value: u64): bool {
  if (value >> PHYSICAL_BITS != 0) return false;
  return index & 1 ? (value & 0x7ff) == 0 : (value & 0xf00) == 0 && is_memory_type(value & 0xff);
}

function write(index: u32, value: u64): void {
  let ok = true;
  if (index >= 0x200 && index <= 0x20f) ok = is_variable_mtrr(index, value);
  else if (index == 0x250 || (index & ~1) == 0x258 || (index & ~7) == 0x268) {
    ok = are_memory_types(value, false);
  } else if (index >= 0x400 && index < 0x400 + 4 * MC_BANKS) {
    // Control bits are not kept: they read as all ones. Status may be cleared only.
    if ((index & 3) != 0 && value != 0) raise_gp0();
    return;
  } else if (index == 0x1b || index == 0x6e0 || (index & 0xffffff00) == 0x800) {
    if (index >= 0x800) check_x2apic(x2apic_writable(index));
    if (msr_write(index, u32(value), u32(value >> 32)) != 0) raise_gp0();
    return;
  } else {
    switch (index) {
      case 0x10:
        write_tsc(value);
        return;
      case 0x3b:
        write_tsc_adjust(value);
        return;
      case 0x79: // IA32_BIOS_UPDT_TRIG: the update is "loaded"
      case 0x8b: // IA32_BIOS_SIGN_ID: software writes 0 before CPUID refreshes it
      case 0x199: // IA32_PERF_CTL: one frequency only
        return;
      case 0x3a: // IA32_FEATURE_CONTROL: bit 0 locks it
        ok = !(load<u64>(CPU, MSR_FEATURE_CONTROL) & 1) && value <= 1;
        break;
      case 0x174: // 32 bits; the rest is not kept
        value &= 0xffffffff;
        break;
      case 0x175:
      case 0x176:
      case 0xc0000082:
      case 0xc0000083:
      case 0xc0000100:
      case 0xc0000101:
      case 0xc0000102:
        ok = is_canonical(value);
        break;
      case 0x17a:
        ok = value == 0;
        break;
      case 0x1a0:
        value = (value & MISC_WRITABLE) | MISC_FIXED;
        break;
      case 0x1d9: // IA32_DEBUGCTL: LBR and BTF
        ok = value <= 3;
        break;
      case 0x277:
        ok = are_memory_types(value, true);
        break;
      case 0x2ff:
        ok = (value & ~0xcff) == 0 && is_memory_type(value & 0xff);
        break;
      case 0xc0000080:
        write_efer(value);
        return;
      case 0xc0000081:
        break;
      case 0xc0000084:
      case 0xc0000103:
        ok = value >> 32 == 0;
        break;
      default:
        ok = false;
    }
  }
  if (!ok) raise_gp0();
  store<u64>(CPU + place_of(index), value);
}

export function rdmsr(): void {
  if (load<i32>(CPU, CPL) != 0) raise_gp0();
  const value = read(load<u32>(CPU, GPR + RCX));
  store<u64>(CPU, value & 0xffffffff, GPR);
  store<u64>(CPU, value >> 32, GPR + RDX);
}

export function wrmsr(): void {
  if (load<i32>(CPU, CPL) != 0) raise_gp0();
  const low: u64 = load<u32>(CPU, GPR);
  write(load<u32>(CPU, GPR + RCX), low | (load<u64>(CPU, GPR + RDX) << 32));
}
