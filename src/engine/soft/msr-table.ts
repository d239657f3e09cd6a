import * as layout from '../../cpu/state/layout.js';

/** IA32_TIME_STAMP_COUNTER: kept as an offset from the clock. */
export const MSR_TSC = 0x10;

/** MSRs that are part of a record, by index, and where they stand in a vCPU's area. */
export const msrPlaces: ReadonlyMap<number, number> = new Map([
  [0xc000_0081, layout.MSR_STAR],
  [0xc000_0082, layout.MSR_LSTAR],
  [0xc000_0083, layout.MSR_CSTAR],
  [0xc000_0084, layout.MSR_FMASK],
  [0xc000_0102, layout.MSR_KERNEL_GS_BASE],
  [0xc000_0103, layout.MSR_TSC_AUX],
  [0x174, layout.MSR_SYSENTER_CS],
  [0x175, layout.MSR_SYSENTER_ESP],
  [0x176, layout.MSR_SYSENTER_EIP],
  [0x277, layout.MSR_PAT],
  [0x3b, layout.MSR_TSC_ADJUST],
  [0x1a0, layout.MSR_MISC_ENABLE],
  [0x2ff, layout.MSR_MTRR_DEF_TYPE],
  ...[0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f].map(
    (index, i) => [index, layout.MSR_MTRR_FIXED + i * 8] as const,
  ),
  ...Array.from({ length: 16 }, (_, i) => [0x200 + i, layout.MSR_MTRR_VAR + i * 8] as const),
  [0x17a, layout.MSR_MCG_STATUS],
  [0xda0, layout.MSR_XSS],
  [0x48, layout.MSR_SPEC_CTRL],
  [0x3a, layout.MSR_FEATURE_CONTROL],
  [0x9e, layout.MSR_SMBASE],
  [0x1d9, layout.MSR_DEBUGCTL],
]);
