/** Port I/O of IN and OUT, with the permission checks that string I/O shares. [SDM 1 18.5] */
import { CPU, io_in, io_out } from './env';
import { raise_gp0 } from './fault';
import {
  CPL,
  CR0,
  EFLAGS,
  SEGMENTS,
  SEGMENT_SIZE,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_LIMIT,
  TR,
} from './generated-layout';
import { sys_rd16 } from './mmu';
import { CR0_PE, F_VM } from './private';

const TR_AT: i32 = SEGMENTS + TR * SEGMENT_SIZE;
/** Place of the I/O map's offset in a 32- or 64-bit TSS. */
const TSS_IO_MAP: u64 = 0x66;
/** TYPE of an available or busy 32- or 64-bit TSS, without the busy bit. */
const TYPE_TSS32 = 9;

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

export function io_read(port: i32, size: i32): u32 {
  check_io(port, size);
  return io_in(port, size);
}

export function io_write(port: i32, size: i32, value: u32): void {
  check_io(port, size);
  io_out(port, size, value);
}
