/**
 * Control and debug registers, EFER and XCR0: every check, and everything that follows from a
 * change. [SDM 3A 2.5, 4.1, 9.8.5, 17.2]
 */
import { CPU, apic_read, apic_write } from './env';
import { raise, raise_gp0, raise_ud } from './fault';
import {
  CPL,
  CR0,
  CR2,
  CR3,
  CR4,
  CR8,
  CS,
  DR,
  EFER,
  GPR,
  SEG_ATTRIBUTES,
  XCR0,
} from './generated-layout';
import { ATTR_L, code64, segment, update_debug, update_mode, uses_descriptors } from './mode';
import {
  CR0_EM,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_PAE,
  CR4_PGE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  DB,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  PHYSICAL_BITS,
} from './private';
import { flush_tlb_all, flush_tlb_nonglobal, invlpg } from './tlb';
import { load_pdptes } from './walk';

const CR0_MP: u64 = 1 << 1;
const CR0_ET: u64 = 1 << 4;
const CR0_NE: u64 = 1 << 5;
const CR0_AM: u64 = 1 << 18;
const CR0_NW: u64 = 1 << 29;
const CR0_CD: u64 = 1 << 30;
const CR0_KNOWN: u64 =
  CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;

const CR4_DE: u64 = 1 << 3;
const CR4_UMIP: u64 = 1 << 11;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_PCIDE: u64 = 1 << 17;
const CR4_OSXSAVE: u64 = 1 << 18;
/** TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT UMIP FSGSBASE PCIDE OSXSAVE SMEP SMAP. */
const CR4_KNOWN: u64 = 0x37_0ffc;
const CR4_FLUSHING: u64 = CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP;

const EFER_SCE: u64 = 1;
const CR3_KEEP: u64 = 1 << 63;
const CR3_BEYOND: u64 = 0x7fff_ffff_ffff_ffff & ~((1 << PHYSICAL_BITS) - 1);

const DR6: i32 = DR + 0x30;
const DR7: i32 = DR + 0x38;
const DR6_FIXED: u64 = 0xffff_0ff0;
const DR6_WRITABLE: u64 = 0xe00f;
const DR6_BD: u64 = 1 << 13;
const DR7_FIXED: u64 = 0x400;
const DR7_WRITABLE: u64 = 0xffff_2bff;
const DR7_GD: u64 = 1 << 13;

const TPR = 0x80;

export function check_cpl0(): void {
  if (load<i32>(CPU, CPL) != 0) raise_gp0();
}

/** #UD for instructions that know only protected mode. */
export function check_descriptors(): void {
  if (!uses_descriptors()) raise_ud();
}

/** SGDT, SIDT, SLDT, STR and SMSW under UMIP. [SDM 3A 2.5 CR4.UMIP] */
export function check_umip(): void {
  if (load<u64>(CPU, CR4) & CR4_UMIP) check_cpl0();
}

/** Control registers that do not exist are #UD before anything else. */
function check_cr(n: i32): void {
  if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) raise_ud();
  check_cpl0();
}

export function read_cr(n: i32): u64 {
  check_cr(n);
  switch (n) {
    case 0:
      return load<u64>(CPU, CR0);
    case 2:
      return load<u64>(CPU, CR2);
    case 3:
      return load<u64>(CPU, CR3);
    case 4:
      return load<u64>(CPU, CR4);
  }
  return (apic_read(TPR) >> 4) & 15;
}

/** MOV to CRn. In 32-bit code the upper half of `value` is 0. */
export function write_cr(n: i32, value: u64): void {
  check_cr(n);
  switch (n) {
    case 0:
      write_cr0(value);
      break;
    case 2:
      store<u64>(CPU, value, CR2);
      break;
    case 3:
      write_cr3(value);
      break;
    case 4:
      write_cr4(value);
      break;
    default:
      if (value >> 4 != 0) raise_gp0();
      store<u64>(CPU, value, CR8);
      apic_write(TPR, u32(value) << 4);
  }
}

function write_cr0(given: u64): void {
  const old = load<u64>(CPU, CR0);
  const efer = load<u64>(CPU, EFER);
  const cr4 = load<u64>(CPU, CR4);
  if (given >> 32 != 0) raise_gp0();
  const value = (given & CR0_KNOWN) | CR0_ET;
  if (value & CR0_PG && !(value & CR0_PE)) raise_gp0();
  if (value & CR0_NW && !(value & CR0_CD)) raise_gp0();
  const changed = old ^ value;
  let newEfer = efer;
  if (changed & CR0_PG) {
    const long = (load<u32>(segment(CS), SEG_ATTRIBUTES) & ATTR_L) != 0;
    if (value & CR0_PG) {
      if (efer & EFER_LME) {
        // Activating IA-32e mode. [SDM 3A 9.8.5]
        if (!(cr4 & CR4_PAE) || long) raise_gp0();
        newEfer = efer | EFER_LMA;
      }
    } else {
      if ((efer & EFER_LMA && long) || cr4 & CR4_PCIDE) raise_gp0();
      newEfer = efer & ~EFER_LMA;
    }
  }
  if (
    value & CR0_PG &&
    cr4 & CR4_PAE &&
    !(newEfer & EFER_LMA) &&
    changed & (CR0_PG | CR0_CD | CR0_NW) &&
    !load_pdptes(load<i64>(CPU, CR3))
  ) {
    raise_gp0();
  }
  store<u64>(CPU, value, CR0);
  store<u64>(CPU, newEfer, EFER);
  if (changed & (CR0_PG | CR0_PE | CR0_WP)) flush_tlb_all();
  update_mode();
}

