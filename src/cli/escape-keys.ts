/** What the user asks of us, not of the guest. */
export type EscapeCommand = 'quit' | 'help';

const ctrlA = 0x01;

/**
 * Takes QEMU's escape keys out of what a user types: Ctrl-A x ends, Ctrl-A h (or ?) helps, Ctrl-A
 * Ctrl-A is one Ctrl-A for the guest; Ctrl-A and another key is dropped, as QEMU does.
 */
export class EscapeKeys {
  private escaped = false;

  constructor(private readonly onCommand: (command: EscapeCommand) => void) {}

  /** The bytes that are for the guest. */
  filter(bytes: Uint8Array): Uint8Array {
    if (!this.escaped && !bytes.includes(ctrlA)) return bytes;
    const kept: number[] = [];
    for (const byte of bytes) {
      if (!this.escaped) {
        if (byte === ctrlA) this.escaped = true;
        else kept.push(byte);
        continue;
      }
      this.escaped = false;
      const key = String.fromCharCode(byte).toLowerCase();
      if (byte === ctrlA) kept.push(byte);
      else if (key === 'x') this.onCommand('quit');
      else if (key === 'h' || key === '?') this.onCommand('help');
    }
    return Uint8Array.from(kept);
  }
}

/** What Ctrl-A h shows; a terminal in raw mode wants the carriage returns. */
export const escapeHelp = [
  '',
  'Ctrl-A h       this help',
  'Ctrl-A x       end the machine',
  'Ctrl-A Ctrl-A  send Ctrl-A to the guest',
  '',
].join('\r\n');
