/**
 * The x87's registers as a stack, and what begins and ends each of its instructions [SDM 1 8.1, 8.5].
 *
 *   begin()                       rounding and masks from the control word; FIP; C1 = 0
 *   need(i), room()               stack underflow and overflow: IE and SF
 *   aborted()                     an unmasked exception that forbids the operation has been seen
 *   end(ea)                       flags into the status word; ES and the pointers if one is unmasked
 */
import { CPU } from './env';
import { raise } from './fault';
import {
  CODE_BASE, CR0, RIP, X87, X87_CONTROL, X87_DP, X87_IP, X87_OPCODE, X87_STATUS, X87_TAG,
} from './generated-layout';
import { fetch_probe } from './mmu';
import { MF } from './private';
import {
  DE, Float, Fp, IE, OE, pack80SignExp, QUIET_BIT, roundTo, TOP_BIT, UE, unpack80, ZE, ZERO,
} from './softfloat-core';

const STACK_FAULT: i32 = 0x40;
const SUMMARY: i32 = 0x8080;
export const C0: i32 = 0x100;
export const C1: i32 = 0x200;
export const C2: i32 = 0x400;
export const C3: i32 = 0x4000;
export const CONDITIONS: i32 = C0 | C1 | C2 | C3;
const CR0_NE: u32 = 1 << 5;

/** No memory operand: FDP stays. */
export const NO_OPERAND: i64 = -1;

@inline
export function status(): i32 {
  return load<u16>(CPU, X87_STATUS);
}

@inline
export function setStatus(value: i32): void {
  store<u16>(CPU, <u16>value, X87_STATUS);
}

@inline
export function control(): i32 {
  return load<u16>(CPU, X87_CONTROL);
}

@inline
function top(): i32 {
  return (status() >> 11) & 7;
}

/** Number of the physical register that ST(i) is. */
@inline
function physical(i: i32): i32 {
  return (top() + i) & 7;
}

/** Address of ST(i). */
@inline
export function st(i: i32): usize {
  return CPU + X87 + (physical(i) << 4);
}

@inline
export function isEmpty(i: i32): bool {
  return !((load<u8>(CPU, X87_TAG) >> <u8>physical(i)) & 1);
}

export function setEmpty(i: i32, empty: bool): void {
  const bit = 1 << physical(i);
  const tags = <i32>load<u8>(CPU, X87_TAG);
  store<u8>(CPU, <u8>(empty ? tags & ~bit : tags | bit), X87_TAG);
}

export function moveTop(by: i32): void {
  setStatus((status() & ~0x3800) | (((top() + by) & 7) << 11));
}

export function pop(): void {
  setEmpty(0, true);
  moveTop(1);
}

export function getSt(f: Float, i: i32): void {
  const p = st(i);
  unpack80(f, load<u64>(p), load<u16>(p, 8));
}

/** Stores a rounded number and marks ST(i) valid. */
export function setSt(i: i32, f: Float): void {
  const p = st(i);
  store<u64>(p, f.kind == ZERO ? 0 : f.sig);
  store<u16>(p, <u16>pack80SignExp(f), 8);
  setEmpty(i, false);
}

/** ST(i) = the real indefinite, the masked response to invalid operations. */
export function setIndefinite(i: i32): void {
  const p = st(i);
  store<u64>(p, TOP_BIT | QUIET_BIT);
  store<u16>(p, 0xffff, 8);
  setEmpty(i, false);
}

export function pushFloat(f: Float): void {
  moveTop(-1);
  setSt(0, f);
}

export function setConditions(bits: i32): void {
  setStatus((status() & ~CONDITIONS) | bits);
}

/** C1 after rounding: set if the magnitude went up. */
export function noteRounding(): void {
  if (Fp.up) setStatus(status() | C1);
}

/** #MF if an unmasked exception waits. With CR0.NE clear, FERR# goes nowhere and the program goes on. */
export function x87_pending(): void {
  if (load<u32>(CPU, CR0) & CR0_NE) raise(MF, 0, 0);
}

export function begin(): void {
  const cw = control();
  Fp.flags = 0;
  Fp.rc = (cw >> 10) & 3;
  Fp.masks = cw & 0x3f;
  Fp.daz = false;
  Fp.ftz = false;
  Fp.x87 = true;
  Fp.up = false;
  Fp.inexact = false;
  setStatus(status() & ~C1);
  store<u64>(CPU, load<u64>(CPU, RIP), X87_IP);
}

/** True if ST(i) holds something; else stack underflow is noted. */
export function need(i: i32): bool {
  if (!isEmpty(i)) return true;
  Fp.flags |= IE | STACK_FAULT;
  return false;
}

/** True if a push finds room; else stack overflow is noted. */
export function room(): bool {
  if (isEmpty(-1)) return true;
  Fp.flags |= IE | STACK_FAULT;
  setStatus(status() | C1);
  return false;
}

/** After an unmasked one of these, operands stay as they were [SDM 1 8.5]. */
@inline
export function aborted(): bool {
  return (Fp.flags & ~Fp.masks & (IE | DE | ZE)) != 0;
}

/** After an unmasked one of these a result in memory is not stored either. */
@inline
export function withheld(): bool {
  return (Fp.flags & ~Fp.masks & (IE | DE | ZE | OE | UE)) != 0;
}

/** The status word's summary bits, as the control word and the flags have them. */
export function summarise(): void {
  const pending = status() & ~control() & 0x3f;
  setStatus(pending ? status() | SUMMARY : status() & ~SUMMARY);
}

/** Ends an instruction: `ea` is the offset of its memory operand. */
export function end(ea: i64): void {
  if (Fp.flags == 0) return;
  setStatus(status() | Fp.flags);
  if (!(Fp.flags & ~Fp.masks & 0x3f)) return;
  setStatus(status() | SUMMARY);
  store<u16>(CPU, opcodeBytes(), X87_OPCODE);
  if (ea != NO_OPERAND) store<i64>(CPU, ea, X87_DP);
}

/** FOP: the low three bits of the escape byte, and the ModRM byte; read again from the code. */
function opcodeBytes(): u16 {
  let at = load<u64>(CPU, CODE_BASE) + load<u64>(CPU, RIP);
  for (let n = 0; n < 15; n++) {
    const byte = codeByte(at++);
    if (byte >> 3 == 0x1b) return <u16>(((byte & 7) << 8) | codeByte(at));
  }
  return 0;
}

function codeByte(linear: u64): u32 {
  const place = fetch_probe(linear);
  return place ? load<u8>(<usize>place) : 0;
}

/** Rounds to the precision that the control word asks of arithmetic [SDM 1 8.1.5.2]. */
export function roundToControl(f: Float): void {
  const precision = (control() >> 8) & 3;
  roundTo(f, precision == 0 ? 24 : precision == 2 ? 53 : 64, -16382, 16383);
}

@inline
export function roundExtended(f: Float): void {
  roundTo(f, 64, -16382, 16383);
}
