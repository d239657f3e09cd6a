/** Instructions that wait. */
import { CPU } from './env';
import { raise_gp0, raise_ud } from './fault';
import {
  ACTIVITY,
  CPL,
  EVENT,
  EVENT_INACTIVE,
  GPR,
  MONITOR_ADDRESS,
  MSR_MISC_ENABLE,
  VM_VCPUS,
} from './generated-layout';

const HALTED = 1;
const MWAITING = 4;
const RCX: i32 = 8;

/** Bit 18 of IA32_MISC_ENABLE: without it MONITOR and MWAIT do not exist (CPUID follows it). */
const ENABLE_MONITOR: u64 = 1 << 18;

/** The caller stores the next RIP and ends the block. */
export function hlt(): void {
  if (load<i32>(CPU, CPL) != 0) raise_gp0();
  sleep(HALTED);
}

function sleep(activity: i32): void {
  store<i32>(CPU, activity, ACTIVITY);
  store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_INACTIVE, EVENT);
}

function check_monitor(): void {
  if (!(load<u64>(CPU, MSR_MISC_ENABLE) & ENABLE_MONITOR) || load<i32>(CPU, CPL) != 0) raise_ud();
}

/** `linear` has been checked to be readable. */
export function monitor(linear: u64): void {
  check_monitor();
  if (load<u64>(CPU, GPR + RCX) != 0) raise_gp0();
  store<u64>(CPU, linear & ~63, MONITOR_ADDRESS);
}

/**
 * With one vCPU nothing but an interrupt or a device can write the monitored line, so waiting for an
 * interrupt is right as long as drivers are told of DMA by one. With more, waking up at once is
 * allowed ("implementation-dependent system events") and is what happens. [SDM 3A 8.10.4]
 */
export function mwait(): void {
  check_monitor();
  // ECX bit 0: interrupts wake even when masked; not offered in leaf 5.
  if (load<u64>(CPU, GPR + RCX) != 0) raise_gp0();
  const armed = load<i64>(CPU, MONITOR_ADDRESS) != -1;
  store<i64>(CPU, -1, MONITOR_ADDRESS);
  if (armed && load<i32>(VM_VCPUS) == 1) sleep(MWAITING);
}
