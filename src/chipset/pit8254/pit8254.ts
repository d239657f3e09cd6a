import type { Clock } from '../../base/clock.js';
import type { Device } from '../../device/device.js';
import type { IoFace, IoRegion } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import type { Timer, TimerSource } from '../../device/timer.js';
import { Channel } from './channel.js';
import * as r from './registers.js';
import { freshChannel, type Pit8254State, pit8254Codec } from './state.js';

export interface Pit8254Wiring {
  clock: Clock;
  timers: TimerSource;
  /** OUT of counter 0. */
  irq: IrqLine;
}

const PORT_B_REGION = 1;

/** The interval timer, with port 61h that gates its counter 2 and shows its output. */
export class Pit8254 implements Device<Pit8254State>, IoFace {
  // Fixed configuration
  readonly name = 'pit8254';
  readonly stateVersion = 1;
  readonly stateCodec = pit8254Codec;
  readonly regions: readonly IoRegion[] = [
    { name: 'counters', space: 'port', base: r.PORT, sizeBytes: 4, maxWidth: 1 },
    { name: 'port-b', space: 'port', base: r.PORT_B, sizeBytes: 1, maxWidth: 1 },
  ];

  // Wiring
  readonly io: IoFace = this;
  private readonly timer: Timer;

  // Guest-visible state
  private readonly channels = [0, 1, 2].map((i) => new Channel(freshChannel(i < 2)));
  private portB = 0;
  private irqHigh = false;
  private irqTick = 0;

  constructor(private readonly wiring: Pit8254Wiring) {
    this.timer = wiring.timers.create('pit8254', () => this.update(this.tick()));
    this.reset();
  }

  read(region: number, offset: number): number {
    const tick = this.tick();
    if (region === PORT_B_REGION) return this.readPortB(tick);
    const channel = this.channels[offset];
    if (channel === undefined) return 0xff;
    if (offset === 0) this.update(tick);
    return channel.read(tick);
  }

  write(region: number, offset: number, _width: 1 | 2 | 4, value: number): void {
    const tick = this.tick();
    const byte = value & 0xff;
    if (region === PORT_B_REGION) {
      this.portB = byte & r.PORT_B_WRITABLE;
      this.channels[2]!.setGate(tick, (byte & r.PORT_B_GATE2) !== 0);
      return;
    }
    // What happened until now happens under the old settings.
    this.update(tick);
    if (offset === r.CONTROL) this.control(tick, byte);
    else this.channels[offset]?.write(tick, byte);
    this.drive(tick);
  }

  reset(): void {
    this.channels.forEach((channel, i) => {
      channel.state = freshChannel(i < 2);
    });
    this.portB = 0;
    this.irqTick = 0;
    this.drive(0);
  }

  save(): Pit8254State {
    const channels = this.channels.map((channel) => ({ ...channel.state }));
    const { portB, irqHigh, irqTick } = this;
    return { channels, portB, irqHigh, irqTick };
  }

  restore(state: Pit8254State): void {
    state.channels.forEach((channel, i) => {
      this.channels[i]!.state = { ...channel };
    });
    this.portB = state.portB;
    this.irqHigh = state.irqHigh;
    this.irqTick = state.irqTick;
    this.wiring.irq.set(state.irqHigh);
    this.arm(state.irqTick);
  }

  private tick(): number {
    return ticksAt(this.wiring.clock.nowNs());
  }

  private readPortB(tick: number): number {
    const channel = this.channels[2]!;
    channel.settle(tick);
    const refresh = Math.floor(tick / r.REFRESH_TICKS) % 2 === 1;
    return this.portB | (refresh ? r.PORT_B_REFRESH : 0) | (channel.out(tick) ? r.PORT_B_OUT2 : 0);
  }

  private control(tick: number, word: number): void {
    const select = word >> r.SELECT_SHIFT;
    if (select === r.SELECT_READ_BACK) {
      this.channels.forEach((channel, i) => {
        if ((word & (2 << i)) === 0) return;
        if ((word & r.READ_BACK_NO_COUNT) === 0) channel.latchCount(tick);
        if ((word & r.READ_BACK_NO_STATUS) === 0) channel.latchStatus(tick);
      });
    } else if (((word >> r.ACCESS_SHIFT) & 3) === r.ACCESS_LATCH) {
      this.channels[select]!.latchCount(tick);
    } else {
      this.channels[select]!.control(word);
    }
  }

  /**
   * Delivers what counter 0 did since it was last looked at. Edges that a late timer or a very
   * short period piled up become one: the controller could not have told them apart.
   */
  private update(tick: number): void {
    const counter = this.channels[0]!;
    if (counter.nextRise(this.irqTick) <= tick) {
      this.wiring.irq.set(false);
      this.wiring.irq.set(true);
    }
    counter.settle(tick);
    this.drive(tick);
  }

  private drive(tick: number): void {
    this.irqTick = tick;
    this.irqHigh = this.channels[0]!.out(tick);
    this.wiring.irq.set(this.irqHigh);
    this.arm(tick);
  }

  /** Only rises interrupt, so the timer is not woken for falls. */
  private arm(tick: number): void {
    const rise = this.channels[0]!.nextRise(tick);
    if (rise === Number.POSITIVE_INFINITY) this.timer.disarm();
    else this.timer.arm(nsAt(rise));
  }
}

/** Whole ticks since power-on. Seconds apart, because a product of all of it would lose bits. */
export function ticksAt(ns: number): number {
  const seconds = Math.floor(ns / 1e9);
  const rest = ns - seconds * 1e9;
  return seconds * r.TICKS_PER_SECOND + Math.floor((rest * r.TICKS_PER_SECOND) / 1e9);
}

/** The first nanosecond of a tick. */
export function nsAt(tick: number): number {
  const seconds = Math.floor(tick / r.TICKS_PER_SECOND);
  const rest = tick - seconds * r.TICKS_PER_SECOND;
  return seconds * 1e9 + Math.ceil((rest * 1e9) / r.TICKS_PER_SECOND);
}
