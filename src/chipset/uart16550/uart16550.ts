import type { Clock } from '../../base/clock.js';
import type { Device } from '../../device/device.js';
import type { IoFace, IoRegion } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import type { Timer, TimerSource } from '../../device/timer.js';
import * as r from './registers.js';
import { freshState, type Uart16550State, uart16550Codec } from './state.js';

/** Takes what the guest sends. */
export interface CharSink {
  write(byte: number): void;
}

export interface Uart16550Wiring {
  clock: Clock;
  timers: TimerSource;
  irq: IrqLine;
  sink: CharSink;
  /** The guest has taken all that was received: offer more. May call `receive`. */
  onRoom?: () => void;
}

export interface Uart16550Config {
  name: string;
  base: number;
}

/**
 * A serial port. Sending takes no time: a byte written is a byte sent, and the holding register is
 * empty again at once, which guests see as a very fast line. Receiving has flow control towards
 * the host instead of overruns: {@link receive} takes what fits.
 */
export class Uart16550 implements Device<Uart16550State>, IoFace {
  // Fixed configuration
  readonly name: string;
  readonly stateVersion = 1;
  readonly stateCodec = uart16550Codec;
  readonly regions: readonly IoRegion[];

  // Wiring
  readonly io: IoFace = this;
  private readonly timer: Timer;

  // Guest-visible state
  private state = freshState();

  constructor(
    private readonly wiring: Uart16550Wiring,
    config: Uart16550Config = r.COM_PORTS[0],
  ) {
    this.name = config.name;
    this.regions = [
      { name: 'registers', space: 'port', base: config.base, sizeBytes: 8, maxWidth: 1 },
    ];
    this.timer = wiring.timers.create(config.name, () => this.timedOut());
  }

  // The host's side

  /** Hands over bytes from the line; answers how many fitted. */
  receive(bytes: Uint8Array): number {
    // In loopback the line is cut off; what comes waits.
    if (this.state.mcr & r.MCR_LOOP) return 0;
    const count = Math.min(bytes.length, this.capacity() - this.state.received.length);
    if (count <= 0) return 0;
    for (let i = 0; i < count; i++) this.state.received.push(bytes[i]!);
    this.restartTimeout();
    this.updateLine();
    return count;
  }

  /** Sets the modem inputs: MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD. A fresh port has all but RI. */
  setModemInputs(inputs: number): void {
    const before = this.modemInputs();
    this.state.msr = (this.state.msr & r.MSR_CHANGES) | (inputs & r.MSR_INPUTS);
    this.noteModemChanges(before);
  }

  // The guest's side

  read(_region: number, offset: number): number {
    const s = this.state;
    switch (offset) {
      case r.DATA:
        return s.lcr & r.LCR_DIVISOR ? s.divisorLow : this.readData();
      case r.IER:
        return s.lcr & r.LCR_DIVISOR ? s.divisorHigh : s.ier;
      case r.IIR_FCR:
        return this.readInterruptId();
      case r.LCR:
        return s.lcr;
      case r.MCR:
        return s.mcr;
      case r.LSR:
        return this.readLineStatus();
      case r.MSR:
        return this.readModemStatus();
      case r.SCR:
        return s.scratch;
      default:
        return 0xff;
    }
  }

  write(_region: number, offset: number, _width: 1 | 2 | 4, wide: number): void {
    const s = this.state;
    const value = wide & 0xff;
    switch (offset) {
      case r.DATA:
        if (s.lcr & r.LCR_DIVISOR) s.divisorLow = value;
        else this.send(value);
        break;
      case r.IER:
        if (s.lcr & r.LCR_DIVISOR) s.divisorHigh = value;
        else this.writeInterruptEnable(value);
        break;
      case r.IIR_FCR:
        this.writeFifoControl(value);
        break;
      case r.LCR:
        s.lcr = value;
        break;
      case r.MCR:
        this.writeModemControl(value);
        break;
      case r.SCR:
        s.scratch = value;
        break;
    }
  }

  reset(): void {
    const inputs = this.state.msr & r.MSR_INPUTS;
    this.restore({ ...freshState(), msr: inputs });
    this.wiring.onRoom?.();
  }

  save(): Uart16550State {
    return { ...this.state, received: [...this.state.received] };
  }

  restore(state: Uart16550State): void {
    this.state = { ...state, received: [...state.received] };
    if (state.timeoutAtNs > 0) this.timer.arm(state.timeoutAtNs);
    else this.timer.disarm();
    this.updateLine();
  }

  // Receiver

  private capacity(): number {
    return this.state.fifoEnabled ? r.FIFO_BYTES : 1;
  }

  private readData(): number {
    const { received } = this.state;
    const value = received.shift() ?? 0;
    this.restartTimeout();
    this.updateLine();
    if (received.length === 0) this.wiring.onRoom?.();
    return value;
  }

  private clearReceiver(): void {
    this.state.received = [];
    this.restartTimeout();
    this.updateLine();
    this.wiring.onRoom?.();
  }

  /** Each byte that comes or is read begins the silence anew [PC16550D, "FIFO interrupt mode"]. */
  private restartTimeout(): void {
    const s = this.state;
    s.timeoutPending = false;
    if (s.fifoEnabled && s.received.length > 0) {
      s.timeoutAtNs = this.wiring.clock.nowNs() + r.TIMEOUT_CHARACTERS * this.characterNs();
      this.timer.arm(s.timeoutAtNs);
    } else if (s.timeoutAtNs > 0) {
      s.timeoutAtNs = 0;
      this.timer.disarm();
    }
  }

  private timedOut(): void {
    this.state.timeoutAtNs = 0;
    this.state.timeoutPending = true;
    this.updateLine();
  }

