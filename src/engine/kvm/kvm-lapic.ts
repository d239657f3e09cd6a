import type { LocalApicRecord } from '../records.js';

/** Registers of the page that the conversion touches. [SDM 3A table 11-1] */
const reg = {
  id: 0x20,
  version: 0x30,
  computed: [0x90, 0xa0, 0xb0, 0xc0, 0x390],
  svr: 0xf0,
  icr: 0x300,
  lvtTimer: 0x320,
  lvts: [0x320, 0x330, 0x340, 0x350, 0x360, 0x370],
  initialCount: 0x380,
  currentCount: 0x390,
  divide: 0x3e0,
} as const;
const VERSION = 0x0005_0014;
const DELIVERY_STATUS = 1 << 12;
const RECORD_BYTES = 0x400;
const X2APIC = 1n << 10n;
const timerMode = { mask: 3 << 17, periodic: 1 << 17, tscDeadline: 2 << 17 } as const;

/** What the conversion of a timer needs to know. */
export interface LapicTime {
  /** The machine's clock. */
  readonly nowNs: number;
  /** What RDTSC reads, and how fast that goes. */
  readonly tsc: bigint;
  readonly tscKhz: number;
}

/** The kernel's page (its timer counts at 1 GHz) as a record. */
export function lapicFromKvm(
  page: Uint8Array,
  base: bigint,
  tscDeadline: bigint,
  time: LapicTime,
): LocalApicRecord {
  const registers = page.slice(0, RECORD_BYTES);
  const view = new DataView(registers.buffer);
  const word = (offset: number) => view.getUint32(offset, true);
  const put = (offset: number, value: number) => view.setUint32(offset, value, true);
  const left = word(reg.currentCount);
  const mode = word(reg.lvtTimer) & timerMode.mask;
  let timerNs = -1;
  if (mode === timerMode.tscDeadline) {
    const ticks = BigInt.asIntN(64, tscDeadline - time.tsc);
    const ns = tscDeadline === 0n ? -1 : time.nowNs + (Number(ticks) * 1e6) / time.tscKhz;
    timerNs =
      ns < Number.MAX_SAFE_INTEGER ? Math.ceil(tscDeadline === 0n ? -1 : Math.max(ns, 0)) : -1;
  } else if (left > 0) timerNs = Math.ceil(time.nowNs + left * tickNs(word(reg.divide)));
  for (const offset of reg.computed) put(offset, 0);
  for (const offset of reg.lvts) put(offset, word(offset) & ~DELIVERY_STATUS);
  put(reg.icr, word(reg.icr) & ~DELIVERY_STATUS);
  put(reg.svr, word(reg.svr) & 0x3ff);
  put(reg.version, VERSION);
  if ((base & X2APIC) !== 0n) put(reg.id, word(reg.id) >>> 24);
  return { base, registers, timerNs, tscDeadline };
}

/** A record as the kernel's page. */
export function lapicToKvm(record: LocalApicRecord, nowNs: number, page: Uint8Array): void {
  page.fill(0);
  page.set(record.registers);
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const word = (offset: number) => view.getUint32(offset, true);
  if ((record.base & X2APIC) !== 0n) view.setUint32(reg.id, word(reg.id) << 24, true);
  const mode = word(reg.lvtTimer) & timerMode.mask;
  if (mode === timerMode.tscDeadline) return;
  const left = Math.ceil((record.timerNs - nowNs) / tickNs(word(reg.divide)));
  const initial = word(reg.initialCount);
  // A count that is over must not count down to zero once more.
  if (record.timerNs < 0) view.setUint32(reg.initialCount, 0, true);
  else view.setUint32(reg.currentCount, Math.min(Math.max(left, 1), initial), true);
}

/** Another's timer in a record that has gone on since. */
export function withTimerOf(record: LocalApicRecord, other: LocalApicRecord): LocalApicRecord {
  const registers = record.registers.slice();
  registers.set(other.registers.subarray(reg.initialCount, reg.initialCount + 4), reg.initialCount);
  return { ...record, registers, timerNs: other.timerNs, tscDeadline: other.tscDeadline };
}

/** Divide configuration: bits 3, 1 and 0; 111 divides by one. [SDM 3A figure 11-10] */
function tickNs(bits: number): number {
  const code = ((bits >>> 1) & 4) | (bits & 3);
  return code === 7 ? 1 : 2 << code;
}
