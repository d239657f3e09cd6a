import type { Log } from '../base/log.js';

const guestLinesPerKind = 5;

/**
 * Messages on standard error. What guests do wrong is shown with `--trace` only, and the first few
 * of each kind: the user's terminal is the guest's console.
 */
export function stderrLog(showGuest: boolean): Log {
  const counts = new Map<string, number>();
  const line = (text: string) => process.stderr.write(`chassis: ${text}\n`);
  return {
    info: line,
    warn: (message) => line(`warning: ${message}`),
    guest(what, detail) {
      const count = (counts.get(what) ?? 0) + 1;
      counts.set(what, count);
      if (!showGuest || count > guestLinesPerKind) return;
      line(`guest: ${what}${detail === undefined ? '' : `: ${detail}`}`);
      if (count === guestLinesPerKind) line(`guest: ${what}: no more of these are shown`);
    },
  };
}
