/**
 * Signatures of the runtime's functions that semantics call: parameters, `>`, result; i = i32, I = i64.
 * Every function named here is exported by runtime/index.ts.
 */
export const RUNTIME_FUNCTIONS: Readonly<Record<string, string>> = {
  // Memory and faults (used by the builder itself).
  probe_read: 'Iii>i',
  probe_write: 'Iii>i',
  probe_rmw: 'Iii>i',
  commit: '>',
  seg_check: 'iIii>i',
  fetch_probe: 'I>i',
  set_fault: 'iii>',
  lock_begin: '>',
  lock_end: '>',
  handle_events: '>i',
  after_step: '>',
  // Multiplication and division (multiply.ts).
  mul_u64_hi: 'II>I',
  mul_s64_hi: 'II>I',
  div_u128: 'III>',
  idiv_s128: 'III>',
};
