import type { Clock } from '../../base/clock.js';
import type { Device } from '../../device/device.js';
import type { IoFace, IoRegion } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import type { Timer, TimerSource } from '../../device/timer.js';
import { getTime, isTimeByte, nextAlarm, putTime, timeByte } from './calendar.js';
import * as r from './registers.js';
import { freshState, type Rtc146818State, rtc146818Codec } from './state.js';

export interface Rtc146818Wiring {
  clock: Clock;
  timers: TimerSource;
  /** Interrupt 8: high until register C is read. */
  irq: IrqLine;
  /** High while the guest keeps NMI from its CPU (bit 7 of port 70h). */
  nmiMask?: IrqLine;
}

export interface Rtc146818Config {
  /** What the 256 bytes hold at power-on, see cmosForMemory. */
  cmos?: Uint8Array;
}

/** An alarm far off is looked at again this soon, in case the host's date is set meanwhile. */
const LONGEST_SLEEP_NS = 60e9;
const SHORTEST_SLEEP_NS = 1000;

/**
 * Clock and CMOS RAM. The time is the host's plus an offset that a guest changes by setting its
 * clock; nothing runs between accesses unless an interrupt is enabled.
 */
export class Rtc146818 implements Device<Rtc146818State>, IoFace {
  // Fixed configuration
  readonly name = 'rtc146818';
  readonly stateVersion = 1;
  readonly stateCodec = rtc146818Codec;
  readonly regions: readonly IoRegion[] = [
    { name: 'cmos', space: 'port', base: r.PORT, sizeBytes: 4, maxWidth: 1 },
  ];
  private readonly cmos: Uint8Array;

  // Wiring
  readonly io: IoFace = this;
  private readonly timer: Timer;

  // Guest-visible state
  private state: Rtc146818State;

  constructor(
    private readonly wiring: Rtc146818Wiring,
    config: Rtc146818Config = {},
  ) {
    this.cmos = config.cmos ?? new Uint8Array(0);
    this.state = freshState(this.cmos);
    this.timer = wiring.timers.create('rtc146818', () => this.update());
  }

  read(_region: number, offset: number): number {
    const s = this.state;
    if (offset === r.DATA) return this.readByte(s.index);
    if (offset === r.UPPER_DATA) return s.ram[r.BANK_BYTES + s.upperIndex]!;
    return 0xff;
  }

  write(_region: number, offset: number, _width: 1 | 2 | 4, value: number): void {
    const s = this.state;
    switch (offset) {
      case r.INDEX:
        s.index = value & (r.BANK_BYTES - 1);
        s.nmiMasked = (value & r.NMI_MASKED) !== 0;
        this.wiring.nmiMask?.set(s.nmiMasked);
        break;
      case r.DATA:
        this.writeByte(s.index, value & 0xff);
        break;
      case r.UPPER_INDEX:
        s.upperIndex = value & (r.BANK_BYTES - 1);
        break;
      case r.UPPER_DATA:
        s.ram[r.BANK_BYTES + s.upperIndex] = value;
        break;
    }
  }

  /** Time and RAM have a battery and outlive a warm reset; interrupts do not [MC146818A, "RESET"]. */
  reset(kind: 'power-on' | 'warm'): void {
    if (kind === 'power-on') {
      this.restore(freshState(this.cmos));
      return;
    }
    const { ram, offsetMs } = this.save();
    ram[r.B]! &= r.B_SET | r.B_BINARY | r.B_24_HOURS;
    const fresh = freshState(this.cmos);
    this.restore({ ...fresh, ram, offsetMs });
  }

  save(): Rtc146818State {
    return { ...this.state, ram: this.state.ram.slice() };
  }

  restore(state: Rtc146818State): void {
    this.state = { ...state, ram: state.ram.slice() };
    if (state.deadlineNs > 0) this.timer.arm(state.deadlineNs);
    else this.timer.disarm();
    this.wiring.irq.set(this.irq);
    this.wiring.nmiMask?.set(state.nmiMasked);
  }

  private get irq(): boolean {
    return (this.state.flags & this.state.ram[r.B]!) !== 0;
  }

  /** The clock stands while the guest sets it or holds the divider. */
  private get running(): boolean {
    const { ram } = this.state;
    return (ram[r.B]! & r.B_SET) === 0 && (ram[r.A]! & r.A_DIVIDER_RESET) !== r.A_DIVIDER_RESET;
  }

  private nowMs(): number {
    return this.wiring.clock.wallMs() + this.state.offsetMs;
  }

  // Registers

  private readByte(index: number): number {
    const { ram } = this.state;
    if (index === r.A) return ram[r.A]! | (this.updating() ? r.A_UPDATE_IN_PROGRESS : 0);
    if (index === r.C) return this.readFlags();
    if (index === r.D) return r.D_VALID;
    if (isTimeByte(index) && this.running) return timeByte(index, this.nowMs(), ram[r.B]!);
    return ram[index]!;
  }

  private updating(): boolean {
    return this.running && fraction(this.nowMs()) >= 1000 - r.UPDATE_MS;
  }

  private readFlags(): number {
    this.settle();
    const value = this.state.flags | (this.irq ? r.C_IRQ : 0);
    this.state.flags = 0;
    this.update();
    return value;
  }

