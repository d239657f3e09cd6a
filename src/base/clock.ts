/**
 * Where every device and CPU gets its time from. One clock per machine, injected, never read from
 * the host behind its back, so that TSC, PIT, LAPIC timer, PM timer and RTC agree.
 */
export interface Clock {
  /** Nanoseconds since the machine was powered on; never goes back; fits a double exactly. */
  nowNs(): number;
  /** Wall-clock time for the RTC: milliseconds since 1970-01-01 UTC. */
  wallMs(): number;
}

/** A clock that a test moves by hand. */
export class ManualClock implements Clock {
  ns = 0;
  wallBaseMs = Date.UTC(2026, 0, 1);

  nowNs(): number {
    return this.ns;
  }

  wallMs(): number {
    return this.wallBaseMs + this.ns / 1e6;
  }

  advance(ns: number): void {
    this.ns += ns;
  }
}
