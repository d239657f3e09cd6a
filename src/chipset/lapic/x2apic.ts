import { base, msr, REGISTER_BYTES, reg, writable } from './registers.js';
import { PENDING_ERRORS, pageBits } from './state.js';

/** Offset in the page of the register behind an x2APIC MSR, or -1. [SDM 3A table 11-6] */
export function x2apicOffset(index: number): number {
  if (index < msr.x2apic || index >= msr.x2apicEnd) return -1;
  const offset = (index - msr.x2apic) << 4;
  // The ICR is one register of 64 bits, the flat model is gone. [SDM 3A 11.12.1.2]
  if (offset === reg.dfr || offset === reg.icrHigh || offset >= REGISTER_BYTES) return -1;
  if (offset === reg.ppr || offset === reg.eoi || offset === reg.selfIpi) return offset;
  if (offset === reg.currentCount) return offset;
  return offset === PENDING_ERRORS || pageBits[offset >> 2] === 0 ? -1 : offset;
}

/** Whether WRMSR of these halves to the register at `offset` is no #GP. */
export function x2apicWritable(offset: number, low: number, high: number): boolean {
  switch (offset) {
    case reg.selfIpi:
      return high === 0 && low >>> 0 <= 0xff;
    case reg.eoi:
    case reg.esr:
      return (low | high) === 0;
    case reg.ldr:
      return false;
  }
  const mask = writable.get(offset);
  if (mask === undefined || (low & ~mask) !== 0) return false;
  return high === 0 || offset === reg.icrLow;
}

/** The logical id that an x2APIC makes of its id. [SDM 3A 11.12.10.2] */
export function x2apicLogicalId(id: number): number {
  return ((id >>> 4) << 16) | (1 << (id & 15));
}

/** Whether IA32_APIC_BASE may go from `from` to `to` (low halves). [SDM 3A 11.12.5] */
export function baseChangeAllowed(from: number, to: number, x2apic: boolean): boolean {
  const allowed = base.bsp | base.x2apic | base.enable | base.address;
  if ((to & ~allowed) !== 0) return false;
  const on = (to & base.enable) !== 0;
  if ((to & base.x2apic) !== 0) return x2apic && on && (from & base.enable) !== 0;
  return !on || (from & base.x2apic) === 0;
}
