/** Compares answers of the soft engine with the host CPU's and tells differences apart. */
import type { Entry } from '#src/cpu/isa/table.js';
import { ANSWER, CASE, CODE, GPR_NAMES, WINDOW } from './case-format.js';
import { ALL_FLAGS, flagsMask, inParts } from './masks.js';

/** Above what Linux gives a process, whether there is a page is not ours to know. */
const LAST_USER_PAGE = 0x7fff_ffff_f000n;
/** Faults that a memory operand can have. */
const MEMORY_FAULTS: ReadonlySet<number> = new Set([12, 13, 14, 17]);

const hex = (v: bigint | number): string => v.toString(16);

/** What differs in answer `i`, or null. */
export function difference(
  entry: Entry | null,
  cases: Uint8Array,
  mine: Uint8Array,
  host: Uint8Array,
  i: number,
): string | null {
  const a = new DataView(mine.buffer, mine.byteOffset + i * ANSWER.size, ANSWER.size);
  const b = new DataView(host.buffer, host.byteOffset + i * ANSWER.size, ANSWER.size);
  const out: string[] = [];
  const [trapA, trapB] = [a.getUint32(ANSWER.trap, true), b.getUint32(ANSWER.trap, true)];
  const faulted = MEMORY_FAULTS.has(trapB) && stayed(cases, b, i);
  const parts = faulted && inParts(entry);
  const anyOf = parts && MEMORY_FAULTS.has(trapA);
  if (!anyOf && trapText(a) !== trapText(b)) out.push(`trap ${trapText(a)}, host ${trapText(b)}`);
  for (let r = 0; r < 16; r++) {
    const at = ANSWER.gpr + r * 8;
    if (sameBytes(a, b, at, 8)) continue;
    const [x, y] = [a.getBigUint64(at, true), b.getBigUint64(at, true)];
    out.push(`${GPR_NAMES[r]} ${hex(x)}, host ${hex(y)}`);
  }
  if (!sameBytes(a, b, ANSWER.rip, 8)) {
    const [x, y] = [a.getBigUint64(ANSWER.rip, true), b.getBigUint64(ANSWER.rip, true)];
    out.push(`rip ${hex(x)}, host ${hex(y)}`);
  }
  // A fault leaves the flags alone, also those the instruction leaves undefined.
  const mask = faulted ? ALL_FLAGS : flagsMask(entry);
  const flags = (v: DataView): number => v.getUint32(ANSWER.rflags, true) & mask;
  if (flags(a) !== flags(b)) out.push(`flags ${hex(flags(a))}, host ${hex(flags(b))}`);
  if (!parts) memory(a, b, out);
  floatingPoint(a, b, out);
  return out.length === 0 ? null : out.join('; ');
}

/** The instruction under test did not complete. */
function stayed(cases: Uint8Array, answer: DataView, i: number): boolean {
  const c = new DataView(cases.buffer, cases.byteOffset + i * CASE.size, CASE.size);
  const start =
    c.getUint32(CASE.codeOffset, true) + (c.getUint32(CASE.mode, true) === 2 ? 0 : CODE);
  return answer.getUint32(ANSWER.rip, true) === start;
}

function trapText(v: DataView): string {
  const n = v.getUint32(ANSWER.trap, true);
  const error = v.getUint32(ANSWER.error, true);
  if (n !== 14) return `${n} error ${error}`;
  const cr2 = v.getBigUint64(ANSWER.cr2, true);
  return `${n} error ${cr2 >= LAST_USER_PAGE ? error & ~1 : error} at ${hex(cr2)}`;
}

function sameBytes(a: DataView, b: DataView, at: number, length: number): boolean {
  let k = 0;
  for (; k + 4 <= length; k += 4) {
    if (a.getUint32(at + k) !== b.getUint32(at + k)) return false;
  }
  return k === length || a.getUint16(at + k) === b.getUint16(at + k);
}

/** Bytes as one number, the first the lowest. */
function bytesText(v: DataView, at: number, length: number): string {
  return Array.from({ length }, (_, k) =>
    hex(v.getUint8(at + length - 1 - k)).padStart(2, '0'),
  ).join('');
}

function memory(a: DataView, b: DataView, out: string[]): void {
  for (let from = 0; from < WINDOW; from += 16) {
    const at = ANSWER.data + from;
    if (sameBytes(a, b, at, 16)) continue;
    out.push(`data+${from} ${bytesText(a, at, 16)}, host ${bytesText(b, at, 16)}`);
    return;
  }
}

function floatingPoint(a: DataView, b: DataView, out: string[]): void {
  const compare = (name: string, at: number, length: number): void => {
    if (sameBytes(a, b, ANSWER.fx + at, length)) return;
    const text = (v: DataView): string => bytesText(v, ANSWER.fx + at, length);
    out.push(`${name} ${text(a)}, host ${text(b)}`);
  };
  compare('fcw', 0, 2);
  compare('fsw', 2, 2);
  if (a.getUint8(ANSWER.fx + 4) !== b.getUint8(ANSWER.fx + 4)) {
    out.push(`ftw ${bytesText(a, ANSWER.fx + 4, 1)}, host ${bytesText(b, ANSWER.fx + 4, 1)}`);
  }
  compare('mxcsr', 24, 4);
  for (let r = 0; r < 8; r++) compare(`st${r}`, 32 + r * 16, 10);
  for (let r = 0; r < 16; r++) compare(`xmm${r}`, 160 + r * 16, 16);
}

/** A case as text, to look at and to run again. */
export function describe(cases: Uint8Array, i: number): string {
  const c = new DataView(cases.buffer, cases.byteOffset + i * CASE.size, CASE.size);
  const length = c.getUint32(CASE.codeLength, true);
  const code = Array.from({ length }, (_, k) => hex(c.getUint8(k)).padStart(2, '0')).join(' ');
  const gprs = GPR_NAMES.map(
    (name, r) => `${name}=${hex(c.getBigUint64(CASE.gpr + r * 8, true))}`,
  ).join(' ');
  return `${[64, 32, 16][c.getUint32(CASE.mode, true)]}-bit [${code}] ${gprs} flags=${hex(c.getBigUint64(CASE.rflags, true))} fcw=${hex(c.getUint16(CASE.fx, true))} fsw=${hex(c.getUint16(CASE.fx + 2, true))} mxcsr=${hex(c.getUint32(CASE.fx + 24, true))}`;
}
