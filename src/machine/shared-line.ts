import type { IrqLine } from '../device/irq.js';

/** Several sources on one line: it is high while any of them is. */
export class SharedLine {
  private holders = 0;

  constructor(private readonly out: IrqLine) {}

  /** A line for one more source. */
  input(): IrqLine {
    let high = false;
    return {
      set: (level) => {
        if (level === high) return;
        high = level;
        this.holders += level ? 1 : -1;
        this.out.set(this.holders > 0);
      },
    };
  }
}
