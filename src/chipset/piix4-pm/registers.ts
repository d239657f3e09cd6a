/**
 * 82371AB (PIIX4) function 3, power management, data sheet 290562; what its registers mean is in
 * [ACPI 4.8].
 */

export const identity = {
  vendorId: 0x8086,
  deviceId: 0x7113,
  revision: 3,
  classCode: 0x06_80_00,
  // QEMU's, which guests know boards like this one by.
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  interruptPin: 1,
} as const;

export const PCISTS_RESET = 0x0280;

/** The SCI is wired to IRQ 9. */
export const SCI_IRQ = 9;

/** PMBA: where the 64 ports of power management are; bit 0 says I/O. [PIIX4 7.1.8] */
export const PMBA = 0x40;
export const PMBA_WRITABLE = 0xffc0;
/** DEVACTB; bit 25 (APMC_EN) makes APMC writes raise an SMI. [PIIX4 7.1.13] */
export const DEVACTB = 0x58;
export const DEVACTB_APMC_EN = 1 << 25;
/** PMREGMISC: bit 0 (PMIOSE) lets PMBA decode. [PIIX4 7.1.18] */
export const PMREGMISC = 0x80;
export const PMIOSE = 1;

/** Offsets from PMBA. [PIIX4 7.2] */
export const PM_SIZE = 64;
export const pm = {
  status: 0x00, // PMSTS
  enable: 0x02, // PMEN
  control: 0x04, // PMCNTRL
  timer: 0x08, // PMTMR
  gpeStatus: 0x0c, // GPSTS
  gpeEnable: 0x0e, // GPEN
} as const;

/** PMSTS and PMEN bits. [PIIX4 7.2.1], [PIIX4 7.2.2] */
export const pm1 = {
  timer: 1 << 0,
  global: 1 << 5,
  powerButton: 1 << 8,
  rtc: 1 << 10,
  wake: 1 << 15,
} as const;
export const PM1_STATUS_BITS = pm1.timer | pm1.global | pm1.powerButton | pm1.rtc | pm1.wake;
export const PM1_ENABLE_BITS = pm1.timer | pm1.global | pm1.powerButton | pm1.rtc;

/** PMCNTRL bits. [PIIX4 7.2.3] */
export const control = {
  sciEnable: 1 << 0,
  busMasterReload: 1 << 1,
  sleepTypeShift: 10,
  sleepTypeMask: 7,
  /** SUS_EN: writing one starts the sleep; reads zero. */
  sleepEnable: 1 << 13,
} as const;
export const CONTROL_STORED =
  control.sciEnable | control.busMasterReload | (control.sleepTypeMask << control.sleepTypeShift);
/** SUS_TYP 000: soft off, the `_S5` of this board as of QEMU's. */
export const SLEEP_SOFT_OFF = 0;

/** PMTMR counts at this rate. [ACPI 4.8.3.3] */
export const PM_TIMER_HZ = 3_579_545;

/** APMC and APMS. [PIIX4 7.3] */
export const APM_PORT = 0xb2;
export const apm = { command: 0, status: 1 } as const;
/** What the FADT says to write to SMI_CMD; QEMU and SeaBIOS agree on these. */
export const ACPI_ENABLE = 0xf1;
export const ACPI_DISABLE = 0xf0;
