/**
 * An entry of the hash of translated regions, 16 bytes: place of the first byte; CODE_KEY; generation
 * of its page when translated; its function's index in the interpreter's table `regions`.
 */
export const J_PLACE = 0;
export const J_KEY = 4;
export const J_GENERATION = 8;
export const J_FUNCTION = 12;
export const J_SIZE = 16;

/** An entry of the cache of regions by RIP, 16 bytes: RIP, CODE_EPOCH, the function's index. */
export const V_RIP = 0;
export const V_EPOCH = 8;
export const V_FUNCTION = 12;

/** Functions that the table has room for; slot 0 stays empty. */
export const REGION_SLOTS = 0x8000;

/** Type of a translated region's function: 0, or what `run` is to return. */
export const REGION = { params: [], results: ['i32'] } as const;
