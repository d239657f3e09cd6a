/** Where a layer says what a user may want to read. Guest nonsense goes to `guest`, counted. */
export interface Log {
  info(message: string): void;
  warn(message: string): void;
  /** The guest did something no driver should: counted by `what`, printed at a limited rate. */
  guest(what: string, detail?: string): void;
}

export const silentLog: Log = { info() {}, warn() {}, guest() {} };
