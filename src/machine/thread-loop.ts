import type { EngineChips, Exit, Vcpu, VcpuThread } from '../engine/engine.js';
import type { Outcome, Schedule } from './machine.js';
import type { MachineClock } from './machine-clock.js';
import { LONG_SLEEP_MS, type Loop, type RunHooks, SHORT_NS, TURN_NS } from './run-loop.js';
import type { Timers } from './timers.js';

/** A vCPU with a thread of its own. */
export type ThreadedVcpu = Vcpu & { readonly thread: VcpuThread };

/** A vCPU, and whether it is the guest's turn there. */
interface Seat {
  readonly vcpu: ThreadedVcpu;
  out: boolean;
}

/**
 * The machine's side of vCPUs that have threads of their own: answers their exits, fires the devices'
 * timers, and sleeps while there is nothing of either. What is asked of the whole machine, be it a
 * reset or to stop, is done once every vCPU stands between two instructions.
 */
export class ThreadLoop implements Loop {
  private readonly seats: Seat[];
  private step: (() => void) | undefined;
  /** Asleep: what it would be woken by is called off. */
  private callOff: (() => void) | undefined;
  /** All vCPUs are to come in, for `ending` or for what `between` does. */
  private gathering = false;
  private ending: Outcome | undefined;
  /** What the run is to reject with. */
  private failure: { readonly error: unknown } | undefined;

  constructor(
    vcpus: readonly ThreadedVcpu[],
    private readonly chips: EngineChips | undefined,
    private readonly clock: MachineClock,
    private readonly timers: Timers,
    private readonly schedule: Schedule,
    private readonly hooks: RunHooks,
  ) {
    this.seats = vcpus.map((vcpu) => ({ vcpu, out: false }));
    timers.onEarlier = () => this.wake();
  }

  get running(): boolean {
    return this.step !== undefined;
  }

  run(): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.chips?.thaw();
      this.clock.start();
      this.gathering = true;
      const finish = (settle: () => void) => {
        this.step = undefined;
        this.ending = undefined;
        this.failure = undefined;
        try {
          this.chips?.freeze();
        } catch (error) {
          reject(error);
        }
        this.clock.stop();
        settle();
      };
      this.step = () => {
        try {
          const outcome = this.turn();
          if (outcome !== undefined) finish(() => resolve(outcome));
        } catch (error) {
          this.failure ??= { error };
          // Nobody may be in the guest when the machine is looked at or closed.
          this.gather();
          if (this.seats.some(({ out }) => out)) this.schedule.soon(this.step!);
          else {
            const { error: first } = this.failure;
            finish(() => reject(first));
          }
        }
      };
      this.schedule.soon(this.step);
    });
  }

  wake(): void {
    if (this.callOff === undefined) return;
    this.callOff();
    this.callOff = undefined;
    this.schedule.soon(this.step!);
  }

  /** Until it is the event loop's turn; the next turn is scheduled unless the run ends. */
  private turn(): Outcome | undefined {
    this.callOff?.();
    this.callOff = undefined;
    let nowNs = this.clock.nowNs();
    const turnEndNs = nowNs + TURN_NS;
    let lastExitNs = nowNs;
    const spinNs = Math.max(...this.seats.map(({ vcpu }) => vcpu.thread.spinNs));
    while (nowNs < turnEndNs) {
      if (this.failure === undefined) this.timers.fire(nowNs);
      if (this.hooks.wanted()) this.gather();
      if (this.answerAll()) lastExitNs = nowNs;
      if (this.gathering && this.seats.every(({ out }) => !out)) {
        if (this.failure !== undefined) throw this.failure.error;
        const outcome = this.ending ?? this.hooks.between();
        if (outcome !== undefined) return outcome;
        this.gathering = false;
        for (const seat of this.seats) this.go(seat);
      }
      nowNs = this.clock.nowNs();
      if (nowNs - lastExitNs > spinNs) {
        this.sleep(nowNs);
        return undefined;
      }
    }
    this.schedule.soon(this.step!);
    return undefined;
  }

  /** True if any vCPU had an exit. */
  private answerAll(): boolean {
    let any = false;
    for (const seat of this.seats) {
      if (!seat.out) continue;
      seat.out = false;
      const exit = seat.vcpu.thread.poll();
      seat.out = exit === undefined;
      if (exit === undefined) continue;
      any = true;
      this.answer(seat, exit);
    }
    return any;
  }

  private answer(seat: Seat, exit: Exit): void {
    if (exit.kind !== 'intr') {
      const outcome = this.hooks.exit(exit, seat.vcpu);
      if (outcome !== undefined) {
        this.ending ??= outcome;
        this.gather();
        return;
      }
    } else if (this.gathering) return;
    // While vCPUs are gathered too: an instruction that was answered is to be complete, but no more.
    if (this.hooks.wanted()) this.gather();
    if (this.gathering) seat.vcpu.requestPause();
    this.go(seat);
  }

  private go(seat: Seat): void {
    seat.out = true;
    seat.vcpu.thread.go();
  }

  private gather(): void {
    if (this.gathering) return;
    this.gathering = true;
    for (const { vcpu, out } of this.seats) if (out) vcpu.requestPause();
  }

  private sleep(nowNs: number): void {
    const step = this.step!;
    const waitNs = this.timers.nextNs() - nowNs;
    if (waitNs < SHORT_NS) {
      this.schedule.soon(step);
      return;
    }
    const delayMs = Math.min(Math.ceil(waitNs / 1e6), LONG_SLEEP_MS);
    const offs = [this.schedule.after(delayMs, step)];
    for (const { vcpu, out } of this.seats) if (out) offs.push(vcpu.thread.whenExit(step));
    this.callOff = () => {
      for (const off of offs) off();
    };
  }
}
