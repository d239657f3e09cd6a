/** An interrupt line a device drives; the board decides where it leads. */
export interface IrqLine {
  /** Level of the line; edge-triggered inputs look at the change. */
  set(high: boolean): void;
}

/** A line that leads nowhere. */
export const noLine: IrqLine = { set() {} };

/** A line that remembers, for tests and for wiring to be looked at. */
export class RecordingLine implements IrqLine {
  high = false;
  /** Rising edges seen. */
  pulses = 0;

  set(high: boolean): void {
    if (high && !this.high) this.pulses++;
    this.high = high;
  }
}

/** Where message-signalled interrupts go (PCI 3.0, 6.8). */
export interface MsiSink {
  send(address: number, data: number): void;
}