  private writeByte(index: number, value: number): void {
    const { ram } = this.state;
    if (index === r.C || index === r.D) return;
    // What happened until now happens under the old settings.
    this.settle();
    if (index === r.A || index === r.B) {
      this.writeControl(index, value);
    } else if (isTimeByte(index) && this.running) {
      putTime(ram, this.nowMs(), ram[r.B]!);
      ram[index] = value;
      this.setClock(fraction(this.nowMs()));
    } else {
      ram[index] = value;
    }
    this.update();
  }

  private writeControl(index: number, value: number): void {
    const { ram } = this.state;
    const wasRunning = this.running;
    const now = this.nowMs();
    const oldB = ram[r.B]!;
    const held = (ram[r.A]! & r.A_DIVIDER_RESET) === r.A_DIVIDER_RESET;
    if (index === r.A) ram[r.A] = value & ~r.A_UPDATE_IN_PROGRESS;
    // Setting the clock takes the update interrupt's enable away [MC146818A, "SET"].
    else ram[r.B] = value & r.B_SET ? value & ~r.B_UPDATE_IRQ : value;
    if (wasRunning && !this.running) putTime(ram, now, oldB);
    if (!wasRunning && this.running) this.setClock(held ? r.DIVIDER_RELEASE_MS : fraction(now));
  }

  /** The clock goes on from the date in RAM, `fractionMs` into its second. */
  private setClock(fractionMs: number): void {
    const s = this.state;
    const ms = getTime(s.ram, s.ram[r.B]!) + fractionMs;
    s.offsetMs = ms - this.wiring.clock.wallMs();
    s.seenSecond = Math.floor(ms / 1000);
  }

  // Flags and interrupts

  private update(): void {
    this.settle();
    this.wiring.irq.set(this.irq);
    this.arm();
  }

  /** Raises the flags of all that happened since the last time. */
  private settle(): void {
    const s = this.state;
    const tick = ticksAt(this.wiring.clock.nowNs());
    const period = this.periodTicks();
    const first = s.seenTick < 0;
    if (!first && period > 0) {
      if (Math.floor(tick / period) > Math.floor(s.seenTick / period)) s.flags |= r.C_PERIODIC;
    }
    s.seenTick = tick;
    if (!this.running) return;
    const second = Math.floor(this.nowMs() / 1000);
    if (!first && second > s.seenSecond) {
      s.flags |= r.C_UPDATE;
      if (nextAlarm(s.ram, s.ram[r.B]!, s.seenSecond) <= second) s.flags |= r.C_ALARM;
    }
    s.seenSecond = second;
  }

  /** Ticks of the crystal between periodic interrupts; 0 for none [MC146818A, table 5]. */
  private periodTicks(): number {
    const a = this.state.ram[r.A]!;
    const rate = a & r.A_RATE;
    if (rate === 0 || (a & r.A_DIVIDER_RESET) === r.A_DIVIDER_RESET) return 0;
    // The two fastest rates of the slow crystal are those of two slower ones.
    return 1 << (rate <= 2 ? rate + 6 : rate - 1);
  }

  /** Sleeps until the next interrupt; not at all while one waits for register C to be read. */
  private arm(): void {
    const s = this.state;
    const b = s.ram[r.B]!;
    const enabled = this.irq ? 0 : b;
    const nowNs = this.wiring.clock.nowNs();
    let deadlineNs = Number.POSITIVE_INFINITY;
    const period = this.periodTicks();
    if (enabled & r.B_PERIODIC_IRQ && period > 0) {
      deadlineNs = nsAt((Math.floor(s.seenTick / period) + 1) * period);
    }
    if (this.running && enabled & (r.B_UPDATE_IRQ | r.B_ALARM_IRQ)) {
      const second =
        enabled & r.B_UPDATE_IRQ ? s.seenSecond + 1 : nextAlarm(s.ram, b, s.seenSecond);
      const sleepNs = Math.ceil((second * 1000 - this.nowMs()) * 1e6);
      const boundedNs = Math.max(SHORTEST_SLEEP_NS, Math.min(LONGEST_SLEEP_NS, sleepNs));
      deadlineNs = Math.min(deadlineNs, nowNs + boundedNs);
    }
    s.deadlineNs = Number.isFinite(deadlineNs) ? deadlineNs : 0;
    if (s.deadlineNs > 0) this.timer.arm(s.deadlineNs);
    else this.timer.disarm();
  }
}

/** Milliseconds into the second. */
function fraction(ms: number): number {
  return ms - Math.floor(ms / 1000) * 1000;
}

/** Whole ticks of the crystal since power-on, exact at any distance. */
function ticksAt(ns: number): number {
  const seconds = Math.floor(ns / 1e9);
  return seconds * r.CRYSTAL_HZ + Math.floor(((ns - seconds * 1e9) * r.CRYSTAL_HZ) / 1e9);
}

/** The first nanosecond of a tick. */
function nsAt(tick: number): number {
  const seconds = Math.floor(tick / r.CRYSTAL_HZ);
  return seconds * 1e9 + Math.ceil(((tick - seconds * r.CRYSTAL_HZ) * 1e9) / r.CRYSTAL_HZ);
}
