import { bytes, type Codec, f64, struct, u64 } from '../../base/codec.js';
import { lvt, REGISTER_BYTES, reg, VERSION, writable } from './registers.js';

/**
 * A local APIC's state as one array of words, which may be shared by all threads of a VM. The first
 * 256 words are the page as the CPU sees it; a register is the word at offset / 4.
 */
export const LAPIC_WORDS = 264;
export const word = {
  /** IA32_APIC_BASE. */
  baseLow: 256,
  baseHigh: 257,
  /** Deadline of the timer in ns, plus one; 0 for none. */
  timerLow: 258,
  timerHigh: 259,
  /** IA32_TSC_DEADLINE. */
  tscLow: 260,
  tscHigh: 261,
  /** Levels of LINT0 and LINT1; whoever drives them does so again after restore. */
  lines: 262,
} as const;
/** Errors that the next write to ESR shows, in a reserved place of the page. [SDM 3A 11.5.3] */
export const PENDING_ERRORS = 0x290;

export interface LapicState {
  /** IA32_APIC_BASE. */
  base: bigint;
  /** The page up to 0x3ff; the current count is 0, as the deadline says it. */
  registers: Uint8Array;
  /** When the timer fires next on the machine's clock, or -1. */
  timerNs: number;
  /** IA32_TSC_DEADLINE. */
  tscDeadline: bigint;
}

/** Bits of each word of the page that can be other than zero. */
export const pageBits = new Int32Array(REGISTER_BYTES / 4);
pageBits[reg.id >> 2] = ~0;
pageBits[reg.version >> 2] = VERSION;
pageBits[reg.esr >> 2] = 0xff;
pageBits[PENDING_ERRORS >> 2] = 0xff;
for (const [offset, bits] of writable) pageBits[offset >> 2] = bits;
// x2APIC: a 32-bit destination.
pageBits[reg.icrHigh >> 2] = ~0;
pageBits[reg.ldr >> 2] = ~0;
pageBits[reg.dfr >> 2] = ~0;
for (const lint of [reg.lvtLint0, reg.lvtLint1]) pageBits[lint >> 2] |= lvt.remoteIrr;
for (const bank of [reg.isr, reg.tmr, reg.irr]) {
  for (let i = 0; i < 8; i++) pageBits[(bank >> 2) + 4 * i] = i === 0 ? ~0xffff : ~0;
}

const fields = struct<LapicState>({
  base: u64,
  registers: bytes(REGISTER_BYTES),
  timerNs: f64(),
  tscDeadline: u64,
});

export const lapicCodec: Codec<LapicState> = {
  encode: fields.encode,
  decode(reader) {
    const state = fields.decode(reader);
    const view = new DataView(state.registers.buffer, state.registers.byteOffset, REGISTER_BYTES);
    const hex = (value: number) => `0x${(value >>> 0).toString(16)}`;
    for (let i = 0; i < pageBits.length; i++) {
      const value = view.getInt32(4 * i, true);
      if ((value & ~pageBits[i]) !== 0) {
        reader.fail(`${hex(value)} at ${hex(4 * i)}`, 'reserved bits zero');
      }
    }
    if (view.getInt32(reg.version, true) !== VERSION) {
      reader.fail(`version ${hex(view.getInt32(reg.version, true))}`, hex(VERSION));
    }
    const { timerNs } = state;
    if (timerNs !== -1 && !(Number.isSafeInteger(timerNs) && timerNs >= 0)) {
      reader.fail(timerNs, '-1 or a whole number of nanoseconds');
    }
    return state;
  },
};
