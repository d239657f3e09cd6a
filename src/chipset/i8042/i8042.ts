import type { Device } from '../../device/device.js';
import type { IoFace, IoRegion } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import { Ps2Keyboard } from './keyboard.js';
import * as r from './registers.js';
import { freshState, type I8042State, i8042Codec, MOST_REPLIES, type Source } from './state.js';

export interface I8042Wiring {
  /** Interrupt 1. */
  keyboardIrq: IrqLine;
  /** Interrupt 12. */
  auxIrq: IrqLine;
  /** High while the output port asks for A20; the board ORs it with port 92h's. */
  a20: IrqLine;
  /** The guest asked for a reset of its CPU. */
  reset: () => void;
}

const DATA = 0;

/**
 * The keyboard controller with a keyboard on its first port and nothing on its second, which
 * answers every byte for a mouse with a timeout, as hardware does.
 */
export class I8042 implements Device<I8042State>, IoFace {
  // Fixed configuration
  readonly name = 'i8042';
  readonly stateVersion = 1;
  readonly stateCodec = i8042Codec;
  readonly regions: readonly IoRegion[] = [
    { name: 'data', space: 'port', base: r.DATA_PORT, sizeBytes: 1, maxWidth: 1 },
    { name: 'command', space: 'port', base: r.COMMAND_PORT, sizeBytes: 1, maxWidth: 1 },
  ];

  // Wiring
  readonly io: IoFace = this;

  // Guest-visible state
  private state = freshState();
  private readonly keyboard = new Ps2Keyboard();

  constructor(private readonly wiring: I8042Wiring) {
    this.driveLines();
  }

  /**
   * A key goes down or up; `code` is a `KeyboardEvent.code` such as `KeyA`, others are ignored.
   * False if the keyboard's buffer is full: try again later.
   */
  key(code: string, down: boolean): boolean {
    const taken = this.keyboard.key(code, down);
    this.fillOutput();
    return taken;
  }

  read(region: number): number {
    return region === DATA ? this.readData() : this.status();
  }

  write(region: number, _offset: number, _width: 1 | 2 | 4, value: number): void {
    this.state.commandWritten = region !== DATA;
    if (region === DATA) this.writeData(value & 0xff);
    else this.writeCommand(value & 0xff);
    this.fillOutput();
  }

  reset(): void {
    this.restore(freshState());
  }

  save(): I8042State {
    const { ram, output, replies, ...rest } = this.state;
    const keyboard = this.keyboard.state;
    return {
      ...rest,
      ram: ram.slice(),
      output: { ...output },
      replies: replies.map((one) => ({ ...one })),
      keyboard: { ...keyboard, replies: [...keyboard.replies], keys: [...keyboard.keys] },
    };
  }

  restore(state: I8042State): void {
    const { keyboard } = state;
    this.state = {
      ...state,
      ram: state.ram.slice(),
      replies: [...state.replies],
    };
    this.keyboard.state = {
      ...keyboard,
      replies: [...keyboard.replies],
      keys: [...keyboard.keys],
    };
    this.driveLines();
  }

  private get control(): number {
    return this.state.ram[0]!;
  }

  private set control(value: number) {
    this.state.ram[0] = value;
  }

  private status(): number {
    const s = this.state;
    const { source } = s.output;
    return (
      r.STATUS_UNLOCKED |
      (s.outputFull ? r.STATUS_OUTPUT_FULL : 0) |
      (this.control & r.CONTROL_SYSTEM ? r.STATUS_SYSTEM : 0) |
      (s.commandWritten ? r.STATUS_COMMAND : 0) |
      (s.outputFull && source !== 'keyboard' ? r.STATUS_AUX : 0) |
      (s.outputFull && source === 'no-aux' ? r.STATUS_TIMEOUT : 0)
    );
  }

  // Towards the guest

  private readData(): number {
    const s = this.state;
    const { value } = s.output;
    if (s.outputFull) {
      s.outputFull = false;
      // The line drops before the next byte raises it: each byte is an edge.
      this.driveLines();
      this.fillOutput();
    }
    return value;
  }

  /** Moves the next byte into the output buffer if that is free. */
  private fillOutput(): void {
    const s = this.state;
    while (!s.outputFull) {
      const reply = s.replies.shift();
      if (reply !== undefined) {
        s.output = reply;
        s.outputFull = true;
      } else if (!(this.control & r.CONTROL_KEYBOARD_OFF) && this.keyboard.hasData) {
        this.takeFromKeyboard(this.keyboard.next());
      } else {
        break;
      }
    }
    this.driveLines();
  }

