import type { Clock } from '../../base/clock.js';
import type { Timer, TimerSource } from '../../device/timer.js';
import { lvt, MIN_PERIOD_NS, reg, timerMode } from './registers.js';
import { word } from './state.js';

const TWO32 = 2 ** 32;

export interface LapicTimerOptions {
  readonly clock: Clock;
  readonly timers: TimerSource;
  /** Rate of the counter before it is divided. */
  readonly busHz: number;
  readonly tscHz: number;
  /** What RDTSC reads on this CPU, as far as a double can say it. */
  readonly readTsc: () => number;
}

/**
 * The timer of a local APIC: a deadline on the machine's clock, from which the current count is worked
 * out when it is read. [SDM 3A 11.5.4]
 */
export class LapicTimer {
  private readonly timer: Timer;

  constructor(
    private readonly words: Int32Array,
    name: string,
    private readonly options: LapicTimerOptions,
    /** The count reached zero, or the TSC its deadline. */
    private readonly onExpiry: () => void,
  ) {
    this.timer = options.timers.create(name, () => this.fired());
  }

  private get mode(): number {
    return this.words[reg.lvtTimer >> 2] & lvt.timerMode;
  }

  /** Divide configuration: bits 3, 1 and 0; 111 divides by one. [SDM 3A figure 11-10] */
  private get tickNs(): number {
    const bits = this.words[reg.divide >> 2];
    const code = ((bits >>> 1) & 4) | (bits & 3);
    return ((code === 7 ? 1 : 2 << code) * 1e9) / this.options.busHz;
  }

  private get periodNs(): number {
    return (this.words[reg.initialCount >> 2] >>> 0) * this.tickNs;
  }

  /** -1: not running. */
  get deadlineNs(): number {
    const low = this.words[word.timerLow] >>> 0;
    const high = this.words[word.timerHigh] >>> 0;
    return high * TWO32 + low - 1;
  }

  private set deadlineNs(ns: number) {
    this.words[word.timerLow] = ((ns + 1) % TWO32) | 0;
    this.words[word.timerHigh] = Math.floor((ns + 1) / TWO32) | 0;
  }

  /** Arms for a deadline, or stops at -1. What is beyond the clock's reach never comes. */
  schedule(ns: number): void {
    const reachable = ns >= 0 && ns < Number.MAX_SAFE_INTEGER;
    this.deadlineNs = reachable ? Math.ceil(ns) : -1;
    if (reachable) this.timer.arm(this.deadlineNs);
    else this.timer.disarm();
  }

  currentCount(): number {
    const deadline = this.deadlineNs;
    if (deadline < 0 || this.mode === timerMode.tscDeadline) return 0;
    let left = deadline - this.options.clock.nowNs();
    if (this.mode === timerMode.periodic) {
      const period = this.periodNs;
      left %= period;
      if (left <= 0) left += period;
    }
    const count = Math.ceil(left / this.tickNs);
    return Math.min(Math.max(count, 0), this.words[reg.initialCount >> 2] >>> 0);
  }

  writeInitialCount(count: number): void {
    if (this.mode === timerMode.tscDeadline) return;
    this.words[reg.initialCount >> 2] = count | 0;
    this.schedule(count === 0 ? -1 : this.options.clock.nowNs() + this.periodNs);
  }

  /** The count goes on from where it is, at the new rate. */
  writeDivide(value: number): void {
    const count = this.currentCount();
    const running = this.deadlineNs >= 0 && this.mode !== timerMode.tscDeadline;
    this.words[reg.divide >> 2] = value;
    if (running) this.schedule(this.options.clock.nowNs() + count * this.tickNs);
  }

  /** Going into or out of TSC-deadline mode disarms the timer. [SDM 3A 11.5.4.1] */
  writeMode(mode: number): void {
    const before = this.mode;
    if (before === mode) return;
    if (before !== timerMode.tscDeadline && mode !== timerMode.tscDeadline) return;
    this.words[reg.initialCount >> 2] = 0;
    this.writeTscWords(0, 0);
    this.schedule(-1);
  }

  private writeTscWords(low: number, high: number): void {
    this.words[word.tscLow] = low | 0;
    this.words[word.tscHigh] = high | 0;
  }

  /** Ignored in the other modes. [SDM 3A 11.5.4.1] */
  writeTscDeadline(low: number, high: number): void {
    if (this.mode !== timerMode.tscDeadline) return;
    this.writeTscWords(low, high);
    this.tscChanged();
  }

  /** Works the deadline out again: the guest wrote it, or moved its TSC. */
  tscChanged(): void {
    if (this.mode !== timerMode.tscDeadline) return;
    const low = this.words[word.tscLow] >>> 0;
    const high = this.words[word.tscHigh] >>> 0;
    if ((low | high) === 0) {
      this.schedule(-1);
      return;
    }
    const ticks = high * TWO32 + low - this.options.readTsc();
    if (ticks <= 0) this.expire();
    else this.schedule(this.options.clock.nowNs() + (ticks * 1e9) / this.options.tscHz);
  }

  private fired(): void {
    const deadline = this.deadlineNs;
    if (deadline < 0) return;
    if (deadline > this.options.clock.nowNs()) this.timer.arm(deadline);
    else this.expire();
  }

  private expire(): void {
    if (this.mode === timerMode.tscDeadline) this.writeTscWords(0, 0);
    this.schedule(this.mode === timerMode.periodic ? this.nextPeriod() : -1);
    this.onExpiry();
  }

  private nextPeriod(): number {
    const period = this.periodNs;
    if (period === 0) return -1;
    const late = Math.max(0, this.options.clock.nowNs() - this.deadlineNs);
    const missed = Math.floor(late / period) + 1;
    return this.deadlineNs + period * Math.max(missed, Math.ceil(MIN_PERIOD_NS / period));
  }

  /** Arms what the words say: after restore. */
  rearm(): void {
    if (this.deadlineNs >= 0) this.timer.arm(this.deadlineNs);
    else this.timer.disarm();
  }
}
