import * as r from './registers.js';
import { Mode } from './registers.js';
import type { ChannelState } from './state.js';

/**
 * One counter of an 8254. It holds no running count: count and OUT follow from how many ticks have
 * passed since the count was loaded, so that nothing has to happen between accesses.
 *
 * `tick` is always the present, in ticks of the timer's clock, and never goes back.
 */
export class Channel {
  constructor(public state: ChannelState) {}

  // What the counter shows

  /** The OUT pin. Call {@link settle} first. */
  out(tick: number): boolean {
    const s = this.state;
    if (s.phase !== 'counting') return s.mode !== Mode.interruptOnTerminalCount;
    const elapsed = this.elapsed(tick);
    switch (s.mode) {
      case Mode.interruptOnTerminalCount:
      case Mode.oneShot:
        return elapsed >= s.period;
      case Mode.rateGenerator:
        return !s.running || elapsed % s.period !== s.period - 1;
      case Mode.squareWave:
        return !s.running || elapsed % s.period < highTicks(s.period);
      default:
        return elapsed !== s.period;
    }
  }

  /** The first tick after `tick` at which OUT rises, or Infinity. */
  nextRise(tick: number): number {
    const s = this.state;
    if (s.phase !== 'counting' || !s.running) return Number.POSITIVE_INFINITY;
    const elapsed = this.elapsed(tick);
    const start = s.since - s.elapsed;
    if (s.mode === Mode.rateGenerator || s.mode === Mode.squareWave) {
      if (s.period === 1) return Number.POSITIVE_INFINITY;
      const cycle = Math.floor(elapsed / s.period);
      const half = highTicks(s.period);
      const coming = this.reloadCount();
      // A new count is taken over in the middle of a square wave, and shortens its low half.
      if (s.mode === Mode.squareWave && coming !== s.period && elapsed < half) {
        return start + half + Math.max(1, coming - highTicks(coming));
      }
      return start + (cycle + 1) * s.period;
    }
    const strobe = s.mode >= Mode.softwareStrobe ? 1 : 0;
    return elapsed < s.period + strobe ? start + s.period + strobe : Number.POSITIVE_INFINITY;
  }

  /** Lets a new count take over at the end of the cycle or half-cycle it was written in. */
  settle(tick: number): void {
    const s = this.state;
    const periodic = s.mode === Mode.rateGenerator || s.mode === Mode.squareWave;
    if (!periodic || s.phase !== 'counting' || !s.running) return;
    const coming = this.reloadCount();
    if (coming === s.period) return;
    const half = highTicks(s.period);
    const inHigh = s.mode === Mode.squareWave && s.elapsed < half;
    const boundary = inHigh ? half : s.period;
    if (this.elapsed(tick) < boundary) return;
    s.since += Math.max(0, boundary - s.elapsed);
    s.elapsed = inHigh ? highTicks(coming) : 0;
    s.period = coming;
  }

  read(tick: number): number {
    const s = this.state;
    this.settle(tick);
    if (s.statusLatched) {
      s.statusLatched = false;
      return s.latchedStatus;
    }
    const count = s.countLatched ? s.latchedCount : this.count(tick);
    const high = s.access === r.ACCESS_HIGH || (s.access === r.ACCESS_BOTH && s.readsHighByte);
    if (s.access === r.ACCESS_BOTH) s.readsHighByte = !s.readsHighByte;
    if (!s.readsHighByte || s.access !== r.ACCESS_BOTH) s.countLatched = false;
    return high ? count >> 8 : count & 0xff;
  }

  /** A second latch before the first was read changes nothing [8254, "Counter latch command"]. */
  latchCount(tick: number): void {
    const s = this.state;
    this.settle(tick);
    if (s.countLatched) return;
    s.countLatched = true;
    s.latchedCount = this.count(tick);
  }

  latchStatus(tick: number): void {
    const s = this.state;
    this.settle(tick);
    if (s.statusLatched) return;
    s.statusLatched = true;
    s.latchedStatus =
      (this.out(tick) ? r.STATUS_OUT : 0) |
      (this.countIsNull(tick) ? r.STATUS_NULL_COUNT : 0) |
      (s.access << r.ACCESS_SHIFT) |
      (s.mode << r.MODE_SHIFT) |
      (s.bcd ? r.BCD : 0);
  }

  // What the guest does to it

