/** The local APIC of a CPU. [SDM 3A 11] (chapter 10 in editions before 2022) */

/** Where it stands after reset, and how much of the page it answers. [SDM 3A 11.4.1] */
export const LAPIC_BASE = 0xfee0_0000;
export const LAPIC_PAGE = 0x1000;
export const REGISTER_BYTES = 0x400;

/** Offsets in the page; registers are 32 bits wide and 16 bytes apart. [SDM 3A table 11-1] */
export const reg = {
  id: 0x020,
  version: 0x030,
  tpr: 0x080,
  apr: 0x090,
  ppr: 0x0a0,
  eoi: 0x0b0,
  rrd: 0x0c0,
  ldr: 0x0d0,
  dfr: 0x0e0,
  svr: 0x0f0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  icrLow: 0x300,
  icrHigh: 0x310,
  lvtTimer: 0x320,
  lvtThermal: 0x330,
  lvtPerf: 0x340,
  lvtLint0: 0x350,
  lvtLint1: 0x360,
  lvtError: 0x370,
  initialCount: 0x380,
  currentCount: 0x390,
  divide: 0x3e0,
  /** x2APIC only. */
  selfIpi: 0x3f0,
} as const;

/** An integrated APIC with six LVT entries. [SDM 3A 11.4.8] */
export const VERSION = 0x0005_0014;

export const svr = { vector: 0xff, enable: 1 << 8 } as const;

/** Local vector table. [SDM 3A 11.5.1] */
export const lvt = {
  vector: 0xff,
  deliveryMode: 7 << 8,
  lowActive: 1 << 13,
  remoteIrr: 1 << 14,
  level: 1 << 15,
  masked: 1 << 16,
  timerMode: 3 << 17,
} as const;
export const timerMode = { oneShot: 0, periodic: 1 << 17, tscDeadline: 2 << 17 } as const;

/** Delivery modes of LVT, ICR, IOAPIC and MSI. */
export const delivery = {
  fixed: 0,
  lowest: 1,
  smi: 2,
  nmi: 4,
  init: 5,
  startUp: 6,
  extInt: 7,
} as const;

/** Interrupt command register. [SDM 3A 11.6.1] */
export const icr = {
  vector: 0xff,
  logical: 1 << 11,
  assert: 1 << 14,
  level: 1 << 15,
  shorthandShift: 18,
} as const;
export const shorthand = { none: 0, self: 1, all: 2, others: 3 } as const;

/** Error status. [SDM 3A 11.5.3] */
export const esr = { sendVector: 1 << 5, receiveVector: 1 << 6, register: 1 << 7 } as const;

const lint = lvt.vector | lvt.deliveryMode | lvt.lowActive | lvt.level | lvt.masked;
/** Registers that software writes: offset, bits that stick. */
export const writable: ReadonlyMap<number, number> = new Map<number, number>([
  [reg.tpr, 0xff],
  [reg.ldr, 0xff00_0000 | 0],
  [reg.dfr, 0xf000_0000 | 0],
  [reg.svr, svr.vector | svr.enable | (1 << 9)],
  [reg.icrLow, 0x000c_cfff],
  [reg.icrHigh, 0xff00_0000 | 0],
  [reg.lvtTimer, lvt.vector | lvt.masked | lvt.timerMode],
  [reg.lvtThermal, lvt.vector | lvt.deliveryMode | lvt.masked],
  [reg.lvtPerf, lvt.vector | lvt.deliveryMode | lvt.masked],
  [reg.lvtLint0, lint],
  [reg.lvtLint1, lint],
  [reg.lvtError, lvt.vector | lvt.masked],
  [reg.initialCount, ~0],
  [reg.divide, 0xb],
]);

export const lvtRegisters = [
  reg.lvtTimer,
  reg.lvtThermal,
  reg.lvtPerf,
  reg.lvtLint0,
  reg.lvtLint1,
  reg.lvtError,
] as const;

/** Model-specific registers. [SDM 4 2.1] */
export const msr = {
  apicBase: 0x1b,
  tscDeadline: 0x6e0,
  /** x2APIC registers: this plus offset / 16. [SDM 3A table 11-6] */
  x2apic: 0x800,
  x2apicEnd: 0x900,
} as const;
/** IA32_APIC_BASE. [SDM 3A 11.12.1] */
export const base = {
  bsp: 1 << 8,
  x2apic: 1 << 10,
  enable: 1 << 11,
  address: 0xffff_f000,
} as const;

/** A periodic timer faster than this would do nothing but interrupt: periods are then skipped. */
export const MIN_PERIOD_NS = 100_000;
