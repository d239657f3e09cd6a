import type { Clock } from '../../base/clock.js';

/**
 * The host's monotonic clock as the machine's time. Wall time is what the host's clock said at the
 * start plus the time since, so that RTC and TSC agree even when somebody sets the host's clock.
 */
export class HostClock implements Clock {
  private readonly originMs = performance.now();
  private readonly wallOriginMs = Date.now();

  nowNs(): number {
    return Math.floor((performance.now() - this.originMs) * 1e6);
  }

  wallMs(): number {
    return this.wallOriginMs + (performance.now() - this.originMs);
  }
}
