/** SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and writes of FS.base and GS.base. [SDM 2B, 3A 5.8.7] */
import { CPU } from './env';
import { raise_gp0, raise_ud } from './fault';
import { read_eflags } from './flags';
import {
  CPL,
  CS,
  DEBUG_HITS,
  EFER,
  EFLAGS,
  EVENT,
  EVENT_DEBUG,
  GPR,
  GS,
  MSR_FMASK,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
  NEXT_RIP,
  RIP,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_CHECK,
  SEG_LIMIT,
  SEG_SELECTOR,
  SS,
} from './generated-layout';
import { check_fsgsbase } from './control';
import { code64, long_mode, protected_mode, segment, update_mode, write_flags } from './mode';
import { is_canonical } from './msr';
import { F_IF, F_RF, F_TF, F_VM, STEP, STEP_TF } from './private';

const RCX: i32 = GPR + 8;
const RDX: i32 = GPR + 16;
const RSP: i32 = GPR + 32;
const R11: i32 = GPR + 88;

const EFER_SCE: u64 = 1;

/** Attributes of flat segments of ring 0: present, accessed, 4 KiB granularity. */
const CODE64: u32 = 0xa09b;
const CODE32: u32 = 0xc09b;
const DATA: u32 = 0xc093;
const RING3: u32 = 0x60;

/** RFLAGS that SYSRET loads. */
const SYSRET_FLAGS: u32 = 0x3c7fd7;

function load_flat(n: i32, selector: u32, attributes: u32): void {
  const at = segment(n);
  store<u16>(at, u16(selector), SEG_SELECTOR);
  store<u32>(at, attributes, SEG_ATTRIBUTES);
  store<u32>(at, 0xffffffff, SEG_LIMIT);
  store<i32>(at, 0, SEG_CHECK);
  store<u64>(at, 0, SEG_BASE);
}

/** CS and the SS that stands `gap` above it in the descriptor table, at a ring. */
function enter(cs: u32, ss: u32, code: u32, ring: u32): void {
  const dpl = ring == 3 ? RING3 : 0;
  load_flat(CS, (cs & 0xfffc) | ring, code | dpl);
  load_flat(SS, (ss & 0xfffc) | ring, DATA | dpl);
  store<u32>(CPU, ring, CPL);
}

/**
 * SYSCALL and SYSRET trap by the TF that they leave, not by the one they found: a kernel that masks TF by
 * IA32_FMASK is not entered with a trap, and its SYSRET to a stepped program traps at once.
 */
function trap_by_new_flag(): void {
  store<i32>(CPU, load<i32>(CPU, STEP) & ~STEP_TF, STEP);
  if (!(load<u32>(CPU, EFLAGS) & F_TF)) return;
  store<i32>(CPU, load<i32>(CPU, DEBUG_HITS) | 0x4000, DEBUG_HITS);
  store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_DEBUG, EVENT);
}

export function syscall(): void {
  if (!code64() || !(load<u64>(CPU, EFER) & EFER_SCE)) raise_ud();
  const flags = read_eflags();
  store<u64>(CPU, load<u64>(CPU, NEXT_RIP), RCX);
  store<u64>(CPU, flags, R11);
  const cs = u32(load<u64>(CPU, MSR_STAR) >> 32) & 0xffff;
  enter(cs, cs + 8, CODE64, 0);
  write_flags(0, (load<u64>(CPU, MSR_FMASK) & 0xffffffff) | F_RF);
  store<u64>(CPU, load<u64>(CPU, MSR_LSTAR), RIP);
  update_mode();
  trap_by_new_flag();
}

/** `wide`: REX.W, back to 64-bit code. */
export function sysret(wide: i32): void {
  if (!code64() || !(load<u64>(CPU, EFER) & EFER_SCE)) raise_ud();
  if (load<i32>(CPU, CPL) != 0) raise_gp0();
  const target = load<u64>(CPU, RCX);
  if (wide && !is_canonical(target)) raise_gp0();
  const base = u32(load<u64>(CPU, MSR_STAR) >> 48);
  enter(wide ? base + 16 : base, base + 8, wide ? CODE64 : CODE32, 3);
  write_flags(load<u64>(CPU, R11) & SYSRET_FLAGS, SYSRET_FLAGS | F_RF | F_VM);
  store<u64>(CPU, wide ? target : target & 0xffffffff, RIP);
  update_mode();
  trap_by_new_flag();
}

export function sysenter(): void {
  const cs = load<u32>(CPU, MSR_SYSENTER_CS) & 0xfffc;
  if (!protected_mode() || cs == 0) raise_gp0();
  const long = long_mode();
  const mask: u64 = long ? u64(-1) : 0xffffffff;
  write_flags(0, F_VM | F_IF | F_RF);
  store<u64>(CPU, load<u64>(CPU, MSR_SYSENTER_ESP) & mask, RSP);
  store<u64>(CPU, load<u64>(CPU, MSR_SYSENTER_EIP) & mask, RIP);
  enter(cs, cs + 8, long ? CODE64 : CODE32, 0);
  update_mode();
}

/** `wide`: REX.W, to 64-bit code. */
export function sysexit(wide: i32): void {
  const cs = load<u32>(CPU, MSR_SYSENTER_CS) & 0xfffc;
  if (!protected_mode() || cs == 0 || load<i32>(CPU, CPL) != 0) raise_gp0();
  const ip = load<u64>(CPU, RDX);
  const sp = load<u64>(CPU, RCX);
  if (wide && !(is_canonical(ip) && is_canonical(sp))) raise_gp0();
  const mask: u64 = wide ? u64(-1) : 0xffffffff;
  store<u64>(CPU, sp & mask, RSP);
  store<u64>(CPU, ip & mask, RIP);
  enter(cs + (wide ? 32 : 16), cs + (wide ? 40 : 24), wide ? CODE64 : CODE32, 3);
  update_mode();
}

export function swapgs(): void {
  if (!code64()) raise_ud();
  if (load<i32>(CPU, CPL) != 0) raise_gp0();
  const gs = segment(GS);
  const base = load<u64>(gs, SEG_BASE);
  store<u64>(gs, load<u64>(CPU, MSR_KERNEL_GS_BASE), SEG_BASE);
  store<u64>(CPU, base, MSR_KERNEL_GS_BASE);
}

/** RDFSBASE, RDGSBASE: `n` is FS or GS. */
export function read_base(n: i32): u64 {
  check_fsgsbase();
  return load<u64>(segment(n), SEG_BASE);
}

/** WRFSBASE, WRGSBASE. */
export function write_base(n: i32, value: u64): void {
  check_fsgsbase();
  if (!is_canonical(value)) raise_gp0();
  store<u64>(segment(n), value, SEG_BASE);
}
