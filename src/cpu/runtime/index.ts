// Every function that generated code, the engine or a test of the runtime calls.
export { after_step, handle_events } from './events';
export { enter_run, leave_run, lock_begin, lock_end } from './exclusive';
export { reset_cpu } from './reset';
export { raise, raise_ud, set_fault } from './fault';
export { jit_fetch, jit_flags, jit_read, jit_still, jit_write } from './jit';
export { commit, fetch_probe, probe_read, probe_rmw, probe_write } from './mmu';
export { after_restore, read_flags, set_activity, update_debug, update_mode, write_flags } from './mode';
export { code_written } from './physical';
export { flush_tlb_all, flush_tlb_nonglobal, invlpg, mark_code } from './tlb';
export { load_pdptes } from './walk';
export {
  sse_arith, sse_comi, sse_compare, sse_convert, sse_dot, sse_from_int, sse_from_int32s,
  sse_reciprocal, sse_round, sse_to_int, sse_to_int32s,
} from './sse-fp';
export {
  x87_arith, x87_arith_memory, x87_compare, x87_compare_flags, x87_compare_memory, x87_exchange, x87_free,
  x87_convert, x87_load, x87_load_register, x87_move_if, x87_store_register, x87_stored, x87_test,
  x87_turn,
} from './x87-arith';
export {
  x87_clear, x87_init, x87_load_environment, x87_restore, x87_save, x87_set_control,
  x87_store_environment,
} from './x87-environment';
export {
  x87_constant, x87_examine, x87_extract, x87_remainder, x87_scale, x87_sign, x87_unary,
} from './x87-special';
export { x87_pending } from './x87-state';
export { x87_transcendental } from './x87-transcendental';
export { fxrstor, fxsave, set_mxcsr, xinuse, xrstor, xsave } from './xsave';
export {
  aesdec, aesdeclast, aesenc, aesenclast, aesimc, aeskeygenassist,
} from './aes';
export { crc32, div_u128, idiv_s128, mul_s64_hi, mul_u64_hi, pdep, pext } from './bits';
export {
  check_descriptors, check_umip, clts, invalidate_page, invpcid, lmsw, read_cr, read_dr, smsw, write_cr,
  write_dr, xgetbv, xsetbv,
} from './control';
export { cpuid } from './cpuid';
export {
  pclmulqdq, sha1msg1, sha1msg2, sha1nexte, sha1rnds4, sha256msg1, sha256msg2, sha256rnds2,
} from './crypto';
export { cli, popf, pushf_value, shadow_ss, sti } from './flag-instructions';
export { hlt, monitor, mwait } from './hlt';
export { rdmsr, wrmsr } from './msr';
export { io_read, io_write } from './port';
export { rdrand, rdseed } from './random';
export { pcmpestri, pcmpestrm, pcmpistri, pcmpistrm } from './sse42';
export { cmps, ins, lods, movs, outs, scas, stos } from './string';
export { read_base, swapgs, syscall, sysenter, sysexit, sysret, write_base } from './syscall';
export { rdpmc, rdtsc, rdtscp } from './tsc';
export { call_far, jmp_far, ret_far } from './far';
export { int1, int3, int_n, into } from './interrupt';
export { iret } from './iret';
export { lldt, load_seg, ltr, seg_check } from './segment';
export { lar, lsl, verr, verw } from './verify';