  private characterNs(): number {
    const { lcr, divisorLow, divisorHigh } = this.state;
    const stop = lcr & r.LCR_TWO_STOP ? 2 : 1;
    const bits = 1 + 5 + (lcr & r.LCR_LENGTH) + (lcr & r.LCR_PARITY ? 1 : 0) + stop;
    const divisor = (divisorHigh << 8) | divisorLow || 0x1_0000;
    return Math.ceil(bits * divisor * r.BIT_NS);
  }

  // Transmitter

  private send(value: number): void {
    const s = this.state;
    // Writing takes the interrupt back, and the empty register raises it again: drivers that sit
    // on an edge-triggered line wait for exactly this edge.
    s.thrEmptyPending = false;
    if (s.ier & r.IER_THR_EMPTY) this.updateLine();
    if (s.mcr & r.MCR_LOOP) this.loopBack(value);
    else this.wiring.sink.write(value);
    s.thrEmptyPending = true;
    if (s.ier & r.IER_THR_EMPTY) this.updateLine();
  }

  private loopBack(value: number): void {
    const s = this.state;
    if (s.received.length >= this.capacity()) {
      // Without FIFOs the new byte destroys the old one; with them it is the new one that is lost.
      if (!s.fifoEnabled) s.received = [value];
      s.errors |= r.LSR_OVERRUN;
    } else {
      s.received.push(value);
    }
    this.restartTimeout();
    this.updateLine();
  }

  // Control and status

  private writeInterruptEnable(value: number): void {
    const s = this.state;
    const rose = value & ~s.ier;
    s.ier = value & r.IER_WRITABLE;
    // Enabling the interrupt while the register is empty raises it, told before or not.
    if (rose & r.IER_THR_EMPTY) s.thrEmptyPending = true;
    this.updateLine();
  }

  private writeFifoControl(value: number): void {
    const s = this.state;
    const enable = (value & r.FCR_ENABLE) !== 0;
    const changed = enable !== s.fifoEnabled;
    s.fifoEnabled = enable;
    // The other bits are only programmed together with the enable bit [PC16550D 8.4].
    if (enable) s.trigger = value >> r.FCR_TRIGGER_SHIFT;
    if (changed || (enable && value & r.FCR_CLEAR_RECEIVE)) this.clearReceiver();
    else this.updateLine();
  }

  private writeModemControl(value: number): void {
    const before = this.modemInputs();
    const wasLooped = this.state.mcr & r.MCR_LOOP;
    this.state.mcr = value & r.MCR_WRITABLE;
    this.noteModemChanges(before);
    if (wasLooped && !(value & r.MCR_LOOP)) this.wiring.onRoom?.();
  }

  private readLineStatus(): number {
    const s = this.state;
    const status =
      (s.received.length > 0 ? r.LSR_DATA_READY : 0) |
      s.errors |
      r.LSR_THR_EMPTY |
      r.LSR_TRANSMITTER_EMPTY;
    if (s.errors !== 0) {
      s.errors = 0;
      this.updateLine();
    }
    return status;
  }

  /** In loopback the four outputs stand in for the inputs [PC16550D 8.6]. */
  private modemInputs(): number {
    const { mcr, msr } = this.state;
    if (!(mcr & r.MCR_LOOP)) return msr & r.MSR_INPUTS;
    return (
      (mcr & r.MCR_RTS ? r.MSR_CTS : 0) |
      (mcr & r.MCR_DTR ? r.MSR_DSR : 0) |
      (mcr & r.MCR_OUT1 ? r.MSR_RI : 0) |
      (mcr & r.MCR_OUT2 ? r.MSR_DCD : 0)
    );
  }

  private noteModemChanges(before: number): void {
    const now = this.modemInputs();
    const changed = (before ^ now) & ~r.MSR_RI;
    this.state.msr |= changed >> 4;
    if (before & ~now & r.MSR_RI) this.state.msr |= r.MSR_RI_ENDED;
    this.updateLine();
  }

  private readModemStatus(): number {
    const status = this.modemInputs() | (this.state.msr & r.MSR_CHANGES);
    this.state.msr &= ~r.MSR_CHANGES;
    this.updateLine();
    return status;
  }

  // Interrupts

  /** The most urgent interrupt that is enabled and pending. */
  private interruptId(): number {
    const s = this.state;
    if (s.ier & r.IER_LINE && s.errors) return r.IIR_LINE;
    if (s.ier & r.IER_RECEIVED) {
      const wanted = s.fifoEnabled ? r.TRIGGER_LEVELS[s.trigger]! : 1;
      if (s.received.length >= wanted) return r.IIR_RECEIVED;
      if (s.timeoutPending) return r.IIR_TIMEOUT;
    }
    if (s.ier & r.IER_THR_EMPTY && s.thrEmptyPending) return r.IIR_THR_EMPTY;
    if (s.ier & r.IER_MODEM && s.msr & r.MSR_CHANGES) return r.IIR_MODEM;
    return r.IIR_NONE;
  }

  /** Reading the identification answers the empty-register interrupt, if that is what it says. */
  private readInterruptId(): number {
    const id = this.interruptId();
    if (id === r.IIR_THR_EMPTY) {
      this.state.thrEmptyPending = false;
      this.updateLine();
    }
    return id | (this.state.fifoEnabled ? r.IIR_FIFOS : 0);
  }

  private updateLine(): void {
    const gate = this.state.mcr & (r.MCR_OUT2 | r.MCR_LOOP);
    this.wiring.irq.set(gate === r.MCR_OUT2 && this.interruptId() !== r.IIR_NONE);
  }
}
