import {
  MXCSR,
  X87,
  X87_CONTROL,
  X87_CS,
  X87_DP,
  X87_DS,
  X87_IP,
  X87_OPCODE,
  X87_SIZE,
  X87_STATUS,
  X87_TAG,
  XMM,
  XMM_SIZE,
} from '../../cpu/state/layout.js';
import { XSAVE_BYTES } from '../records.js';
import type { StateView } from './state-view.js';

/*
 * XSAVE area, standard form, as FXSAVE64 lays out its legacy part [SDM 1 13.4.1]:
 *
 *   0 FCW  2 FSW  4 FTW  6 FOP  8 FIP  16 FDP  24 MXCSR  28 MXCSR_MASK
 *   32 ST0-ST7 (16 bytes each)  160 XMM0-XMM15  464 for software: here FCS, FDS
 *   512 XSTATE_BV
 */
const FCS = 464;
const FDS = 466;
const XSTATE_BV = 512;
const MXCSR_MASK = 0xffff;
const X87_AND_SSE = 3n;

/** A vCPU's x87 and SSE state as an XSAVE area. */
export function readXsave(state: StateView): Uint8Array {
  const area = new Uint8Array(XSAVE_BYTES);
  const out = new DataView(area.buffer);
  const status = state.u16(X87_STATUS);
  out.setUint16(0, state.u16(X87_CONTROL), true);
  out.setUint16(2, status, true);
  out.setUint8(4, state.u8(X87_TAG));
  out.setUint16(6, state.u16(X87_OPCODE), true);
  out.setBigUint64(8, state.u64(X87_IP), true);
  out.setBigUint64(16, state.u64(X87_DP), true);
  out.setUint32(24, state.u32(MXCSR), true);
  out.setUint32(28, MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    const register = X87 + (((status >> 11) + i) & 7) * X87_SIZE;
    out.setBigUint64(32 + i * 16, state.u64(register), true);
    out.setUint16(40 + i * 16, state.u16(register + 8), true);
  }
  for (let i = 0; i < 16; i++) {
    out.setBigUint64(160 + i * 16, state.u64(XMM + i * XMM_SIZE), true);
    out.setBigUint64(168 + i * 16, state.u64(XMM + i * XMM_SIZE + 8), true);
  }
  out.setUint16(FCS, state.u16(X87_CS), true);
  out.setUint16(FDS, state.u16(X87_DS), true);
  out.setBigUint64(XSTATE_BV, X87_AND_SSE, true);
  return area;
}

/** The reverse; XSTATE_BV is not looked at, all of the state is there. */
export function writeXsave(state: StateView, area: Uint8Array): void {
  const from = new DataView(area.buffer, area.byteOffset, area.byteLength);
  const status = from.getUint16(2, true);
  state.setU16(X87_CONTROL, from.getUint16(0, true));
  state.setU16(X87_STATUS, status);
  state.setU8(X87_TAG, from.getUint8(4));
  state.setU16(X87_OPCODE, from.getUint16(6, true) & 0x7ff);
  state.setU64(X87_IP, from.getBigUint64(8, true));
  state.setU64(X87_DP, from.getBigUint64(16, true));
  state.setU32(MXCSR, from.getUint32(24, true) & MXCSR_MASK);
  for (let i = 0; i < 8; i++) {
    const register = X87 + (((status >> 11) + i) & 7) * X87_SIZE;
    state.setU64(register, from.getBigUint64(32 + i * 16, true));
    state.setU16(register + 8, from.getUint16(40 + i * 16, true));
  }
  for (let i = 0; i < 16; i++) {
    state.setU64(XMM + i * XMM_SIZE, from.getBigUint64(160 + i * 16, true));
    state.setU64(XMM + i * XMM_SIZE + 8, from.getBigUint64(168 + i * 16, true));
  }
  state.setU16(X87_CS, from.getUint16(FCS, true));
  state.setU16(X87_DS, from.getUint16(FDS, true));
}
