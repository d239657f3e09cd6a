import type { InlineBus } from '../engine/engine.js';
import type { TraceKind } from './config.js';
import type { MachineClock } from './machine-clock.js';

/** Says events of the chosen kinds, one line each, with the machine's time in ms. */
export class Tracing {
  constructor(
    private readonly kinds: readonly TraceKind[],
    private readonly clock: MachineClock,
    private readonly print: (line: string) => void,
  ) {}

  has(kind: TraceKind): boolean {
    return this.kinds.includes(kind);
  }

  say(kind: TraceKind, what: string): void {
    if (!this.has(kind)) return;
    this.print(`${(this.clock.nowNs() / 1e6).toFixed(3)} ${kind}: ${what}`);
  }

  /** The same bus, with every access said. */
  bus(bus: InlineBus): InlineBus {
    if (!this.has('io') && !this.has('mmio')) return bus;
    const hex = (value: number) => `0x${value.toString(16)}`;
    return {
      portRead: (port, size) => {
        const value = bus.portRead(port, size);
        this.say('io', `in ${hex(port)} ${size} -> ${hex(value)}`);
        return value;
      },
      portWrite: (port, size, value) => {
        this.say('io', `out ${hex(port)} ${size} ${hex(value)}`);
        bus.portWrite(port, size, value);
      },
      mmioRead: (gpa, size) => {
        const value = bus.mmioRead(gpa, size);
        this.say('mmio', `read ${hex(gpa)} ${size} -> ${hex(value)}`);
        return value;
      },
      mmioWrite: (gpa, size, value) => {
        this.say('mmio', `write ${hex(gpa)} ${size} ${hex(value)}`);
        bus.mmioWrite(gpa, size, value);
      },
    };
  }
}
