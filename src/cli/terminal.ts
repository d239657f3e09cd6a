import type { CharBackend } from '../backend/char/char.js';
import { StreamChar } from '../backend/node/stream-char.js';
import { EscapeKeys, escapeHelp } from './escape-keys.js';

/** What is behind a serial port or console, and how to give the user's terminal back. */
export interface Terminal {
  readonly char: CharBackend;
  /** Gives the terminal back as it was; may be called twice. */
  restore(): void;
}

/**
 * Standard input and output as a serial port: a terminal in raw mode with escape keys, so that
 * Ctrl-C is the guest's; anything else as plain bytes.
 */
export function openTerminal(onQuit: () => void): Terminal {
  const { stdin, stdout } = process;
  if (!stdin.isTTY) return { char: new StreamChar(stdin, stdout), restore() {} };
  const keys = new EscapeKeys((command) => {
    if (command === 'quit') onQuit();
    else stdout.write(escapeHelp);
  });
  const restore = () => {
    if (stdin.isTTY && stdin.isRaw) stdin.setRawMode(false);
  };
  stdin.setRawMode(true);
  // Whatever way the process ends, the user's shell must not find its terminal raw.
  process.once('exit', restore);
  return { char: new StreamChar(stdin, stdout, (bytes) => keys.filter(bytes)), restore };
}

/** Tells the window's size, now and whenever it changes; the answer ends that. */
export function watchWindow(tell: (columns: number, rows: number) => void): () => void {
  const { stdout } = process;
  if (!stdout.isTTY) return () => {};
  const told = () => tell(stdout.columns, stdout.rows);
  told();
  stdout.on('resize', told);
  return () => stdout.off('resize', told);
}