function write_cr3(given: u64): void {
  const efer = load<u64>(CPU, EFER);
  const cr4 = load<u64>(CPU, CR4);
  const pcids = (cr4 & CR4_PCIDE) != 0;
  let value = given;
  if (efer & EFER_LMA) {
    if (value & CR3_BEYOND || (value & CR3_KEEP && !pcids)) raise_gp0();
    value &= ~CR3_KEEP;
  }
  if (load<u64>(CPU, CR0) & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA)) {
    if (!load_pdptes(value)) raise_gp0();
  }
  store<u64>(CPU, value, CR3);
  // The TLB does not tell PCIDs apart: entries of another one must go even where bit 63 would let them stay.
  flush_tlb_nonglobal();
}

function write_cr4(value: u64): void {
  const old = load<u64>(CPU, CR4);
  const efer = load<u64>(CPU, EFER);
  const cr3 = load<u64>(CPU, CR3);
  if (value & ~CR4_KNOWN) raise_gp0();
  const changed = old ^ value;
  if (efer & EFER_LMA && !(value & CR4_PAE)) raise_gp0();
  if (changed & value & CR4_PCIDE && (!(efer & EFER_LMA) || cr3 & 0xfff)) raise_gp0();
  if (
    load<u64>(CPU, CR0) & CR0_PG &&
    value & CR4_PAE &&
    !(efer & EFER_LMA) &&
    changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) &&
    !load_pdptes(cr3)
  ) {
    raise_gp0();
  }
  store<u64>(CPU, value, CR4);
  if (changed & CR4_FLUSHING) flush_tlb_all();
  update_mode();
}

/** WRMSR to IA32_EFER: SCE, LME and NXE; LMA is read-only and ignored. [SDM 4 table 2-2] */
export function write_efer(given: u64): void {
  const old = load<u64>(CPU, EFER);
  if (given & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) raise_gp0();
  const value = (given & ~EFER_LMA) | (old & EFER_LMA);
  if ((old ^ value) & EFER_LME && load<u64>(CPU, CR0) & CR0_PG) raise_gp0();
  store<u64>(CPU, value, EFER);
  if ((old ^ value) & EFER_NXE) flush_tlb_all();
}

export function clts(): void {
  check_cpl0();
  store<u64>(CPU, load<u64>(CPU, CR0) & ~CR0_TS, CR0);
  update_mode();
}

/** PE MP EM TS; PE can be set but not cleared. */
export function lmsw(value: i32): void {
  check_cpl0();
  const old = load<u64>(CPU, CR0);
  write_cr0((old & ~0xe) | (u64(value) & 0xf));
}

export function smsw(): u64 {
  check_umip();
  return load<u64>(CPU, CR0);
}

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE; GD traps every access. [SDM 3B 17.2.2, 17.2.4] */
function debug_register(n: i32): i32 {
  if (n > 7) raise_ud();
  if ((n & ~1) == 4) {
    if (load<u64>(CPU, CR4) & CR4_DE) raise_ud();
    n += 2;
  }
  check_cpl0();
  if (load<u64>(CPU, DR7) & DR7_GD) {
    store<u64>(CPU, load<u64>(CPU, DR6) | DR6_BD, DR6);
    raise(DB, 0, 0);
  }
  return n;
}

export function read_dr(n: i32): u64 {
  return load<u64>(CPU + DR + (debug_register(n) << 3));
}

export function write_dr(number: i32, value: u64): void {
  const n = debug_register(number);
  if (n >= 6 && value >> 32 != 0) raise_gp0();
  if (n == 6) value = (value & DR6_WRITABLE) | DR6_FIXED;
  if (n == 7) value = (value & DR7_WRITABLE) | DR7_FIXED;
  store<u64>(CPU + DR + (n << 3), value);
  if (n != 6) update_debug();
}

/** INVLPG; `linear` non-canonical does nothing. */
export function invalidate_page(linear: u64): void {
  check_cpl0();
  invlpg(linear);
}

/** INVPCID with what its descriptor says. [SDM 2A INVPCID] */
export function invpcid(type: u64, pcid: u64, address: u64): void {
  if (type > 3 || pcid >> 12 != 0) raise_gp0();
  if (type < 2 && pcid != 0 && !(load<u64>(CPU, CR4) & CR4_PCIDE)) raise_gp0();
  if (type == 0) {
    if ((i64(address << 16) >> 16) != i64(address)) raise_gp0();
    invlpg(address);
  } else if (type == 2) flush_tlb_all();
  else flush_tlb_nonglobal();
}

export function xgetbv(): void {
  if (!(load<u64>(CPU, CR4) & CR4_OSXSAVE)) raise_ud();
  const index = load<u32>(CPU, GPR + 8);
  // Index 1: what is both enabled and not in its initial state; all of XCR0 is a right answer.
  if (index > 1) raise_gp0();
  store<u64>(CPU, load<u32>(CPU, XCR0), GPR);
  store<u64>(CPU, 0, GPR + 16);
}

/** XCR0: x87 always, SSE; there is nothing else. [SDM 1 13.3] */
export function xsetbv(): void {
  if (!(load<u64>(CPU, CR4) & CR4_OSXSAVE)) raise_ud();
  check_cpl0();
  const value = load<u32>(CPU, GPR);
  if (load<u32>(CPU, GPR + 8) != 0 || load<u32>(CPU, GPR + 16) != 0) raise_gp0();
  if ((value & ~3) != 0 || !(value & 1)) raise_gp0();
  store<u64>(CPU, value, XCR0);
}

/** RDFSBASE and its kin: only in 64-bit code and when the system allows them. */
export function check_fsgsbase(): void {
  if (!code64() || !(load<u64>(CPU, CR4) & CR4_FSGSBASE)) raise_ud();
}
