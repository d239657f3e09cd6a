import { KEYS } from './keys.js';
import * as r from './registers.js';
import { freshKeyboard, type KeyboardState, MOST_REPLIES } from './state.js';

/** A PS/2 keyboard, as the controller sees it: bytes out, commands in. */
export class Ps2Keyboard {
  state: KeyboardState = freshKeyboard();

  /** The next byte for the controller, or -1. */
  next(): number {
    const s = this.state;
    const value = s.replies.shift() ?? s.keys.shift() ?? -1;
    if (value >= 0) s.lastSent = value;
    return value;
  }

  get hasData(): boolean {
    return this.state.replies.length > 0 || this.state.keys.length > 0;
  }

  /** A key goes down or up. False if the buffer has no room for it: try again later. */
  key(code: string, down: boolean): boolean {
    const s = this.state;
    const sequence = scanCodes(code, down);
    if (!s.scanning || sequence.length === 0) return true;
    const sent = s.scanCodeSet === 1 ? translated(sequence) : sequence;
    if (s.keys.length + sent.length > r.KEY_BYTES) return false;
    s.keys.push(...sent);
    return true;
  }

  /** A byte from the controller: a command, or the parameter of the one before. */
  command(value: number): void {
    const s = this.state;
    const waiting = s.command;
    s.command = 0;
    if (waiting !== 0 && value < r.Keyboard.setLeds) {
      this.parameter(waiting, value);
      return;
    }
    switch (value) {
      case r.Keyboard.setLeds:
      case r.Keyboard.scanCodeSet:
      case r.Keyboard.setTypematic:
        s.command = value;
        this.reply(r.ACK);
        break;
      case r.Keyboard.echo:
        this.reply(r.Keyboard.echo);
        break;
      case r.Keyboard.identify:
        this.reply(r.ACK, ...r.KEYBOARD_ID);
        break;
      case r.Keyboard.enable:
        s.scanning = true;
        s.keys = [];
        this.reply(r.ACK);
        break;
      case r.Keyboard.disable:
      case r.Keyboard.setDefaults:
        this.setDefaults(value === r.Keyboard.setDefaults);
        this.reply(r.ACK);
        break;
      case r.Keyboard.resend:
        this.reply(s.lastSent);
        break;
      case r.Keyboard.reset:
        this.setDefaults(true);
        this.reply(r.ACK, r.BAT_PASSED);
        break;
      default:
        this.reply(r.NAK);
    }
  }

  private parameter(command: number, value: number): void {
    const s = this.state;
    if (command === r.Keyboard.scanCodeSet) {
      if (value === 0) this.reply(r.ACK, s.scanCodeSet);
      else if (value > 2) this.reply(r.NAK);
      else {
        s.scanCodeSet = value;
        this.reply(r.ACK);
      }
      return;
    }
    if (command === r.Keyboard.setLeds) s.leds = value;
    else s.typematic = value;
    this.reply(r.ACK);
  }

  private setDefaults(scanning: boolean): void {
    this.state = { ...freshKeyboard(), scanning, lastSent: this.state.lastSent };
  }

  private reply(...values: number[]): void {
    const { replies } = this.state;
    if (replies.length + values.length <= MOST_REPLIES) replies.push(...values);
  }
}

/** The bytes of set 2 for a key; none for one that this keyboard does not have. */
function scanCodes(code: string, down: boolean): number[] {
  // Pause has no break code and says both at once [PS/2 TRM, "Scan code set 2"].
  if (code === 'Pause') return down ? [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77] : [];
  if (code === 'PrintScreen') {
    return down ? [0xe0, 0x12, 0xe0, 0x7c] : [0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12];
  }
  if (!Object.hasOwn(KEYS, code)) return [];
  const scan = KEYS[code]!;
  const sequence = scan > 0xff ? [scan >> 8] : [];
  if (!down) sequence.push(r.BREAK);
  sequence.push(scan & 0xff);
  return sequence;
}

/** Set 2 to set 1: the break prefix becomes the top bit of the code after it. */
function translated(sequence: number[]): number[] {
  const result: number[] = [];
  let top = 0;
  for (const value of sequence) {
    if (value === r.BREAK) top = 0x80;
    else {
      result.push((r.TRANSLATION[value] ?? value) | top);
      top = 0;
    }
  }
  return result;
}
