/** Node's event loop as what a machine asks of one: `Schedule` in machine/machine.ts. */
export const hostSchedule = {
  after(delayMs: number, callback: () => void): () => void {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  soon(callback: () => void): void {
    setImmediate(callback);
  },
};
