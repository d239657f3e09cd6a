import { putLast } from './address.js';
import type { HostDatagrams, NetHost } from './net-host.js';

const SWEEP_MS = 5000;

/** Sockets of the host, each for a flow of the guest's; those that were silent for long are closed. */
export class Flows<T extends HostDatagrams> {
  /** Who was silent longest is first. */
  private readonly flows = new Map<string, { readonly flow: T; readonly usedMs: number }>();
  private cancelSweep: (() => void) | undefined;

  constructor(
    private readonly host: NetHost,
    private readonly max: number,
    private readonly idleMs: number,
  ) {}

  get(key: string): T | undefined {
    return this.flows.get(key)?.flow;
  }

  /** The flow is in use now, perhaps for the first time. */
  use(key: string, flow: T): void {
    putLast(this.flows, key, { flow, usedMs: this.host.nowMs() }, this.max)?.flow.close();
    this.cancelSweep ??= this.host.after(SWEEP_MS, () => this.sweep());
  }

  drop(key: string): void {
    this.get(key)?.close();
    this.flows.delete(key);
  }

  private sweep(): void {
    this.cancelSweep = undefined;
    const beforeMs = this.host.nowMs() - this.idleMs;
    for (const [key, { flow, usedMs }] of this.flows) {
      if (usedMs > beforeMs) break;
      flow.close();
      this.flows.delete(key);
    }
    if (this.flows.size > 0) this.cancelSweep = this.host.after(SWEEP_MS, () => this.sweep());
  }

  close(): void {
    this.cancelSweep?.();
    for (const { flow } of this.flows.values()) flow.close();
    this.flows.clear();
  }
}
