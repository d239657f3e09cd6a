import type { Clock } from '../base/clock.js';

/**
 * The machine's time: the host's while it runs, standing still while it does not. What a snapshot
 * holds is where it stands.
 */
export class MachineClock implements Clock {
  private ns = 0;
  private wall: number;
  /** The host's time that `ns` belongs to; undefined while stopped. */
  private origin: number | undefined;

  constructor(private readonly host: Clock) {
    this.wall = host.wallMs();
  }

  nowNs(): number {
    return this.origin === undefined ? this.ns : this.ns + this.host.nowNs() - this.origin;
  }

  /** Wall time is the host's again after each start: a guest's RTC shows that it was away. */
  wallMs(): number {
    return this.origin === undefined ? this.wall : this.host.wallMs();
  }

  start(): void {
    if (this.origin === undefined) this.origin = this.host.nowNs();
  }

  stop(): void {
    this.wall = this.wallMs();
    this.ns = this.nowNs();
    this.origin = undefined;
  }

  /** While stopped: goes on from here. */
  set(ns: number, wallMs: number): void {
    this.ns = ns;
    this.wall = wallMs;
  }
}
