/**
 * Lazy flags of translated code: which operation made them (known when code is translated), its result and
 * its first operand. Kinds are these numbers times 4 plus log2 of the operand's bytes; KIND_LAZY alone
 * means FLAG_RES and FLAG_AUX. `jit_flags` of the runtime turns all into KIND_LAZY.
 */
export const KIND_LAZY = 0;
export const KIND_ADD = 1;
export const KIND_SUB = 2;
export const KIND_LOGIC = 3;
/** INC and DEC keep CF: it stands where the first operand does. */
export const KIND_INC = 4;
export const KIND_DEC = 5;
/** IMUL of two operands: they stand where result and first operand do. */
export const KIND_PRODUCT = 6;
/** Where paths meet: a local has the kind, as a number of those above. */
export const KIND_MET = 7;
