/**
 * A decoded instruction as the interpreter's handlers read it: 32 bytes in the vCPU's block arena. The
 * records of a block follow each other, so that the next record is the one 32 bytes on; the last is
 * followed by one with handler 0, for blocks whose last instruction does not leave them itself.
 *
 *   0        2        4    5          6      7          8         10        12    13     14
 *   +--------+--------+----+----------+------+----------+---------+---------+-----+------+---------+
 *   |handler | offset | len|remaining | scale|addr shift| reg     | rm      |base |index | segment |
 *   +--------+--------+----+----------+------+----------+---------+---------+-----+------+---------+
 *   16 immediate, i64                              24 displacement, i64 (or second immediate)
 *
 * offset: RIP = IP_BASE + offset. remaining: instructions after it in its block (255 in the record
 * that ends a block). reg, rm: offset of the register in the vCPU's area, or its number where the
 * operand is a segment, control, debug or x87 register. base, index: offsets of general registers,
 * ZERO or IP_BASE. addr shift: all ones >>> shift is the address size's mask. segment: offset of
 * the segment register in the vCPU's area.
 */
export const RECORD_SIZE = 32;
export const R_HANDLER = 0;
export const R_OFFSET = 2;
export const R_LENGTH = 4;
export const R_REMAINING = 5;
export const R_SCALE = 6;
export const R_ADDRESS_SHIFT = 7;
export const R_REG = 8;
export const R_RM = 10;
export const R_BASE = 12;
export const R_INDEX = 13;
export const R_SEGMENT = 14;
export const R_IMM = 16;
/** Instructions with a register in VEX.vvvv have no immediate: its offset stands there. */
export const R_VEX = 16;
export const R_DISP = 24;
export const R_IMM2 = 24;

/**
 * A block's records follow 32 bytes of its own: how often it was run since it was last found hot; the generation
 * of its page when decoded; of an instruction across pages the second place, and its page's generation.
 */
export const B_COUNT = 0;
export const B_GENERATION = 4;
export const B_SECOND = 8;
export const B_SECOND_GENERATION = 12;
/** Of a block that ends in an indirect branch: address of its entry at JIT_TARGETS; else 0. */
export const B_TARGETS = 16;

/**
 * An entry of JIT_TARGETS, 128 bytes: the branch's place, then RIPs of blocks that followed it in the interpreter, u64; 0: none.
 */
export const T_PLACE = 0;
export const T_TARGETS = 8;
export const T_SLOTS = 15;
export const T_SIZE = 128;

/** Handlers that are not instructions: 0 ends a block, these two raise #UD and #GP. */
export const HANDLER_UD = 1;
export const HANDLER_TOO_LONG = 2;
export const FIRST_HANDLER = 3;

/**
 * An entry of the block hash, 16 bytes: place of the first byte; code mode; generation of the page
 * when decoded; address of the first record, whose `remaining` + 1 is the number of instructions.
 */
export const H_PLACE = 0;
export const H_MODE = 4;
export const H_GENERATION = 8;
export const H_RECORD = 12;
export const H_SIZE = 16;