  /** A control word for this counter, other than a latch. */
  control(word: number): void {
    const s = this.state;
    const mode = (word >> r.MODE_SHIFT) & 7;
    s.mode = mode > Mode.hardwareStrobe ? mode - 4 : mode;
    s.bcd = (word & r.BCD) !== 0;
    s.access = (word >> r.ACCESS_SHIFT) & 3;
    s.awaitsHighByte = false;
    s.readsHighByte = false;
    s.countLatched = false;
    s.statusLatched = false;
    s.phase = 'idle';
    s.running = false;
  }

  write(tick: number, value: number): void {
    const s = this.state;
    this.settle(tick);
    if (s.access === r.ACCESS_LOW) this.load(tick, value);
    else if (s.access === r.ACCESS_HIGH) this.load(tick, value << 8);
    else if (s.awaitsHighByte) {
      s.awaitsHighByte = false;
      this.load(tick, (value << 8) | s.lowByte);
    } else {
      s.awaitsHighByte = true;
      s.lowByte = value;
      // The first byte stops the counter and drops OUT [8254, "Mode 0"].
      if (s.mode === Mode.interruptOnTerminalCount) s.phase = 'idle';
    }
  }

  setGate(tick: number, gate: boolean): void {
    const s = this.state;
    if (s.gate === gate) return;
    this.settle(tick);
    s.gate = gate;
    if (s.phase === 'idle') return;
    switch (s.mode) {
      case Mode.interruptOnTerminalCount:
      case Mode.softwareStrobe:
        this.rebase(tick, this.elapsed(tick), gate);
        break;
      case Mode.rateGenerator:
      case Mode.squareWave:
        if (gate) this.begin(tick, true);
        else this.rebase(tick, this.elapsed(tick), false);
        break;
      default:
        if (gate) this.begin(tick, true);
    }
  }

  private load(tick: number, raw: number): void {
    const s = this.state;
    s.reload = raw;
    switch (s.mode) {
      case Mode.interruptOnTerminalCount:
      case Mode.softwareStrobe:
        // The next clock loads the count without counting it: N + 1 clocks to the end.
        this.begin(tick + 1, s.gate);
        break;
      case Mode.rateGenerator:
      case Mode.squareWave:
        if (s.phase === 'idle' || tick < s.since) this.begin(tick + 1, s.gate);
        else this.rebase(tick, this.elapsed(tick) % s.period, s.running);
        break;
      default:
        if (s.phase === 'idle') s.phase = 'armed';
    }
  }

  // Counting

  private begin(tick: number, running: boolean): void {
    this.state.phase = 'counting';
    this.state.period = this.reloadCount();
    this.rebase(tick, 0, running);
  }

  private rebase(tick: number, elapsed: number, running: boolean): void {
    this.state.elapsed = elapsed;
    this.state.since = tick;
    this.state.running = running;
  }

  private elapsed(tick: number): number {
    const s = this.state;
    return s.running ? s.elapsed + Math.max(0, tick - s.since) : s.elapsed;
  }

  private count(tick: number): number {
    const s = this.state;
    const limit = s.bcd ? 10_000 : 0x1_0000;
    let count: number;
    if (s.phase !== 'counting') {
      count = this.reloadCount();
    } else if (s.mode === Mode.rateGenerator) {
      count = s.period - (this.elapsed(tick) % s.period);
    } else if (s.mode === Mode.squareWave) {
      // Down by two in each half; an odd count begins one lower [8254, "Mode 3"].
      const at = this.elapsed(tick) % s.period;
      const half = highTicks(s.period);
      count = s.period - (s.period & 1) - 2 * (at < half ? at : at - half);
    } else {
      count = s.period - this.elapsed(tick);
    }
    count = ((count % limit) + limit) % limit;
    return s.bcd ? toBcd(count) : count;
  }

  /** The count written last is not in the counting element yet. */
  private countIsNull(tick: number): boolean {
    const s = this.state;
    return s.phase !== 'counting' || tick < s.since || this.reloadCount() !== s.period;
  }

  private reloadCount(): number {
    const { bcd, reload } = this.state;
    if (!bcd) return reload === 0 ? 0x1_0000 : reload;
    return fromBcd(reload) || 10_000;
  }
}

/** How long a square wave of this period is high. */
function highTicks(period: number): number {
  return (period + 1) >> 1;
}

/** Digits above 9 count for what they are; the chip does not check them either. */
function fromBcd(raw: number): number {
  return (raw >> 12) * 1000 + ((raw >> 8) & 15) * 100 + ((raw >> 4) & 15) * 10 + (raw & 15);
}

function toBcd(count: number): number {
  const digit = (power: number) => Math.floor(count / power) % 10;
  return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
}
