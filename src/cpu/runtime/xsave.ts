/**
 * MXCSR, FXSAVE and the XSAVE family, for the components this CPU has: x87 (bit 0) and SSE (bit 1). Both lie
 * in the legacy area, so the compacted format differs in the header only [SDM 1 10.5, 13].
 */
import { CPU } from './env';
import { raise_gp0, raise_ud } from './fault';
import {
  CODE_MODE, CR4, MXCSR, SSE_FAST, X87_CONTROL, X87_DP, X87_IP, X87_OPCODE, X87_STATUS, X87_TAG, XCR0,
  XMM, XMM_SIZE,
} from './generated-layout';
import { rd16, rd32, rd64, rd8, wr16, wr32, wr64 } from './mmu';
import { check_area } from './state-area';
import { st, summarise } from './x87-state';

const X87_PART: i32 = 1;
const SSE_PART: i32 = 2;
const DEFAULT_MXCSR: u32 = 0x1f80;
const MXCSR_MASK: u32 = 0xffff;
const LEGACY_SIZE: i32 = 512;
const HEADER: i64 = 512;
const AREA_SIZE: i32 = 576;
const COMPACTED: u64 = 1 << 63;
const CR4_OSXSAVE: u32 = 1 << 18;

/**
 * Stores MXCSR and whether host arithmetic may be used: round to nearest, all masked, PE set already, no
 * DAZ or FTZ.
 */
export function noteMxcsr(value: u32): void {
  store<u32>(CPU, value, MXCSR);
  store<u32>(CPU, u32((value & 0xffe0) == 0x1fa0), SSE_FAST);
}

/** LDMXCSR: #GP(0) on reserved bits. */
export function set_mxcsr(value: u32): void {
  if (value & ~MXCSR_MASK) raise_gp0();
  noteMxcsr(value);
}

function vectorRegisters(): i32 {
  return load<u32>(CPU, CODE_MODE) == 2 ? 16 : 8;
}

// --- parts ------------------------------------------------------------------------------------------

/** `wide`: REX.W, 64-bit pointers; else 32-bit ones with selectors, which are saved as 0 [CPUID 7 EBX 13]. */
function saveX87(at: i64, wide: bool): void {
  wr16(at, load<u16>(CPU, X87_CONTROL));
  wr16(at + 2, load<u16>(CPU, X87_STATUS));
  wr16(at + 4, load<u8>(CPU, X87_TAG));
  wr16(at + 6, load<u16>(CPU, X87_OPCODE));
  const mask: u64 = wide ? <u64>-1 : 0xffff_ffff;
  wr64(at + 8, load<u64>(CPU, X87_IP) & mask);
  wr64(at + 16, load<u64>(CPU, X87_DP) & mask);
  for (let i = 0; i < 8; i++) {
    const to = at + 32 + (i << 4);
    wr64(to, load<u64>(st(i)));
    wr64(to + 8, load<u16>(st(i), 8));
  }
}

function loadX87(at: i64, wide: bool): void {
  const mask: u64 = wide ? <u64>-1 : 0xffff_ffff;
  store<u16>(CPU, <u16>((rd16(at) & 0x1f7f) | 0x40), X87_CONTROL);
  store<u16>(CPU, <u16>rd16(at + 2), X87_STATUS);
  store<u8>(CPU, <u8>rd8(at + 4), X87_TAG);
  store<u16>(CPU, <u16>(rd16(at + 6) & 0x7ff), X87_OPCODE);
  store<u64>(CPU, rd64(at + 8) & mask, X87_IP);
  store<u64>(CPU, rd64(at + 16) & mask, X87_DP);
  for (let i = 0; i < 8; i++) {
    const from = at + 32 + (i << 4);
    store<u64>(st(i), rd64(from));
    store<u16>(st(i), <u16>rd16(from + 8), 8);
  }
  summarise();
}

function initX87(): void {
  store<u16>(CPU, 0x37f, X87_CONTROL);
  store<u16>(CPU, 0, X87_STATUS);
  store<u8>(CPU, 0, X87_TAG);
  store<u16>(CPU, 0, X87_OPCODE);
  store<u64>(CPU, 0, X87_IP);
  store<u64>(CPU, 0, X87_DP);
  for (let i = 0; i < 8; i++) {
    store<u64>(st(i), 0);
    store<u16>(st(i), 0, 8);
  }
}

function saveVectors(at: i64): void {
  const n = vectorRegisters();
  for (let i = 0; i < n; i++) {
    const from = CPU + XMM + i * XMM_SIZE;
    wr64(at + 160 + (i << 4), load<u64>(from));
    wr64(at + 168 + (i << 4), load<u64>(from, 8));
  }
}

