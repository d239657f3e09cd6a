/** Power-up, RESET and INIT states, and start-up by SIPI. [SDM 3A table 10-1] */
import { cpuid_entry } from './cpuid';
import { CPU } from './env';
import {
  CPL, CR0, CR2, CR3, CR4, CR8, CS, DEBUG_HITS, DELIVERING, DR, EFER, ES, EVENT, EXC_VECTOR,
  FLAT, FLAT_SS, GDTR, GPR, GS, IDTR, LDTR, MONITOR_ADDRESS, MSR_PAT, MXCSR, NMI_STATE, RIP, SEG_ATTRIBUTES,
  SEG_BASE, SEG_CHECK, SEG_LIMIT, SEG_SELECTOR, SIPI_VECTOR, SSE_FAST, TR, X87, X87_CONTROL, X87_STATUS, X87_TAG,
  XCR0, XMM, ZERO,
} from './generated-layout';
import { BREAKPOINTS, EXT, IRQ_WAITING, STEP } from './private';
import { segment, set_activity, update_mode, write_flags } from './mode';
import { flush_tlb_all, tlb_init } from './tlb';

/** EAX of leaf 1: EDX after a reset. */
function signature(): u32 {
  const entry = cpuid_entry(1, 0);
  return entry ? load<u32>(entry, 8) : 0;
}

function set(n: i32, selector: i32, attributes: u32, base: u64): void {
  const at = segment(n);
  store<u16>(at, selector as u16, SEG_SELECTOR);
  store<u32>(at, attributes, SEG_ATTRIBUTES);
  store<u32>(at, 0xffff, SEG_LIMIT);
  store<u64>(at, base, SEG_BASE);
}

function set_flat(n: i32): void {
  const at = segment(n);
  store<u32>(at, 0xc093, SEG_ATTRIBUTES);
  store<u32>(at, 0xffff_ffff, SEG_LIMIT);
  store<i32>(at, 0, SEG_CHECK);
  store<u64>(at, 0, SEG_BASE);
}

/** INIT: what both INIT and RESET set. CD and NW of CR0 stay over an INIT. */
export function init_cpu(): void {
  memory.fill(CPU + GPR, 0, 128);
  store<u64>(CPU, 0, ZERO);
  store<u64>(CPU, signature(), GPR + 16);
  store<u64>(CPU, 0xfff0, RIP);
  set(ES, 0, 0x93, 0);
  for (let n = ES; n <= GS; n++) set(n, 0, 0x93, 0);
  set(CS, 0xf000, 0x9b, 0xffff_0000);
  set(LDTR, 0, 0x82, 0);
  set(TR, 0, 0x8b, 0);
  set_flat(FLAT);
  set_flat(FLAT_SS);
  store<u64>(CPU, 0, GDTR);
  store<u32>(CPU, 0xffff, GDTR + 8);
  store<u64>(CPU, 0, IDTR);
  store<u32>(CPU, 0xffff, IDTR + 8);
  store<u64>(CPU, (load<u64>(CPU, CR0) & 0x6000_0000) | 0x10, CR0);
  store<u64>(CPU, 0, CR2);
  store<u64>(CPU, 0, CR3);
  store<u64>(CPU, 0, CR4);
  store<u64>(CPU, 0, CR8);
  store<u64>(CPU, 0, EFER);
  memory.fill(CPU + DR, 0, 48);
  store<u64>(CPU, 0xffff_0ff0, DR + 0x30);
  store<u64>(CPU, 0x400, DR + 0x38);
  store<i32>(CPU, -1, EXC_VECTOR);
  store<i32>(CPU, -1, DELIVERING);
  store<i32>(CPU, 0, DEBUG_HITS);
  store<i32>(CPU, 0, NMI_STATE);
  store<i64>(CPU, -1, MONITOR_ADDRESS);
  store<i32>(CPU, 0, EVENT);
  store<i32>(CPU, 0, CPL);
  store<i32>(CPU, 0, EXT);
  store<i32>(CPU, 0, STEP);
  store<i32>(CPU, 0, BREAKPOINTS);
  write_flags(0, 0xffff_ffff);
  set_activity(0);
  flush_tlb_all();
  update_mode();
}

/** RESET and power-up: INIT, and what INIT leaves alone. The LAPIC is the run loop's. */
export function reset_cpu(): void {
  tlb_init();
  store<u64>(CPU, 0x6000_0010, CR0);
  store<u64>(CPU, 1, XCR0);
  store<u64>(CPU, 0x0007_0406_0007_0406, MSR_PAT);
  // FNINIT's words except the control word, which reads 0x40 [SDM 3A table 10-1].
  memory.fill(CPU + X87, 0, 128);
  store<u16>(CPU, 0x40, X87_CONTROL);
  store<u16>(CPU, 0, X87_STATUS);
  store<u8>(CPU, 0xff, X87_TAG);
  memory.fill(CPU + XMM, 0, 512);
  store<u32>(CPU, 0x1f80, MXCSR);
  store<i32>(CPU, 0, SSE_FAST);
  store<i32>(CPU, 0, IRQ_WAITING);
  init_cpu();
}

/** A start-up IPI: real-address mode at vector * 4096. [SDM 3A 9.4.3] */
export function start_up(): void {
  const vector = load<i32>(CPU, SIPI_VECTOR) & 0xff;
  set(CS, vector << 8, 0x9b, (vector as u64) << 12);
  store<u64>(CPU, 0, RIP);
  set_activity(0);
  update_mode();
}
