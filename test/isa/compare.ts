/** Compares answers of the soft engine with the host CPU's and tells differences apart. */
import type { Entry } from '#src/cpu/isa/table.js';
import { ANSWER, CASE, GPR_NAMES, WINDOW } from './case-format.js';
import { ALL_FLAGS, flagsMask, storesInParts } from './masks.js';

const LAST_USER_PAGE = 0x7fff_ffff_f000n;

const hex = (v: bigint | number): string => v.toString(16);

/** What differs in answer `i`, or null. */
export function difference(
  entry: Entry | null,
  mine: Uint8Array,
  host: Uint8Array,
  i: number,
): string | null {
  const a = new DataView(mine.buffer, mine.byteOffset + i * ANSWER.size, ANSWER.size);
  const b = new DataView(host.buffer, host.byteOffset + i * ANSWER.size, ANSWER.size);
  const out: string[] = [];
  const trap = (v: DataView): string => {
    const n = v.getUint32(ANSWER.trap, true);
    // Above what Linux gives a process, whether there is a page is not ours to know.
    const upper = n === 14 && v.getBigUint64(ANSWER.cr2, true) >= LAST_USER_PAGE;
    return n === 14
      ? `14 error ${v.getUint32(ANSWER.error, true) & (upper ? ~1 : ~0)} at ${hex(v.getBigUint64(ANSWER.cr2, true))}`
      : `${hex(n)} error ${v.getUint32(ANSWER.error, true)}`;
  };
  if (trap(a) !== trap(b)) out.push(`trap ${trap(a)}, host ${trap(b)}`);
  for (let r = 0; r < 16; r++) {
    const [x, y] = [
      a.getBigUint64(ANSWER.gpr + r * 8, true),
      b.getBigUint64(ANSWER.gpr + r * 8, true),
    ];
    if (x !== y) out.push(`${GPR_NAMES[r]} ${hex(x)}, host ${hex(y)}`);
  }
  const [ripA, ripB] = [a.getBigUint64(ANSWER.rip, true), b.getBigUint64(ANSWER.rip, true)];
  if (ripA !== ripB) out.push(`rip ${hex(ripA)}, host ${hex(ripB)}`);
  // A fault leaves the flags alone, also those the instruction leaves undefined.
  const trapped = b.getUint32(ANSWER.trap, true);
  const mask = trapped === 1 || trapped === 3 ? flagsMask(entry) : ALL_FLAGS;
  const [fa, fb] = [
    a.getUint32(ANSWER.rflags, true) & mask,
    b.getUint32(ANSWER.rflags, true) & mask,
  ];
  if (fa !== fb) out.push(`flags ${hex(fa)}, host ${hex(fb)}`);
  const partial = b.getUint32(ANSWER.trap, true) === 14 && storesInParts(entry);
  for (let at = 0; at < WINDOW && !partial; at++) {
    if (a.getUint8(ANSWER.data + at) !== b.getUint8(ANSWER.data + at)) {
      const from = at & ~15;
      const bytes = (v: DataView): string =>
        Array.from({ length: 16 }, (_, k) =>
          hex(v.getUint8(ANSWER.data + from + k)).padStart(2, '0'),
        ).join('');
      out.push(`data+${from} ${bytes(a)}, host ${bytes(b)}`);
      break;
    }
  }
  for (const [name, offset, width] of [
    ['fcw', 0, 2],
    ['fsw', 2, 2],
    ['ftw', 4, 1],
    ['mxcsr', 24, 4],
  ] as const) {
    const read = (v: DataView): number =>
      width === 4
        ? v.getUint32(ANSWER.fx + offset, true)
        : width === 2
          ? v.getUint16(ANSWER.fx + offset, true)
          : v.getUint8(ANSWER.fx + offset);
    if (read(a) !== read(b)) out.push(`${name} ${hex(read(a))}, host ${hex(read(b))}`);
  }
  for (let r = 0; r < 24; r++) {
    const at = ANSWER.fx + 32 + r * 16;
    const length = r < 8 ? 10 : 16;
    for (let k = 0; k < length; k++) {
      if (a.getUint8(at + k) === b.getUint8(at + k)) continue;
      const text = (v: DataView): string =>
        Array.from({ length }, (_, n) =>
          hex(v.getUint8(at + length - 1 - n)).padStart(2, '0'),
        ).join('');
      out.push(`${r < 8 ? `st${r}` : `xmm${r - 8}`} ${text(a)}, host ${text(b)}`);
      break;
    }
  }
  if (out.length === 0) return null;
  return out.join('; ');
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