  private takeFromKeyboard(value: number): void {
    const s = this.state;
    let shown = value;
    if (this.control & r.CONTROL_TRANSLATE) {
      if (value === r.BREAK) {
        s.breakSeen = true;
        return;
      }
      shown = (r.TRANSLATION[value] ?? value) | (s.breakSeen ? 0x80 : 0);
    }
    s.breakSeen = false;
    s.output = { value: shown, source: 'keyboard' };
    s.outputFull = true;
  }

  private reply(value: number, source: Source = 'keyboard'): void {
    if (this.state.replies.length < MOST_REPLIES) this.state.replies.push({ value, source });
  }

  // From the guest

  private writeCommand(command: number): void {
    const s = this.state;
    s.command = 0;
    if (command >= r.Command.pulse) {
      if ((command & r.OUTPUT_NOT_RESET) === 0) this.wiring.reset();
      return;
    }
    if ((command & 0xe0) === r.Command.readRam) {
      this.reply(s.ram[command & 0x1f]!);
      return;
    }
    if ((command & 0xe0) === r.Command.writeRam) {
      s.command = command;
      return;
    }
    switch (command) {
      case r.Command.disableAux:
        this.control |= r.CONTROL_AUX_OFF;
        break;
      case r.Command.enableAux:
        this.control &= ~r.CONTROL_AUX_OFF;
        break;
      case r.Command.testAux:
      case r.Command.testKeyboard:
        this.reply(r.TEST_PASSED);
        break;
      case r.Command.selfTest:
        this.control |= r.CONTROL_SYSTEM;
        this.reply(r.SELF_TEST_PASSED);
        break;
      case r.Command.disableKeyboard:
        this.control |= r.CONTROL_KEYBOARD_OFF;
        break;
      case r.Command.enableKeyboard:
        this.control &= ~r.CONTROL_KEYBOARD_OFF;
        break;
      case r.Command.readInputPort:
        this.reply(r.INPUT_PORT);
        break;
      case r.Command.readOutputPort:
        this.reply(this.outputPort());
        break;
      case r.Command.writeOutputPort:
      case r.Command.writeKeyboardOutput:
      case r.Command.writeAuxOutput:
      case r.Command.writeAux:
        s.command = command;
        break;
      case r.Command.disableA20:
        s.outputPort &= ~r.OUTPUT_A20;
        break;
      case r.Command.enableA20:
        s.outputPort |= r.OUTPUT_A20;
        break;
    }
  }

  private writeData(value: number): void {
    const s = this.state;
    const { command } = s;
    s.command = 0;
    if ((command & 0xe0) === r.Command.writeRam) {
      s.ram[command & 0x1f] = value;
      return;
    }
    switch (command) {
      case r.Command.writeOutputPort:
        s.outputPort = value | r.OUTPUT_NOT_RESET;
        if ((value & r.OUTPUT_NOT_RESET) === 0) this.wiring.reset();
        break;
      case r.Command.writeKeyboardOutput:
        this.reply(value);
        break;
      case r.Command.writeAuxOutput:
        this.reply(value, 'aux');
        break;
      case r.Command.writeAux:
        this.reply(r.NAK, 'no-aux');
        break;
      default:
        // A byte for the keyboard switches its clock on again [PS/2 TRM, "Keyboard controller"].
        this.control &= ~r.CONTROL_KEYBOARD_OFF;
        this.keyboard.command(value);
    }
  }

  private keyboardIrq(): boolean {
    const enabled = r.CONTROL_KEYBOARD_IRQ;
    const { outputFull, output } = this.state;
    if (!outputFull || output.source !== 'keyboard') return false;
    return (this.control & (enabled | r.CONTROL_KEYBOARD_OFF)) === enabled;
  }

  private auxIrq(): boolean {
    const { outputFull, output } = this.state;
    return outputFull && output.source !== 'keyboard' && (this.control & r.CONTROL_AUX_IRQ) !== 0;
  }

  private outputPort(): number {
    const irqs = r.OUTPUT_KEYBOARD_IRQ | r.OUTPUT_AUX_IRQ;
    return (
      (this.state.outputPort & ~irqs) |
      (this.keyboardIrq() ? r.OUTPUT_KEYBOARD_IRQ : 0) |
      (this.auxIrq() ? r.OUTPUT_AUX_IRQ : 0)
    );
  }

  private driveLines(): void {
    this.wiring.keyboardIrq.set(this.keyboardIrq());
    this.wiring.auxIrq.set(this.auxIrq());
    this.wiring.a20.set((this.state.outputPort & r.OUTPUT_A20) !== 0);
  }
}
