/** The structures of native.c, byte for byte: what a case holds and what an answer holds. */

export const CODE = 0x1000_0000;
/** Two pages, then one that cannot be written; the pages around them are absent. */
export const DATA = 0x2000_0000;
/** Bases of FS and GS in 64-bit code; elsewhere they are null. */
export const FS_BASE = 0x10_0040;
export const GS_BASE = 0x7ff0_0000_0000;
export const WINDOW = 256;

/** Kinds of code: 64-bit, 32-bit, and 16-bit with segments at CODE and DATA. */
export const MODES = [0, 1, 2] as const;
export type Mode = (typeof MODES)[number];
/** Limits of the segments of 16-bit code. */
export const LIMIT_16 = { cs: 0xfff, ds: 0xffff, ss: 0x2fff, es: 0x1fff } as const;

export const CASE = {
  code: 0,
  codeLength: 32,
  codeOffset: 36,
  dataOffset: 40,
  dataLength: 44,
  mode: 48,
  gpr: 56,
  rflags: 184,
  fx: 192,
  data: 704,
  size: 960,
} as const;

export const ANSWER = {
  gpr: 0,
  rip: 128,
  rflags: 136,
  trap: 144,
  error: 148,
  cr2: 152,
  fx: 160,
  data: 672,
  size: 928,
} as const;

export const GPR_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
