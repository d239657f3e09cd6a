import type { Exit, Vcpu } from '../engine/engine.js';
import type { Outcome, Schedule } from './machine.js';
import type { MachineClock } from './machine-clock.js';
import type { Timers } from './timers.js';

/** Guest work between two looks at the timers. */
const SLICE_NS = 1e6;
/** Time before the event loop gets its turn. */
export const TURN_NS = 4e6;
/** Sleeping for less than this is not worth it: a host's timers count milliseconds. */
export const SHORT_NS = 0.3e6;
/** A halted guest that waits for nothing: keeps the host's event loop alive. */
export const LONG_SLEEP_MS = 60_000;
const FIRST_RATE = 10_000 / 1e6;
const LEAST_BUDGET = 200;

export interface RunHooks {
  /** Something is there for `between` to do. */
  wanted(): boolean;
  /** Between slices: an outcome ends the run. May reset the machine. */
  between(): Outcome | undefined;
  /** An exit other than `intr`: an outcome ends the run. */
  exit(exit: Exit, vcpu: Vcpu): Outcome | undefined;
}

/** What drives the vCPUs. */
export interface Loop {
  readonly running: boolean;
  run(): Promise<Outcome>;
  /** Something may wait for a vCPU, or for the loop itself. */
  wake(): void;
}

/**
 * Runs vCPU 0 on the machine's thread, in slices of about a millisecond, and sleeps on the host while
 * the guest is halted.
 */
export class RunLoop implements Loop {
  /** Instructions a nanosecond, as lately measured. */
  private rate = FIRST_RATE;
  private sliceEndNs = 0;
  /** Halted, and nothing has come since. */
  private halted = false;
  private cancelSleep: (() => void) | undefined;
  private step: (() => void) | undefined;

  constructor(
    private readonly vcpu: Vcpu,
    private readonly clock: MachineClock,
    private readonly timers: Timers,
    private readonly schedule: Schedule,
    private readonly hooks: RunHooks,
  ) {
    timers.onEarlier = (deadlineNs) => this.shorten(deadlineNs);
  }

  run(): Promise<Outcome> {
    this.halted = false;
    return new Promise((resolve, reject) => {
      this.clock.start();
      const finish = (settle: () => void) => {
        this.step = undefined;
        this.clock.stop();
        settle();
      };
      this.step = () => {
        try {
          const outcome = this.turn();
          if (outcome !== undefined) finish(() => resolve(outcome));
        } catch (error) {
          finish(() => reject(error));
        }
      };
      this.schedule.soon(this.step);
    });
  }

  get running(): boolean {
    return this.step !== undefined;
  }

  wake(): void {
    this.halted = false;
    if (this.cancelSleep === undefined || this.step === undefined) return;
    this.cancelSleep();
    this.cancelSleep = undefined;
    this.schedule.soon(this.step);
  }

  /** Slices until it is the event loop's turn; the next turn is scheduled unless the run ends. */
  private turn(): Outcome | undefined {
    this.cancelSleep = undefined;
    let nowNs = this.clock.nowNs();
    const turnEndNs = nowNs + TURN_NS;
    while (nowNs < turnEndNs) {
      this.timers.fire(nowNs);
      const outcome = this.hooks.between();
      if (outcome !== undefined) return outcome;
      if (this.halted) {
        this.sleep(nowNs);
        return undefined;
      }
      const end = this.slice(nowNs);
      if (end !== undefined) return end;
      nowNs = this.clock.nowNs();
    }
    this.schedule.soon(this.step!);
    return undefined;
  }

  private slice(startNs: number): Outcome | undefined {
    const { vcpu } = this;
    this.sliceEndNs = Math.min(startNs + SLICE_NS, this.timers.nextNs());
    const before = vcpu.retired?.() ?? 0;
    this.budget(this.sliceEndNs - startNs);
    // Set by whoever wakes the vCPU from here on.
    this.halted = true;
    const exit = vcpu.run();
    const isHalt = exit.kind === 'hlt' && this.halted;
    this.halted = isHalt;
    this.sliceEndNs = 0;
    if (!isHalt) this.measure(this.clock.nowNs() - startNs, (vcpu.retired?.() ?? 0) - before);
    return exit.kind === 'intr' ? undefined : this.hooks.exit(exit, vcpu);
  }

  private budget(ns: number): void {
    this.vcpu.setBudget?.(Math.max(LEAST_BUDGET, ns * this.rate));
  }

  /** A device wants to be called before the slice ends. */
  private shorten(deadlineNs: number): void {
    if (deadlineNs >= this.sliceEndNs) {
      if (this.cancelSleep !== undefined) this.resume();
      return;
    }
    this.sliceEndNs = deadlineNs;
    this.budget(deadlineNs - this.clock.nowNs());
  }

  /** A deadline came while asleep, from the host's side: sleep anew. */
  private resume(): void {
    const { halted } = this;
    this.wake();
    this.halted = halted;
  }

  private measure(ns: number, instructions: number): void {
    // Short or fast beyond belief: the clock was not looked at closely enough.
    if (ns < 50_000 || instructions < LEAST_BUDGET) return;
    const measured = instructions / ns;
    this.rate += (measured - this.rate) / 8;
  }

  private sleep(nowNs: number): void {
    const step = this.step!;
    const waitNs = this.timers.nextNs() - nowNs;
    if (waitNs < SHORT_NS) {
      this.schedule.soon(step);
      return;
    }
    const delayMs = Math.min(Math.ceil(waitNs / 1e6), LONG_SLEEP_MS);
    this.cancelSleep = this.schedule.after(delayMs, step);
  }
}
