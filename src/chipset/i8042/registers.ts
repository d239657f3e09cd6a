/** The PC's keyboard controller, an 8042, and the PS/2 keyboard behind it [PS/2 TRM]. */
export const DATA_PORT = 0x60;
export const COMMAND_PORT = 0x64;

/** Status, read at the command port. */
export const STATUS_OUTPUT_FULL = 1 << 0;
/** The self test has passed; follows CONTROL_SYSTEM. */
export const STATUS_SYSTEM = 1 << 2;
/** The last write was a command, not data. */
export const STATUS_COMMAND = 1 << 3;
/** The keyboard is not locked by its key. */
export const STATUS_UNLOCKED = 1 << 4;
/** The byte at the data port is the mouse's. */
export const STATUS_AUX = 1 << 5;
export const STATUS_TIMEOUT = 1 << 6;

/** Command byte: byte 0 of the controller's RAM. */
export const CONTROL_KEYBOARD_IRQ = 1 << 0;
export const CONTROL_AUX_IRQ = 1 << 1;
export const CONTROL_SYSTEM = 1 << 2;
export const CONTROL_KEYBOARD_OFF = 1 << 4;
export const CONTROL_AUX_OFF = 1 << 5;
export const CONTROL_TRANSLATE = 1 << 6;
/** As firmware leaves it, because a kernel may be started without any. */
export const CONTROL_RESET = CONTROL_KEYBOARD_IRQ | CONTROL_TRANSLATE;
export const RAM_BYTES = 32;

/** Output port: the reset line (active low), the A20 gate, and the two interrupt lines. */
export const OUTPUT_NOT_RESET = 1 << 0;
export const OUTPUT_A20 = 1 << 1;
export const OUTPUT_KEYBOARD_IRQ = 1 << 4;
export const OUTPUT_AUX_IRQ = 1 << 5;
export const OUTPUT_RESET = 0xcc | OUTPUT_A20 | OUTPUT_NOT_RESET;

/** Commands, written at the command port. */
export const Command = {
  readRam: 0x20,
  writeRam: 0x60,
  disableAux: 0xa7,
  enableAux: 0xa8,
  testAux: 0xa9,
  selfTest: 0xaa,
  testKeyboard: 0xab,
  disableKeyboard: 0xad,
  enableKeyboard: 0xae,
  readInputPort: 0xc0,
  readOutputPort: 0xd0,
  writeOutputPort: 0xd1,
  writeKeyboardOutput: 0xd2,
  writeAuxOutput: 0xd3,
  writeAux: 0xd4,
  disableA20: 0xdd,
  enableA20: 0xdf,
  /** 0xf0 to 0xff pulse the output port's low lines whose bit is 0; bit 0 resets the CPU. */
  pulse: 0xf0,
} as const;
export const SELF_TEST_PASSED = 0x55;
export const TEST_PASSED = 0x00;
/** Input port: the keyboard is not inhibited. */
export const INPUT_PORT = 0x80;

/** Commands to the keyboard, written at the data port. */
export const Keyboard = {
  setLeds: 0xed,
  echo: 0xee,
  scanCodeSet: 0xf0,
  identify: 0xf2,
  setTypematic: 0xf3,
  enable: 0xf4,
  disable: 0xf5,
  setDefaults: 0xf6,
  resend: 0xfe,
  reset: 0xff,
} as const;
export const ACK = 0xfa;
export const NAK = 0xfe;
export const BAT_PASSED = 0xaa;
export const KEYBOARD_ID = [0xab, 0x83] as const;
/** Power-on: 10.9 characters a second after half a second. */
export const TYPEMATIC_RESET = 0x2b;
/** The keyboard's own buffer. */
export const KEY_BYTES = 16;
export const BREAK = 0xf0;

/** Scan code set 2 to set 1, as the controller translates; higher codes pass unchanged. */
export const TRANSLATION: readonly number[] = [
  0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
  0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
  0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
  0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
  0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
  0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
  0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
  0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
  0x80, 0x81, 0x82, 0x41, 0x54,
];
