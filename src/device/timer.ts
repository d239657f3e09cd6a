/**
 * One deadline a device asks the machine to call it at, on the machine's clock. Only one deadline is
 * pending at a time; `arm` replaces it.
 */
export interface Timer {
  /** Calls the device back at or soon after `deadlineNs` (see Clock.nowNs). */
  arm(deadlineNs: number): void;
  disarm(): void;
}

/** Gives each device its timers. `callback` never runs inside `arm`. */
export interface TimerSource {
  create(name: string, callback: () => void): Timer;
}

/** Timers that a test fires by moving its clock. */
export class ManualTimers implements TimerSource {
  private readonly timers: { name: string; deadlineNs: number; callback: () => void }[] = [];

  create(name: string, callback: () => void): Timer {
    const timer = { name, deadlineNs: Number.POSITIVE_INFINITY, callback };
    this.timers.push(timer);
    return {
      arm: (deadlineNs) => {
        timer.deadlineNs = deadlineNs;
      },
      disarm: () => {
        timer.deadlineNs = Number.POSITIVE_INFINITY;
      },
    };
  }

  /** The earliest pending deadline, or Infinity. */
  nextNs(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.timers.map((t) => t.deadlineNs));
  }

  /** Fires everything due at `nowNs`, earliest first; a callback may arm again. */
  fire(nowNs: number): void {
    for (;;) {
      const due = this.timers.filter((t) => t.deadlineNs <= nowNs);
      if (due.length === 0) return;
      due.sort((a, b) => a.deadlineNs - b.deadlineNs);
      const first = due[0]!;
      first.deadlineNs = Number.POSITIVE_INFINITY;
      first.callback();
    }
  }
}
