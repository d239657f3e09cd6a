/** x87 control: environment and whole state to and from memory, control word, initialisation [SDM 1 8.1.10]. */
import { CPU } from './env';
import {
  CR0, EFLAGS, X87_CONTROL, X87_DP, X87_IP, X87_OPCODE, X87_STATUS, X87_TAG,
} from './generated-layout';
import { rd16, rd32, rd64, wr16, wr32, wr64 } from './mmu';
import { check_area } from './state-area';
import { CR0_PE, F_VM } from './private';
import { FINITE, float, ZERO } from './softfloat-core';
import { control, getSt, isEmpty, setStatus, st, status, summarise } from './x87-state';

/** FNINIT. Registers keep their contents, emptied. */
export function x87_init(): void {
  store<u16>(CPU, 0x37f, X87_CONTROL);
  store<u16>(CPU, 0, X87_STATUS);
  store<u8>(CPU, 0, X87_TAG);
  store<u16>(CPU, 0, X87_OPCODE);
  store<u64>(CPU, 0, X87_IP);
  store<u64>(CPU, 0, X87_DP);
}

/** FNCLEX. */
export function x87_clear(): void {
  setStatus(status() & 0x7f00);
}

/** FLDCW: newly unmasked exceptions become pending. */
export function x87_set_control(value: i32): void {
  store<u16>(CPU, <u16>((value & 0x1f7f) | 0x40), X87_CONTROL);
  summarise();
}

/** The full tag word: 0 valid, 1 zero, 2 special, 3 empty, for each physical register. */
function tagWord(): i32 {
  const f = float(0);
  const top = (status() >> 11) & 7;
  let word = 0;
  for (let i = 0; i < 8; i++) {
    let tag = 3;
    if (!isEmpty(i)) {
      getSt(f, i);
      tag = f.kind == ZERO ? 1 : f.kind == FINITE && !f.denormal ? 0 : 2;
    }
    word |= tag << (((top + i) & 7) << 1);
  }
  return word;
}

/** Outside protected mode, in V86 mode too, pointers are 20- or 32-bit linear addresses. */
function realFormat(): bool {
  return !(load<u64>(CPU, CR0) & CR0_PE) || (load<u32>(CPU, EFLAGS) & F_VM) != 0;
}

/** 14 or 28 bytes; the memory is known to be writable. Selectors are saved as 0 [CPUID 7 EBX 13]. */
function writeEnvironment(at: i64, small: bool): void {
  const ip = load<u32>(CPU, X87_IP);
  const dp = load<u32>(CPU, X87_DP);
  const opcode = <u32>load<u16>(CPU, X87_OPCODE);
  const real = realFormat();
  if (small) {
    wr16(at, control());
    wr16(at + 2, status());
    wr16(at + 4, tagWord());
    wr16(at + 6, ip);
    wr16(at + 8, real ? ((ip >> 4) & 0xf000) | opcode : 0);
    wr16(at + 10, dp);
    wr16(at + 12, real ? (dp >> 4) & 0xf000 : 0);
    return;
  }
  wr32(at, control() | 0xffff_0000);
  wr32(at + 4, status() | 0xffff_0000);
  wr32(at + 8, tagWord() | 0xffff_0000);
  wr32(at + 12, real ? (ip & 0xffff) | 0xffff_0000 : ip);
  wr32(at + 16, real ? ((ip >> 4) & 0x0fff_f000) | opcode : opcode << 16);
  wr32(at + 20, real ? (dp & 0xffff) | 0xffff_0000 : dp);
  wr32(at + 24, real ? (dp >> 4) & 0x0fff_f000 : 0xffff_0000);
}

function readEnvironment(at: i64, small: bool): void {
  const real = realFormat();
  const word: i64 = small ? 2 : 4;
  const newControl = rd16(at);
  const newStatus = rd16(at + word);
  const tags = rd16(at + 2 * word);
  let ip: u32;
  let dp: u32;
  let opcode: u32 = 0;
  if (small) {
    ip = rd16(at + 6);
    dp = rd16(at + 10);
    if (real) {
      const high = rd16(at + 8);
      opcode = high & 0x7ff;
      ip |= (high & 0xf000) << 4;
      dp |= (rd16(at + 12) & 0xf000) << 4;
    }
  } else {
    ip = rd32(at + 12);
    dp = rd32(at + 20);
    const high = rd32(at + 16);
    if (real) {
      opcode = high & 0x7ff;
      ip = (ip & 0xffff) | ((high & 0x0fff_f000) << 4);
      dp = (dp & 0xffff) | ((rd32(at + 24) & 0x0fff_f000) << 4);
    } else opcode = (high >> 16) & 0x7ff;
  }
  let full = 0;
  for (let i = 0; i < 8; i++) if (((tags >> (i << 1)) & 3) != 3) full |= 1 << i;
  store<u8>(CPU, <u8>full, X87_TAG);
  store<u64>(CPU, ip, X87_IP);
  store<u64>(CPU, dp, X87_DP);
  store<u16>(CPU, <u16>opcode, X87_OPCODE);
  setStatus(newStatus);
  x87_set_control(newControl);
}

/** FNSTENV: all exceptions are masked afterwards. */
export function x87_store_environment(at: i64, small: i32): void {
  check_area(at, small ? 2 : 4, small ? 14 : 28, true);
  writeEnvironment(at, small != 0);
  x87_set_control(control() | 0x3f);
}

/** FLDENV. */
export function x87_load_environment(at: i64, small: i32): void {
  check_area(at, small ? 2 : 4, small ? 14 : 28, false);
  readEnvironment(at, small != 0);
}

/** FNSAVE: then as FNINIT. */
export function x87_save(at: i64, small: i32): void {
  const header = small ? 14 : 28;
  check_area(at, small ? 2 : 4, header + 80, true);
  writeEnvironment(at, small != 0);
  for (let i = 0; i < 8; i++) {
    wr64(at + header + i * 10, load<u64>(st(i)));
    wr16(at + header + i * 10 + 8, load<u16>(st(i), 8));
  }
  x87_init();
}

/** FRSTOR. */
export function x87_restore(at: i64, small: i32): void {
  const header = small ? 14 : 28;
  check_area(at, small ? 2 : 4, header + 80, false);
  readEnvironment(at, small != 0);
  for (let i = 0; i < 8; i++) {
    store<u64>(st(i), rd64(at + header + i * 10));
    store<u16>(st(i), <u16>rd16(at + header + i * 10 + 8), 8);
  }
}
