/**
 * Targets of CALL and JMP (E8, E9) are absolute in what was packed, so that equal targets are equal
 * bytes: makes them relative again. Three bits say which of the bytes before might have been opcodes, so
 * that the bytes of an operand are not taken for one. [The .xz File Format 1.1.0, 5.3.2; xz, bcj_x86]
 */

/** By those bits: whether an opcode may stand behind them, and which byte of its operand decides. */
const MAY_FOLLOW = [true, true, true, false, true, false, false, false];
const DECIDES = [0, 1, 2, 2, 3, 3, 3, 3];

const isSign = (byte: number): boolean => byte === 0 || byte === 0xff;

/** In place; the first byte is at address 0. */
export function undoX86Filter(code: Uint8Array): void {
  let last = -1;
  let recent = 0;
  for (let at = 0; at < code.length - 4; at++) {
    if ((code[at]! & 0xfe) !== 0xe8) continue;
    const distance = at - last;
    last = at;
    recent = distance > 3 ? 0 : (recent << (distance - 1)) & 7;
    const inOperand =
      recent !== 0 && (!MAY_FOLLOW[recent] || isSign(code[at + 4 - DECIDES[recent]!]!));
    if (inOperand || !isSign(code[at + 4]!)) {
      recent = (recent << 1) | 1;
      continue;
    }
    const target = relative(code, at, recent);
    code[at + 1] = target;
    code[at + 2] = target >> 8;
    code[at + 3] = target >> 16;
    code[at + 4] = target & 0x0100_0000 ? 0xff : 0;
    at += 4;
  }
}

function relative(code: Uint8Array, at: number, recent: number): number {
  let from = code[at + 1]! | (code[at + 2]! << 8) | (code[at + 3]! << 16) | (code[at + 4]! << 24);
  for (;;) {
    const target = (from - (at + 5)) | 0;
    const shift = DECIDES[recent]! * 8;
    if (recent === 0 || !isSign((target >>> (24 - shift)) & 0xff)) return target;
    from = target ^ ((1 << (32 - shift)) - 1);
  }
}
