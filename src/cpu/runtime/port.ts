/** Port I/O of IN and OUT, with the permission checks that string I/O shares. [SDM 1 18.5] */
import { CPU, io_in, io_out } from './env';
import { raise_gp0 } from './fault';
import {
  CPL,
  CR0,
  CR4,
  DEBUG_HITS,
  DR,
  EFLAGS,
  EVENT,
  EVENT_DEBUG,
  SEGMENTS,
  SEGMENT_SIZE,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_LIMIT,
  TR,
} from './generated-layout';
import { sys_rd16 } from './mmu';
import { BREAKPOINTS, CR0_PE, F_VM } from './private';

const TR_AT: i32 = SEGMENTS + TR * SEGMENT_SIZE;
/** Place of the I/O map's offset in a 32- or 64-bit TSS. */
const TSS_IO_MAP: u64 = 0x66;
/** TYPE of an available or busy 32- or 64-bit TSS, without the busy bit. */
const TYPE_TSS32 = 9;

const CR4_DE: u64 = 1 << 3;
/** Bit of BREAKPOINTS: some breakpoint is of the I/O kind. */
const BREAKPOINTS_IO = 0x20;

/** #GP(0) unless the current program may access `size` ports from `port`. */
export function check_io(port: i32, size: i32): void {
  if (!(load<u64>(CPU, CR0) & CR0_PE)) return;
  const flags = load<u32>(CPU, EFLAGS);
  const iopl = (flags >> 12) & 3;
  if (!(flags & F_VM) && load<u32>(CPU, CPL) <= iopl) return;
  const attributes = load<i32>(CPU, TR_AT + SEG_ATTRIBUTES);
  if ((attributes & 0xd) != TYPE_TSS32) raise_gp0();
  const limit: u64 = load<u32>(CPU, TR_AT + SEG_LIMIT);
  if (limit < TSS_IO_MAP + 1) raise_gp0();
  const base = load<u64>(CPU, TR_AT + SEG_BASE);
  // Always two bytes of the map, so that an access over a byte's edge needs no second look.
  const at = u64(sys_rd16(base + TSS_IO_MAP)) + (port >> 3);
  if (at + 1 > limit) raise_gp0();
  const bits = u32(sys_rd16(base + at)) >> (port & 7);
  if (bits & ((1 << size) - 1)) raise_gp0();
}

/**
 * I/O breakpoints (CR4.DE and R/W = 2 in DR7), after the access: a trap. Instructions run one at a time while
 * any breakpoint is on. [SDM 3B 17.2.4, 17.3.1.3]
 */
export function watch_port(port: i32, size: i32): void {
  if (!(load<i32>(CPU, BREAKPOINTS) & BREAKPOINTS_IO) || !(load<u64>(CPU, CR4) & CR4_DE)) return;
  const control = load<u64>(CPU, DR + 0x38);
  for (let n = 0; n < 4; n++) {
    const field = i32(control >> (16 + n * 4));
    if (!((control >> (n * 2)) & 3) || (field & 3) != 2) continue;
    const length = ((field >> 2) & 3) + 1;
    const at = load<i32>(CPU + (n << 3), DR) & ~(length - 1);
    if (at >= port + size || port >= at + length) continue;
    store<i32>(CPU, load<i32>(CPU, DEBUG_HITS) | (1 << n), DEBUG_HITS);
    store<i32>(CPU, load<i32>(CPU, EVENT) | EVENT_DEBUG, EVENT);
  }
}

export function io_read(port: i32, size: i32): u32 {
  check_io(port, size);
  const value = io_in(port, size);
  watch_port(port, size);
  return value;
}

export function io_write(port: i32, size: i32, value: u32): void {
  check_io(port, size);
  io_out(port, size, value);
  watch_port(port, size);
}
