import { CPU } from './env';
import { raise } from './fault';
import { MXCSR, SSE_FAST } from './generated-layout';
export function noteMxcsr(value: u32): void {
  store<u32>(<usize>CPU + MXCSR, value);
  store<u32>(<usize>CPU + SSE_FAST, u32((value & 0xffe0) == 0x1fa0));
}
/** LDMXCSR: #GP on reserved bits. */
export function set_mxcsr(value: u32): void {
  if (value >> 16) raise(13, 1, 0);
  noteMxcsr(value);
}