function loadVectors(at: i64): void {
  const n = vectorRegisters();
  for (let i = 0; i < n; i++) {
    const to = CPU + XMM + i * XMM_SIZE;
    store<u64>(to, rd64(at + 160 + (i << 4)));
    store<u64>(to, rd64(at + 168 + (i << 4)), 8);
  }
}

function initVectors(): void {
  const n = vectorRegisters();
  for (let i = 0; i < n; i++) memory.fill(CPU + XMM + i * XMM_SIZE, 0, 16);
}

/** Components that are not in their initial state [SDM 1 13.6]. */
export function xinuse(): i32 {
  let x87: u64 = load<u16>(CPU, X87_STATUS) | load<u8>(CPU, X87_TAG) | load<u16>(CPU, X87_OPCODE);
  x87 |= load<u64>(CPU, X87_IP) | load<u64>(CPU, X87_DP);
  for (let i = 0; i < 8; i++) x87 |= load<u64>(st(i)) | load<u16>(st(i), 8);
  let vectors: u64 = 0;
  for (let i = 0; i < 16; i++) {
    const at = CPU + XMM + i * XMM_SIZE;
    vectors |= load<u64>(at) | load<u64>(at, 8);
  }
  const parts = x87 != 0 || load<u16>(CPU, X87_CONTROL) != 0x37f ? X87_PART : 0;
  return vectors != 0 ? parts | SSE_PART : parts;
}

// --- instructions -------------------------------------------------------------------------------------

/** FXSAVE, FXSAVE64 to a linear address. */
export function fxsave(at: i64, wide: i32): void {
  if (at & 15) raise_gp0();
  check_area(at, 0, LEGACY_SIZE, true);
  saveX87(at, wide != 0);
  wr32(at + 24, load<u32>(CPU, MXCSR));
  wr32(at + 28, MXCSR_MASK);
  saveVectors(at);
}

export function fxrstor(at: i64, wide: i32): void {
  if (at & 15) raise_gp0();
  check_area(at, 0, LEGACY_SIZE, false);
  set_mxcsr(rd32(at + 24));
  loadX87(at, wide != 0);
  loadVectors(at);
}

/** What XSAVE and XRSTOR check first; gives the requested features (EDX:EAX and XCR0). */
function requested(at: i64, features: i64): i32 {
  if (!(load<u32>(CPU, CR4) & CR4_OSXSAVE)) raise_ud();
  if (at & 63) raise_gp0();
  return <i32>features & load<u32>(CPU, XCR0);
}

/** kind: 0 XSAVE, 1 XSAVEOPT, 2 XSAVEC. */
export function xsave(kind: i32, at: i64, features: i64, wide: i32): void {
  const parts = requested(at, features);
  check_area(at, 0, AREA_SIZE, true);
  let used = xinuse();
  if (kind == 2 && load<u32>(CPU, MXCSR) != DEFAULT_MXCSR) used |= SSE_PART;
  const written = kind == 0 ? parts : parts & used;
  const before = kind == 2 ? 0 : rd64(at + HEADER) & ~(<u64>parts);
  if (written & X87_PART) saveX87(at, wide != 0);
  if (written & SSE_PART) saveVectors(at);
  if (kind == 2 ? written & SSE_PART : parts & SSE_PART) {
    wr32(at + 24, load<u32>(CPU, MXCSR));
    wr32(at + 28, MXCSR_MASK);
  }
  wr64(at + HEADER, before | <u64>(parts & used));
  if (kind == 2) wr64(at + HEADER + 8, COMPACTED | <u64>parts);
}

export function xrstor(at: i64, features: i64, wide: i32): void {
  const parts = requested(at, features);
  check_area(at, 0, AREA_SIZE, false);
  const present = rd64(at + HEADER);
  const layout = rd64(at + HEADER + 8);
  const compact = (layout & COMPACTED) != 0;
  const known = compact ? layout & ~COMPACTED : <u64>load<u32>(CPU, XCR0);
  if (known & ~(<u64>load<u32>(CPU, XCR0)) || present & ~known || (!compact && layout != 0)) raise_gp0();
  const reserved: i64 = compact ? 64 : 24;
  for (let i: i64 = 16; i < reserved; i += 8) if (rd64(at + HEADER + i) != 0) raise_gp0();
  const restored = parts & <i32>present;
  if (parts & SSE_PART) {
    set_mxcsr(compact && !(restored & SSE_PART) ? DEFAULT_MXCSR : rd32(at + 24));
    if (restored & SSE_PART) loadVectors(at);
    else initVectors();
  }
  if (parts & X87_PART) {
    if (restored & X87_PART) loadX87(at, wide != 0);
    else initX87();
  }
}
