import type { Timer, TimerSource } from '../device/timer.js';

class Pending implements Timer {
  deadlineNs = Number.POSITIVE_INFINITY;

  constructor(
    private readonly owner: Timers,
    readonly name: string,
    readonly callback: () => void,
  ) {}

  arm(deadlineNs: number): void {
    const before = this.deadlineNs;
    this.deadlineNs = deadlineNs;
    this.owner.changed(before, deadlineNs);
  }

  disarm(): void {
    this.arm(Number.POSITIVE_INFINITY);
  }
}

/** The deadlines of all devices. A board has a dozen: a list beats a heap. */
export class Timers implements TimerSource {
  /** Told of a deadline before all others. */
  onEarlier: (deadlineNs: number) => void = () => {};
  private readonly all: Pending[] = [];
  private next = Number.POSITIVE_INFINITY;

  create(name: string, callback: () => void): Timer {
    const timer = new Pending(this, name, callback);
    this.all.push(timer);
    return timer;
  }

  /** The earliest deadline, or Infinity. */
  nextNs(): number {
    return this.next;
  }

  /**
   * Calls back all that is due, earliest first. A timer that is armed again for the past waits for the
   * next call, so that no device can keep the machine here.
   */
  fire(nowNs: number): void {
    if (nowNs < this.next) return;
    const due = this.all.filter((timer) => timer.deadlineNs <= nowNs);
    due.sort((a, b) => a.deadlineNs - b.deadlineNs);
    for (const timer of due) {
      // An earlier callback may have disarmed it.
      if (timer.deadlineNs > nowNs) continue;
      timer.disarm();
      timer.callback();
    }
  }

  changed(before: number, after: number): void {
    if (after < this.next) {
      this.next = after;
      this.onEarlier(after);
    } else if (before === this.next) {
      this.next = this.all.reduce(
        (least, timer) => Math.min(least, timer.deadlineNs),
        Number.POSITIVE_INFINITY,
      );
    }
  }
}
