/** The time-stamp counter: the VM's clock at TSC_HZ = 1 GHz plus this vCPU's offset. [SDM 3B 17.17] */
import { CPU, clock_ns } from './env';
import { raise_gp0 } from './fault';
import { CPL, CR4, GPR, MSR_TSC_ADJUST, MSR_TSC_AUX, MSR_TSC_OFFSET } from './generated-layout';

const CR4_TSD: u64 = 1 << 2;
const RCX: i32 = 8;
const RDX: i32 = 16;

function raw_tsc(): u64 {
  return u64(clock_ns());
}

export function read_tsc(): u64 {
  return raw_tsc() + load<u64>(CPU, MSR_TSC_OFFSET);
}

/** WRMSR to IA32_TSC: IA32_TSC_ADJUST moves by the same amount. [SDM 3B 17.17.3] */
export function write_tsc(value: u64): void {
  move_tsc(value - read_tsc());
}

export function write_tsc_adjust(value: u64): void {
  move_tsc(value - load<u64>(CPU, MSR_TSC_ADJUST));
}

function move_tsc(delta: u64): void {
  store<u64>(CPU, load<u64>(CPU, MSR_TSC_OFFSET) + delta, MSR_TSC_OFFSET);
  store<u64>(CPU, load<u64>(CPU, MSR_TSC_ADJUST) + delta, MSR_TSC_ADJUST);
}

export function rdtsc(): void {
  if (load<u64>(CPU, CR4) & CR4_TSD && load<i32>(CPU, CPL) != 0) raise_gp0();
  const now = read_tsc();
  store<u64>(CPU, now & 0xffffffff, GPR);
  store<u64>(CPU, now >> 32, GPR + RDX);
}

export function rdtscp(): void {
  rdtsc();
  store<u64>(CPU, load<u64>(CPU, MSR_TSC_AUX) & 0xffffffff, GPR + RCX);
}

/** There are no performance counters: every index is invalid. */
export function rdpmc(): void {
  raise_gp0();
}
