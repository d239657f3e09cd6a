/** The pair of 8259A as PIIX holds it [8259A, PIIX3 2.5.3]. Offset 0 is A0 = 0, offset 1 is A0 = 1. */
export const MASTER_PORT = 0x20;
export const SLAVE_PORT = 0xa0;
export const ELCR_PORT = 0x4d0;

/** The master's input that the slave's output is wired to. */
export const CASCADE_INPUT = 2;

/** A0 = 0 with bit 4: ICW1, begins initialisation. */
export const ICW1 = 1 << 4;
/** ICW1: an ICW4 will follow. */
export const ICW1_IC4 = 1 << 0;
/** ICW1: single, no ICW3. */
export const ICW1_SNGL = 1 << 1;

/** ICW2: the upper five bits of the vector. */
export const ICW2_VECTOR_MASK = 0xf8;

export const ICW4_AEOI = 1 << 1;
/** Special fully nested mode. */
export const ICW4_SFNM = 1 << 4;

/** A0 = 0 with bit 4 clear and bit 3 set: OCW3; both clear: OCW2. */
export const OCW3 = 1 << 3;
/** OCW3: read ISR (1) or IRR (0), where OCW3_RR is set. */
export const OCW3_RIS = 1 << 0;
export const OCW3_RR = 1 << 1;
export const OCW3_POLL = 1 << 2;
/** OCW3: special mask mode on (1) or off (0), where OCW3_ESMM is set. */
export const OCW3_SMM = 1 << 5;
export const OCW3_ESMM = 1 << 6;

/** OCW2 bits 7 to 5: R, SL, EOI [8259A, figure 8]. */
export const Ocw2 = {
  rotateInAutoEoiClear: 0,
  nonSpecificEoi: 1,
  noOperation: 2,
  specificEoi: 3,
  rotateInAutoEoiSet: 4,
  rotateOnNonSpecificEoi: 5,
  setPriority: 6,
  rotateOnSpecificEoi: 7,
} as const;

/** Poll word: an interrupt was pending, its number in bits 2 to 0. */
export const POLL_PENDING = 1 << 7;

/** Inputs that may be level-triggered [PIIX3 2.5.3.7]: not the timer, keyboard, cascade, RTC, FPU. */
export const ELCR_MASKS = [0xf8, 0xde] as const;

/** What an acknowledge gets when the request has gone away [8259A, "Edge and level triggered"]. */
export const SPURIOUS_INPUT = 7;
